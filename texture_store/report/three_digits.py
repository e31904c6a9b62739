"""Measured numbers for people."""


def three_digits(value: float) -> str:
    """Such as `0.0312`, `41.3` or `1,204`: all digits before the point are kept."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
