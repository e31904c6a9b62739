import pytest

from texture_store.report.three_digits import three_digits


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.03124, "0.0312"),
        (41.26, "41.3"),
        (99.94, "99.9"),
        (99.96, "100"),
        (1204.4, "1,204"),
        (-7.5, "-7.5"),
    ],
)
def test_three_digits_and_no_exponent_for_what_is_large(value: float, text: str) -> None:
    assert three_digits(value) == text
