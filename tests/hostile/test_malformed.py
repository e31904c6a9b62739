"""Every kind of malformed file ends as a picture or a reason: no crash, no hang, no memory beyond the limit."""

import pytest

from texture_store.isolation import Isolated, Limits

from .malformed import SUFFIXES, malformed_files
from .reading import SPECS

# A picture of 48 x 40 px takes next to nothing; the bombs unpack to 128 MiB. Beyond a limit a call raises, and fails.
LIMITS = Limits(memory_bytes=100 * 2**20, cpu_seconds=10)


@pytest.fixture(scope="module")
def read() -> Isolated:
    return Isolated("tests.hostile.reading:read_any", LIMITS)


@pytest.mark.parametrize("file_format", SUFFIXES)
def test_every_malformed_file_is_read_or_refused_as_it_should_be(read: Isolated, file_format: str) -> None:
    kinds = malformed_files(file_format)
    found = {kind: read(file.data, SPECS[0], None, file_format == "tar") for kind, file in kinds.items()}
    assert found == {kind: file.outcome for kind, file in kinds.items()}


def test_there_are_many_kinds_of_every_format() -> None:
    counts = {file_format: len(malformed_files(file_format)) for file_format in SUFFIXES}
    assert min(counts.values()) >= 15
    assert sum(counts.values()) >= 150
