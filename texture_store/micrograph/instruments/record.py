"""What is known about how a micrograph was taken."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Vendor:
    """Facts of the instrument's own metadata; None where unknown. Numbers are finite and positive."""

    vendor: str | None = None
    um_per_px_x: float | None = None
    um_per_px_y: float | None = None
    magnification: float | None = None
    detector: str | None = None
    acceleration_voltage_kv: float | None = None
    working_distance_mm: float | None = None
    acquired: str | None = None
    """The instrument's own time stamp, as it is written."""
    databar_rows: int | None = None
    """Rows of the databar below the picture; 0 where the metadata says that there is none."""
    value_range: tuple[float, float] | None = None
    """Grey values that the instrument calls black and white; none of the makers read here state them."""
