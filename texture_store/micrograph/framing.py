"""Which rectangle of the kept picture is seen, and in how many pixels."""

from dataclasses import dataclass

from texture_store.errors import ImageTooSmallError, UnknownScaleError
from texture_store.spec import MIN_SCALED_SIDE_PX, MIN_SIDE_PX, PixelSpec

_SCALE_TOLERANCE = 1e-6
"""Relative: a picture that has the asked scale already is not refused for the last digit of its metadata."""


@dataclass(frozen=True)
class Framing:
    """Rectangle in px of the kept picture, and the size in px that it gets."""

    left: int
    top: int
    width: int
    height: int
    seen_width: int
    seen_height: int

    @property
    def px_per_px_x(self) -> float:
        """File pixels per pixel that the network sees, along x."""
        return self.width / self.seen_width

    @property
    def px_per_px_y(self) -> float:
        """File pixels per pixel that the network sees, along y."""
        return self.height / self.seen_height

    @property
    def enlarged(self) -> bool:
        """Whether either axis gets more pixels than it has."""
        return self.seen_width > self.width or self.seen_height > self.height


def framing(
    width: int, height: int, pixels: PixelSpec, *, um_per_px_x: float | None, um_per_px_y: float | None
) -> Framing:
    """How a kept picture of width x height px is seen under a PixelSpec; um per px are those of the file.

    Raises UnknownScaleError (a physical scale is asked for, the file's is unknown or coarser) or ImageTooSmallError.
    """
    if pixels.um_per_px is not None:
        return _at_scale(width, height, pixels.um_per_px, um_per_px_x, um_per_px_y)
    if pixels.width_height is None:
        if min(width, height) < MIN_SIDE_PX:
            raise ImageTooSmallError(f"{width} x {height} px are under the {MIN_SIDE_PX} px that VGG16 needs")
        return Framing(0, 0, width, height, width, height)
    seen_width, seen_height = pixels.width_height
    if pixels.fit == "stretch":
        return Framing(0, 0, width, height, seen_width, seen_height)
    crop_width = max(1, min(width, round(height * seen_width / seen_height)))
    crop_height = max(1, min(height, round(width * seen_height / seen_width)))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return Framing(left, top, crop_width, crop_height, seen_width, seen_height)


def _at_scale(width: int, height: int, target: float, um_per_px_x: float | None, um_per_px_y: float | None) -> Framing:
    if um_per_px_x is None or um_per_px_y is None:
        raise UnknownScaleError(f"its um per px is unknown, {target:g} was asked for")
    coarsest = max(um_per_px_x, um_per_px_y)
    if coarsest > target * (1 + _SCALE_TOLERANCE):
        raise UnknownScaleError(f"its {coarsest:.4g} um per px are coarser than the {target:g} that were asked for")
    seen_width = min(width, round(width * um_per_px_x / target))
    seen_height = min(height, round(height * um_per_px_y / target))
    if min(seen_width, seen_height) < MIN_SCALED_SIDE_PX:
        raise ImageTooSmallError(
            f"{seen_width} x {seen_height} px at {target:g} um per px are under {MIN_SCALED_SIDE_PX} px"
        )
    return Framing(0, 0, width, height, seen_width, seen_height)
