"""Damage to a file: seeded, and aware of the check sums and tables behind which the decoders lie."""

import struct
import zlib

import numpy as np

_SIZES = [0, 1, 2, 3, 4, 7, 8, 15, 16, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000]
_SIZES += [0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
_TAGS = [254, 256, 257, 258, 259, 262, 270, 273, 274, 277, 278, 279, 281, 284, 317, 320, 322, 323, 324, 325, 330, 338]
_TAGS += [339, 341, 347, 34118, 34682, 50431, 33628, 50838]


def damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """`data` after one to five changes; `other` is a file to take pieces from."""
    if data.startswith(b"\x89PNG") and rng.random() < 0.8:
        return _damaged_chunks(data, other, rng)
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not found:
            break
        kind = int(rng.integers(0, 10))
        if kind == 9 and found[:4] in (b"II*\0", b"MM\0*"):
            _change_tag(found, rng)
        else:
            _change(found, other, rng, kind)
    return bytes(found)


def _change(found: bytearray, other: bytes, rng: np.random.Generator, kind: int) -> None:
    where = _place(len(found), rng)
    length = int(rng.integers(1, 1 + min(64, len(found))))
    if kind in (0, 1):
        found[where] ^= 1 << int(rng.integers(0, 8))
    elif kind == 2:
        found[where] = int(rng.integers(0, 256))
    elif kind in (3, 4, 9):
        value = _SIZES[int(rng.integers(0, len(_SIZES)))]
        layout = ("<H", ">H", "<I", ">I")[int(rng.integers(0, 4))]
        raw = struct.pack(layout, value & (0xFFFF if layout[1] == "H" else 0xFFFFFFFF))
        found[where : where + len(raw)] = raw
    elif kind == 5:
        del found[where : where + length]
    elif kind == 6:
        found[where:where] = rng.bytes(length)
    elif kind == 7:
        start = int(rng.integers(0, max(1, len(other))))
        found[where : where + length] = other[start : start + length]
    elif rng.random() < 0.5:
        del found[where:]
    else:
        found[where:where] = found[where : where + length] * int(rng.integers(1, 50))


def _place(length: int, rng: np.random.Generator) -> int:
    """More often near the start, where headers are, and near the end, where TIFF tables may be."""
    share = rng.random() ** (3 if rng.random() < 0.6 else 1)
    place = int(share * length)
    return length - 1 - place if rng.random() < 0.2 else place


def _change_tag(found: bytearray, rng: np.random.Generator) -> None:
    """Another code, type, count or value of one entry of the first directory."""
    if len(found) < 8:
        return
    order = "<" if found[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", found, 4)
    if start + 2 > len(found):
        return
    (number,) = struct.unpack_from(order + "H", found, start)
    entry = start + 2 + 12 * int(rng.integers(0, max(1, number)))
    if entry + 12 > len(found):
        return
    match int(rng.integers(0, 4)):
        case 0:
            struct.pack_into(order + "H", found, entry, _TAGS[int(rng.integers(0, len(_TAGS)))])
        case 1:
            struct.pack_into(order + "H", found, entry + 2, int(rng.integers(0, 20)))
        case 2:
            struct.pack_into(order + "I", found, entry + 4, _SIZES[int(rng.integers(0, len(_SIZES)))])
        case _:
            value = (
                _SIZES[int(rng.integers(0, len(_SIZES)))] if rng.random() < 0.5 else int(rng.integers(0, len(found)))
            )
            struct.pack_into(order + "I", found, entry + 8, value)


def _damaged_chunks(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A PNG with one or two chunks damaged and all check sums right; pixels are packed anew after most changes."""
    chunks, position = [], 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        chunks.append((kind, data[position + 8 : position + 8 + length]))
        position += 12 + length
    for _ in range(int(rng.integers(1, 3))):
        place = int(rng.integers(0, len(chunks)))
        kind, body = chunks[place]
        match int(rng.integers(0, 8)):
            case 0:
                chunks.insert(int(rng.integers(0, len(chunks))), chunks[place])
            case 1:
                del chunks[place : place + (len(chunks) > 1)]
            case 2:
                chunks.insert(place, (rng.choice([b"tRNS", b"acTL", b"iCCP", b"zTXt", b"sBIT"]), rng.bytes(8)))
            case 3 if kind == b"IHDR" and len(body) == 13:
                chunks[place] = (kind, body[:8] + bytes(rng.integers(0, [17, 7, 2, 2, 2]).tolist()))
            case _ if kind == b"IDAT":
                chunks[place] = (kind, _repacked(body, rng))
            case _:
                changed = bytearray(body or b"\0")
                _change(changed, other, rng, int(rng.integers(0, 9)))
                chunks[place] = (kind, bytes(changed))
    raw = (kind + body for kind, body in chunks)
    framed = (struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in raw)
    return data[:8] + b"".join(framed)


def _repacked(body: bytes, rng: np.random.Generator) -> bytes:
    try:
        lines = bytearray(zlib.decompress(body))
    except zlib.error:
        return body
    for _ in range(3):
        if lines:
            lines[int(rng.integers(0, len(lines)))] = int(rng.integers(0, 256))
    if rng.random() < 0.2:
        del lines[int(rng.integers(0, len(lines) + 1)) :]
    return zlib.compress(bytes(lines))
