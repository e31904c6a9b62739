"""What can be seen on a drawn sheet."""

import numpy as np

GREY_TILE = (0xD0, 0xD7, 0xDE)


def area(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Pixels of a colour."""
    return int((sheet == np.array(colour)).all(axis=-1).sum())


def places(sheet: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:
    """(top, left) of wherever `picture` lies in the sheet, to a grey level (matplotlib rounds some down)."""
    height, width = picture.shape
    wanted, grey = picture.astype(np.int16), sheet[..., 0].astype(np.int16)
    room = grey[: len(grey) - height + 1, : grey.shape[1] - width + 1]
    maybe = np.abs(room - wanted[0, 0]) <= 1
    maybe &= np.abs(grey[height - 1 :, width - 1 :] - wanted[-1, -1]) <= 1
    alike = (np.abs(grey[top : top + height, left : left + width] - wanted) <= 1 for top, left in np.argwhere(maybe))
    return [tuple(place) for place, same in zip(np.argwhere(maybe).tolist(), alike, strict=True) if same.all()]
