"""What features take on disk: each encoder and layer against the full float32 array, for precisions and kept bits."""

from dataclasses import replace
from itertools import product

from jobs.benchmark_bench import Bench
from jobs.benchmark_network import ENCODERS, loaded_pictures, make_extractor
from jobs.benchmark_pictures import picture
from jobs.benchmark_record import Figure
from jobs.progress import say
from texture_store.spec import LAYERS, NUM_CHANNELS, Encoder, Layer, PixelSpec, Precision

KEPT_BITS = (23, 16, 12, 10, 8)
LOSSLESS = 23
DEFAULT_BITS = 12
MARKS = {LOSSLESS: 0.35, DEFAULT_BITS: 0.22}
"""At most, of all Gram layers."""


def measure_bytes(bench: Bench) -> list[Figure]:
    """On pictures of this run, with the store's own writer."""
    return [figure for precision in bench.precisions for figure in _measure(bench, precision)]


def full_bytes(encoder: Encoder, layer: Layer) -> int:
    """Of one image's vector as a plain float32 array; Gram as a whole matrix."""
    channels = NUM_CHANNELS[layer]
    return 4 * channels * (channels if encoder == "gram" else 1)


def _measure(bench: Bench, precision: Precision) -> list[Figure]:
    import torch

    from texture_store.encoding.rounding import keep_mantissa_bits
    from texture_store.micrograph.reading import read_micrograph
    from texture_store.products import product_tables
    from texture_store.store.tables import parquet_bytes

    side, count = bench.amounts.side_px, bench.amounts.encoded
    say(f"bytes: {count} images, {precision}")
    pixels = PixelSpec(size=f"{side}x{side}")
    loaded = loaded_pictures(count, side)
    pictures = [read_micrograph(_png(number, bench.amounts.usual), pixels).seen for number in range(count)]
    products = make_extractor(bench, precision, gram_mantissa_bits=LOSSLESS)(replace(loaded, seen=pictures)).products
    how = f"Parquet files of {count} images against {{}} bytes of float32 an image"
    sizes: dict[tuple[Encoder, Layer, int], float] = {}
    for bits in KEPT_BITS:
        kept = {
            pair: keep_mantissa_bits(torch.from_numpy(vectors), bits).numpy() if pair[0] == "gram" else vectors
            for pair, vectors in products.vectors.items()
        }
        tables = product_tables(replace(products, vectors=kept), loaded.members)
        for encoder, layer in product(ENCODERS, LAYERS):
            if encoder == "gram" or bits == LOSSLESS:
                sizes[encoder, layer, bits] = len(parquet_bytes(tables[encoder, layer])) / count
    full = sum(full_bytes("gram", layer) for layer in LAYERS)
    figures = []
    for bits in KEPT_BITS:
        written = sum(sizes["gram", layer, bits] for layer in LAYERS)
        name = "lossless" if bits == LOSSLESS else f"{bits} mantissa bits kept"
        marked = bench.amounts.side_px == 512
        figures.append(
            Figure(
                f"{precision}: Gram of all layers, {name}",
                written / full,
                "x",
                how.format(f"{full:,}"),
                at_most=MARKS.get(bits) if marked else None,
            )
        )
        figures.append(Figure(f"{precision}: Gram of all layers, {name}", written / 1e3, "kB/image", "of all files"))
    for encoder in ENCODERS:
        for layer in LAYERS:
            shown = (LOSSLESS, DEFAULT_BITS) if encoder == "gram" else (LOSSLESS,)
            for bits in shown:
                whole = full_bytes(encoder, layer)
                name = f"{precision}: {encoder} {layer}" + (f", {bits} bits" if encoder == "gram" else "")
                figures.append(Figure(name, sizes[encoder, layer, bits] / whole, "x", how.format(f"{whole:,}")))
    return figures


def _png(number: int, size: tuple[int, int]) -> bytes:
    from jobs.benchmark_pictures import encoded

    return encoded(picture(number, size), "png")
