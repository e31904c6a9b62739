"""The short form of the fuzz run; `python -m tests.hostile.fuzz` is the long one."""

import pytest

from .fuzz import Fuzz, Record
from .reading import SPECS, read_any
from .whole import whole_files


@pytest.mark.parametrize("name", whole_files())
def test_the_files_that_get_damaged_are_whole(name: str) -> None:
    assert read_any(whole_files()[name], SPECS[1], None, name.startswith("tar-")) == "decoded"


def test_damaged_files_are_read_or_refused() -> None:
    record = Record(seed=2)
    Fuzz(2).run(record, 700)
    assert record.findings == []
    assert sum(record.decoded.values()) + sum(record.rejected.values()) == 700
    for counts in (record.decoded, record.rejected):  # both outcomes in every format, else the damage is of no use
        assert {"TIFF", "PNG", "JPEG", "BMP", "GIF", "WebP", "tar"} <= set(counts)


def test_an_input_is_the_same_whenever_it_is_made() -> None:
    one, other = Fuzz(3), Fuzz(3)
    assert [one.input(number) for number in range(0, 90, 7)] == [other.input(number) for number in range(0, 90, 7)]
