"""How fast a matrix of features comes out of a store, from the disk and from the page cache."""

import os
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jobs.benchmark_bench import Bench
from jobs.benchmark_network import loaded_pictures, make_extractor, make_spec
from jobs.benchmark_pictures import make_archive, picture
from jobs.benchmark_record import Figure
from jobs.progress import progress
from texture_store.spec import Encoder, Layer
from texture_store.store.reader import open_store

DATASET = "benchmark"
ENCODER: Encoder = "gram"
LAYER: Layer = "conv5_3"
MARK = 1.0
"""GB/s of the returned array."""
DISTINCT = 8
"""Images that go through the network; the vectors of the others are theirs, each times a number of its own."""


def measure_reading(bench: Bench) -> list[Figure]:
    """GB/s of `features(...).to_numpy()`: the files out of the page cache first, then in it."""
    store_url, spec = write_store(bench, bench.folder / "reading")
    seconds: dict[str, list[float]] = {"cold": [], "warm": []}
    shape: tuple[int, ...] = ()
    rounds = max(1, min(3, bench.amounts.rounds))
    for number in range(2 * rounds):
        kind = "warm" if number % 2 else "cold"
        if kind == "cold":
            forget_files(Path(store_url))
        features = open_store(store_url).features(DATASET, encoder=ENCODER, layer=LAYER, spec=spec)
        started = time.perf_counter()
        matrix = features.to_numpy()
        seconds[kind].append(time.perf_counter() - started)
        shape, size = matrix.shape, matrix.nbytes
        del matrix
    of = (
        f"to_numpy() of {ENCODER} {LAYER}, {shape[0]:,} x {shape[1]:,} float32, {size / 1e9:.2f} GB; median of {rounds}"
    )
    figures = []
    for kind, how in (("warm", "files in the page cache"), ("cold", "after the kernel was told to drop the files")):
        rate = size / 1e9 / statistics.median(seconds[kind])
        mark = MARK if kind == "warm" and bench.has_marks else None
        figures.append(Figure(f"reading, {kind}", rate, "GB/s", f"{of}; {how}", wanted=mark))
    stored = sum(file.stat().st_size for file in Path(store_url, "features").rglob("*.parquet"))
    figures.append(Figure("bytes read for each byte returned", stored / size, "x", "size of the files / of the array"))
    return figures


def write_store(bench: Bench, folder: Path) -> tuple[str, str]:
    """A store of as many images as are read, written shard by shard as featurize writes them: its URL and spec."""
    from dataclasses import replace

    from jobs.index import index
    from texture_store.pipeline import EncodedShard, write_shard
    from texture_store.products import Products
    from texture_store.store.opening import open_for_writing
    from texture_store.store.snapshots import latest_snapshot
    from texture_store.store.specs import write_spec
    from texture_store.store.work import plan_work

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    count = bench.amounts.rows
    archive = make_archive(folder / "archive", "png", (64, 64), count=count, distinct=DISTINCT)
    store_url = str(folder / "store")
    index(store_url, DATASET, str(archive))
    storage = open_for_writing(store_url, create=False)
    spec = make_spec(bench, bench.precisions[0])
    write_spec(storage, spec)
    snapshot = latest_snapshot(storage, DATASET)
    vectors = _vectors(bench)
    facts = _facts(bench)
    extractor = make_extractor(bench, bench.precisions[0])
    with progress("write features to be read", total=count) as bar:
        for unit in plan_work(snapshot, [], [(ENCODER, LAYER)]):
            ids, paths = unit.rows["image_id"].to_pylist(), unit.rows["path"].to_pylist()
            named = [{"image_id": image, "path": path} for image, path in zip(ids, paths, strict=True)]
            loaded = replace(loaded_pictures(0, 64), unit=unit, members=[name | facts for name in named])
            matrix = np.stack([next(vectors) for _ in ids])
            products = Products({(ENCODER, LAYER): matrix}, num_positions={LAYER: np.full(len(ids), 1024, np.int32)})
            encoded = EncodedShard(loaded, products, extractor.environment, {})
            write_shard(encoded, storage, job="featurize", dataset=DATASET, spec=spec, snapshot=snapshot.number)
            bar.advance(len(ids))
    return store_url, spec.fingerprint


def forget_files(folder: Path) -> None:
    """Tell the kernel that what is written need not stay in memory. A hint: the disk may have a cache of its own."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def _vectors(bench: Bench) -> Iterator[np.ndarray]:
    """Real vectors, each a little brighter or darker than the one it is made of."""
    from dataclasses import replace

    import torch

    from texture_store.encoding.rounding import keep_mantissa_bits

    side = bench.amounts.side_px
    loaded = replace(
        loaded_pictures(DISTINCT, side), seen=[picture(number, (side, side)) for number in range(DISTINCT)]
    )
    precision = bench.precisions[0]
    real = make_extractor(bench, precision)(loaded).products.vectors[ENCODER, LAYER]
    rng = np.random.default_rng(0)
    bits = make_spec(bench, precision).gram_mantissa_bits
    number = 0
    while True:
        vector = torch.from_numpy(real[number % DISTINCT] * np.float32(rng.uniform(0.7, 1.3)))
        yield keep_mantissa_bits(vector, bits).numpy()
        number += 1


def _facts(bench: Bench) -> dict[str, object]:
    from jobs.benchmark_pictures import encoded
    from texture_store.micrograph.reading import read_micrograph
    from texture_store.spec import PixelSpec

    side = bench.amounts.side_px
    return read_micrograph(encoded(picture(0, (64, 64)), "png"), PixelSpec(size=f"{side}x{side}")).facts
