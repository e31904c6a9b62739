"""The parts of a benchmark that need no Ray, at a tiny size: figures fit together, and what they measure is real."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jobs.benchmark_bench import Bench
from jobs.benchmark_bytes import full_bytes, measure_bytes
from jobs.benchmark_limit import measure_limit
from jobs.benchmark_memory import pss_of_tree
from jobs.benchmark_network import measure_network
from jobs.benchmark_pictures import encoded, make_archive, picture
from jobs.benchmark_reading import forget_files, measure_reading, write_store
from jobs.benchmark_stages import decode_times, per_image
from texture_store import open_store
from texture_store.micrograph.decode import decode
from texture_store.spec import LAYERS
from texture_store.store.commits import CommitRecord

from .benches import by_name, tiny_bench

pytestmark = pytest.mark.filterwarnings("ignore:.*RANDOM")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return tiny_bench(tmp_path / "bench")


def test_the_limit_is_measured_in_each_precision_of_the_device(bench: Bench):
    figures = by_name(measure_limit(bench))
    assert len(figures) == 2 * len(bench.precisions)
    assert "float32 GEMM 64x64x64" in figures
    assert all(figure.unit == "GFLOP/s" and figure.value > 0 for figure in figures.values())


def test_ratios_of_the_network_follow_from_its_absolute_figures(bench: Bench):
    figures = by_name(measure_network(bench))
    for precision in bench.precisions:
        alone, extract = (
            figures[f"{precision}: {what}"].value for what in ("network alone", "network with all statistics")
        )
        assert figures[f"{precision}: with all statistics against the network alone"].value == pytest.approx(
            alone / extract
        )
        # 64x64 px are 1/64 of the 160.4 GFLOP of 512x512.
        rate = 160.45 / 64 / alone
        limit = figures[f"{precision}: limit"].value
        assert figures[f"{precision}: network alone against the limit"].value == pytest.approx(rate / limit, rel=0.01)


def test_pictures_are_the_same_in_png_and_tiff_and_as_noisy_as_micrographs():
    pixels = picture(3, (300, 200))
    assert pixels.shape == (200, 300)
    png, tiff, jpeg = (encoded(pixels, file_format) for file_format in ("png", "tiff", "jpeg"))
    assert np.array_equal(decode(png).grey, pixels)
    assert np.array_equal(decode(tiff).grey, pixels)
    assert np.abs(decode(jpeg).grey.astype(int) - pixels).mean() < 5
    # Real SEM files are like that: noise does not compress.
    assert len(png) > 0.6 * pixels.size
    assert not np.array_equal(picture(4, (300, 200)), pixels)


def test_an_archive_of_many_has_copies_of_a_few(tmp_path: Path):
    folder = make_archive(tmp_path / "archive", "png", (64, 48), count=7, distinct=3)
    contents = [file.read_bytes() for file in sorted(folder.iterdir())]
    assert len(contents) == 7
    assert len(set(contents)) == 3
    assert contents[0] == contents[3] == contents[6]
    assert make_archive(folder, "png", (64, 48), count=7, distinct=3) == folder
    assert len(list(tmp_path.iterdir())) == 1


def test_seconds_of_commits_become_seconds_per_image():
    records = [
        CommitRecord(
            job="featurize",
            step="s",
            dataset="d",
            spec="s",
            shard=str(number),
            snapshot=1,
            pairs=(),
            members=tuple(str(image) for image in range(images)),
            files=(),
            seconds={"load": load, "extract": 6.0},
        )
        for number, (images, load) in enumerate([(4, 1.0), (2, 2.0)])
    ]
    assert per_image(records) == {"load": 0.5, "extract": 2.0}


def test_steps_of_decoding_take_no_longer_than_all_of_it(bench: Bench):
    times = decode_times(bench, "png", (256, 192))
    assert set(times) == {"read", "decode", "databar", "resize"}
    assert all(times[step] > 0 for step in times)


def test_full_gram_of_all_layers_is_the_size_that_papers_know():
    assert sum(full_bytes("gram", layer) for layer in LAYERS) == pytest.approx(2.44e6, rel=0.01)
    assert full_bytes("mean", "conv5_3") == 4 * 512


def test_fewer_kept_bits_take_fewer_bytes(bench: Bench):
    figures = by_name([figure for figure in measure_bytes(bench) if figure.unit == "x"])
    for precision in bench.precisions:
        sizes = [
            figures[f"{precision}: Gram of all layers, {name}"].value
            for name in ("lossless", "16 mantissa bits kept", "12 mantissa bits kept", "8 mantissa bits kept")
        ]
        assert sizes == sorted(sizes, reverse=True)
        assert 0.01 < sizes[-1] < sizes[0] < 0.6
        assert (
            figures[f"{precision}: gram conv5_3, 12 bits"].value < figures[f"{precision}: gram conv5_3, 23 bits"].value
        )


def test_what_is_read_was_written_by_the_writer(bench: Bench, tmp_path: Path):
    store_url, spec = write_store(bench, tmp_path / "reading")

    def read() -> np.ndarray:
        return open_store(store_url).features("benchmark", encoder="gram", layer="conv5_3", spec=spec).to_numpy()

    before = read()
    assert before.shape == (12, 512 * 513 // 2)
    assert len(np.unique(before[:, before.any(0)].sum(1))) == 12, "each image has a vector of its own"
    forget_files(Path(store_url))
    assert np.array_equal(read(), before)


def test_reading_is_measured_cold_and_warm(bench: Bench):
    figures = by_name(measure_reading(bench))
    size = bench.amounts.rows * 4 * 512 * 513 // 2
    assert f"{size / 1e9:.2f} GB" in figures["reading, warm"].how
    assert figures["reading, cold"].value > 0
    assert 0 < figures["bytes read for each byte returned"].value < 1


def test_memory_of_grandchildren_counts():
    """A shell starts a Python that holds 200 MB: all of it is found from the shell's id."""
    hold = "import sys; held = bytearray(b'x') * 200_000_000; print('ready', flush=True); sys.stdin.read()"
    command = ["sh", "-c", f'"{sys.executable}" -c "{hold}"; true']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        found = pss_of_tree(process.pid)
        process.stdin.close()
    assert len(found) == 2
    assert os.getpid() not in found
    assert 200e6 < sum(found.values()) < 300e6


def test_a_process_that_is_gone_has_no_memory():
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    assert pss_of_tree(int(process.stdout)) == {}
