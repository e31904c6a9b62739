"""TIFF files that are wrong: what must be refused, and what must be read in spite of it."""

import lzma
import struct
import zlib

import imagecodecs
import numpy as np

from tests.hostile.whole import FEI, grey, tiff

SHORT, LONG, ASCII, FLOAT, UNDEFINED = 3, 4, 2, 11, 7
_BYTES = {SHORT: 2, LONG: 4, ASCII: 1, FLOAT: 4, UNDEFINED: 1}
BOMB_BYTES = 2**27

Entry = tuple[int, int, int]
"""Field type, count, value."""


def page(changes: dict[int, Entry | None] | None = None, pixels: bytes | None = None, *, after: bytes = b"") -> bytes:
    """A little-endian TIFF of one strip, 48 x 40 px, with entries changed or left out; `after` follows its pixels."""
    pixels = grey().tobytes() if pixels is None else pixels
    plain = {256: 40, 257: 48, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 48, 279: len(pixels)}
    entries: dict[int, Entry | None] = {code: (LONG, 1, value) for code, value in plain.items()}
    entries |= changes or {}
    kept = {code: entry for code, entry in sorted(entries.items()) if entry is not None}
    start = 8 + 2 + 12 * len(kept) + 4
    if kept.get(273) == (LONG, 1, 0):
        kept[273] = (LONG, 1, start)
    table = b"".join(struct.pack("<HHII", code, *entry) for code, entry in kept.items())
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(kept)) + table + b"\0\0\0\0" + pixels + after


def at_the_end(code: int, kind: int, raw: bytes, changes: dict[int, Entry | None] | None = None) -> bytes:
    """A page with a tag whose bytes follow the pixels."""
    without = page({code: (kind, 1, 0), **(changes or {})})
    return page({code: (kind, len(raw) // _BYTES[kind], len(without)), **(changes or {})}, after=raw)


def chain(count: int, last: int = 0) -> bytes:
    """Pages of one tag, each pointing to the next one; the last one points to page number `last`."""
    entry = struct.pack("<HHHII", 1, 256, LONG, 1, 1)
    links = [8 + 18 * (i + 1) for i in range(count - 1)] + [8 + 18 * last]
    return b"II*\0\x08\0\0\0" + b"".join(entry + struct.pack("<I", link) for link in links)


def compressed(code: int, packed: bytes, **changes: int) -> bytes:
    """A page of 48 x 40 px whose strip is compressed by method `code`."""
    tags: dict[int, Entry | None] = {259: (LONG, 1, code), 279: (LONG, 1, len(packed))}
    return page(tags | {int(tag[1:]): (LONG, 1, value) for tag, value in changes.items()}, packed)


def refused() -> dict[str, bytes]:
    """Kinds that have no picture in them, or too large a one."""
    whole, picture = tiff(grey()), grey()
    jpeg = bytearray(tiff(picture, compression="jpeg"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    floats = np.full((48, 40), np.nan, np.float32)
    big = tiff(picture, bigtiff=True)
    deflated = zlib.compress(picture.tobytes())
    return {
        "signature-only": b"II*\0",
        "directory-beyond-the-end": b"II*\0\xff\xff\xff\x7f" + bytes(100),
        "directory-offset-0": b"II*\0" + bytes(100),
        "directory-in-the-header": b"II*\0\x02\0\0\0" + bytes(100),
        "directory-without-tags": b"II*\0\x08\0\0\0" + bytes(100),
        "directory-of-65535-tags": b"II*\0\x08\0\0\0\xff\xff" + bytes(100),
        "directory-cut": whole[: len(whole) // 12],
        "directories-in-a-circle": chain(1),
        "directories-in-a-long-circle": chain(300),
        "directories-without-end": chain(70_000, last=69_998),
        "cut-in-the-pixels": page()[:-700],
        "cut-in-compressed-pixels": tiff(picture, compression="lzw")[:-300],
        "width-0": page({256: (LONG, 1, 0)}),
        "height-0": page({257: (LONG, 1, 0)}),
        "width-missing": page({256: None}),
        "strips-missing": page({273: None, 279: None}),
        "strip-beyond-the-end": page({273: (LONG, 1, 2**31)}),
        "strip-of-4-GB": compressed(8, deflated, t279=2**32 - 1),
        "strip-of-0-bytes": compressed(8, b""),
        "strip-table-of-2-to-the-32": page({273: (LONG, 2**32 - 1, 8)}),
        "too-few-strips": compressed(8, deflated, t278=1),
        "pixel-bomb": page({256: (LONG, 1, 60_000), 257: (LONG, 1, 60_000)}),
        "pixel-bomb-of-the-largest-sizes": page({256: (LONG, 1, 2**32 - 1), 257: (LONG, 1, 2**32 - 1)}),
        "one-row-of-2-to-the-32": page({256: (LONG, 1, 1), 257: (LONG, 1, 2**32 - 1)}),
        "bomb-of-wide-samples": page({256: (LONG, 1, 16_000), 257: (LONG, 1, 16_000), 258: (SHORT, 1, 64)}),
        "tile-bomb": page({322: (LONG, 1, 2**20), 323: (LONG, 1, 2**20), 324: (LONG, 1, 200), 325: (LONG, 1, 100)}),
        "tile-of-width-0": page({322: (LONG, 1, 0), 323: (LONG, 1, 16), 324: (LONG, 1, 200), 325: (LONG, 1, 100)}),
        "samples-of-65535": page({277: (SHORT, 1, 65_535)}),
        "bits-77": page({258: (SHORT, 1, 77)}),
        "bits-65535": page({258: (SHORT, 1, 65_535)}),
        "complex-samples": tiff(np.ones((48, 40), np.complex64)),
        "unknown-compression": page({259: (SHORT, 1, 34_712)}),
        "unknown-photometric": page({262: (SHORT, 1, 32_803)}),
        "floats-without-a-range": tiff(floats),
        "lzw-garbage": compressed(5, bytes(range(256)) * 2),
        "deflate-garbage": compressed(8, bytes(range(256)) * 2),
        "jpeg-strip-garbage": compressed(7, bytes(range(256)) * 2),
        "jpeg-strip-larger-than-its-place": bytes(jpeg),
        "big-offset-of-2-to-the-63": b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63) + bytes(64),
        "big-tags-of-2-to-the-60": big[:8] + struct.pack("<Q", 16) + struct.pack("<Q", 2**60) + bytes(64),
        "deflate-bomb": compressed(8, zlib.compress(bytes(BOMB_BYTES), 1)),
        "zstd-bomb": compressed(50_000, imagecodecs.zstd_encode(bytes(BOMB_BYTES))),
        "packbits-bomb": compressed(32_773, b"\x81\0" * 400_000),
        "palette-missing": page({262: (SHORT, 1, 3)}),
        "lsm-info-garbage": at_the_end(34_412, UNDEFINED, b"\xff" * 600),
        "palette-with-floats": tiff(floats, photometric="minisblack").replace(
            b"\x06\x01\x03\0\x01\0\0\0\x01\0", b"\x06\x01\x03\0\x01\0\0\0\x03\0"
        ),
    }


def read() -> dict[str, bytes]:
    """Kinds that hold their picture all the same."""
    hostile_fei = FEI.replace("ETD", "\x1b[2J\x1b]0;owned\x07<script>alert(1)</script>' OR 1=1 --").encode()
    laughs = b"<!DOCTYPE x [" + b"".join(b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10) for i in range(1, 20))
    laughs = b'<?xml version="1.0"?>' + laughs + b"]><OME><Image><Pixels>&l19;</Pixels></Image></OME>\0"
    return {
        "lzma-bomb": compressed(34_925, lzma.compress(bytes(BOMB_BYTES), preset=0)),
        "rows-per-strip-0": page({278: (LONG, 1, 0)}),
        "rows-per-strip-of-2-to-the-32": page({278: (LONG, 1, 2**32 - 1)}),
        "photometric-missing": page({262: None}),
        "orientation-65535": page({274: (SHORT, 1, 65_535)}),
        "planar-configuration-9": page({284: (SHORT, 1, 9)}),
        "unknown-field-type": page({50_000: (99, 2**32 - 1, 8)}),
        "description-of-4-GB": page({270: (ASCII, 2**32 - 1, 8)}),
        "description-claims-a-shape": at_the_end(270, ASCII, b'{"shape": [100000, 100000, 100000]}\0'),
        "description-claims-imagej-stacks": at_the_end(
            270, ASCII, b"ImageJ=1.53\nimages=100000000\nslices=100000000\n\0"
        ),
        "description-of-entities-in-entities": at_the_end(270, ASCII, laughs),
        "imagej-metadata-of-4-GB": page({50_838: (LONG, 2**30, 8), 50_839: (UNDEFINED, 2**32 - 1, 8)}),
        "stk-planes-of-2-to-the-32": page({33_628: (LONG, 2**32 - 1, 8), 33_629: (5, 2**32 - 1, 8)}),
        "sub-directory-in-a-circle": page({330: (LONG, 1, 8)}),
        "exif-directory-in-a-circle": page({34_665: (LONG, 1, 8)}),
        "instrument-tag-of-escapes": at_the_end(34_682, UNDEFINED, hostile_fei),
        "instrument-tag-of-one-endless-line": at_the_end(34_682, UNDEFINED, b"[Scan]\nPixelWidth=" + b"9" * 500_000),
        "instrument-tag-of-infinite-sizes": at_the_end(34_682, UNDEFINED, FEI.replace("1e-9", "1e999").encode()),
        "instrument-tag-of-2000000-sections": at_the_end(34_682, UNDEFINED, b"[a]\n" * 500_000),
        "instrument-tag-claims-rows": at_the_end(34_682, UNDEFINED, FEI.replace("=8", "=9999999").encode()),
        "zeiss-tag-of-keys-alone": at_the_end(34_118, UNDEFINED, b"AP_IMAGE_PIXEL_SIZE\r\n" * 40_000),
        "two-copies-of-every-tag": twice(),
    }


def twice() -> bytes:
    """A directory with every tag twice."""
    data = page()
    (number,) = struct.unpack_from("<H", data, 8)
    table, rest = data[10 : 10 + 12 * number], data[10 + 12 * number :]
    pairs = b"".join(table[i : i + 12] * 2 for i in range(0, len(table), 12))
    moved = pairs.replace(
        struct.pack("<HHII", 273, LONG, 1, 14 + 12 * number), struct.pack("<HHII", 273, LONG, 1, 14 + 24 * number)
    )
    return data[:8] + struct.pack("<H", 2 * number) + moved + rest
