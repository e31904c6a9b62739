"""PNG files that are wrong: what must be refused, and what must be read in spite of it."""

import struct
import zlib

from tests.hostile.whole import grey, raster

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BOMB_BYTES = 2**27


def chunk(kind: bytes, body: bytes, *, length: int | None = None, check_sum: int | None = None) -> bytes:
    """One chunk, whose length and check sum may lie."""
    right = zlib.crc32(kind + body)
    size, summed = len(body) if length is None else length, right if check_sum is None else check_sum
    return struct.pack(">I", size) + kind + body + struct.pack(">I", summed)


def header(width: int = 40, height: int = 48, bits: int = 8, colour: int = 0, rest: bytes = b"\0\0\0") -> bytes:
    """IHDR."""
    return chunk(b"IHDR", struct.pack(">IIBB", width, height, bits, colour) + rest)


def lines(*, filter_type: int = 0, count: int = 48, width: int = 40) -> bytes:
    """Unpacked pixels."""
    return b"".join(bytes([filter_type]) + row.tobytes() for row in grey(count, width))


def png(*chunks: bytes, head: bytes | None = None, pixels: bytes | None = None) -> bytes:
    """A file of IHDR, other chunks, IDAT and IEND."""
    packed = zlib.compress(lines()) if pixels is None else pixels
    return (
        SIGNATURE
        + (header() if head is None else head)
        + b"".join(chunks)
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )


def refused() -> dict[str, bytes]:
    """Kinds that have no whole picture in them, or too large a one."""
    whole = raster(grey(), "PNG")
    idat = whole.index(b"IDAT")
    wrong_sum = bytearray(whole)
    wrong_sum[idat + 50] ^= 1
    wrong_header = bytearray(whole)
    wrong_header[19] ^= 1
    sixteen = header(bits=16)
    return {
        "signature-only": SIGNATURE,
        "cut-in-the-pixels": whole[: len(whole) // 2],
        "end-missing": whole[:-12],
        "check-sum-of-the-header-wrong": bytes(wrong_header),
        "check-sum-of-the-pixels-wrong": bytes(wrong_sum),
        "width-0": png(head=header(width=0)),
        "height-0": png(head=header(height=0)),
        "width-of-2-to-the-31": png(head=header(width=2**31)),
        "pixel-bomb": png(head=header(60_000, 60_000)),
        "bomb-of-wide-samples": png(head=header(16_384, 16_000, bits=16, colour=6)),
        "bits-3": png(head=header(bits=3)),
        "bits-16-in-a-palette": png(head=header(bits=16, colour=3)),
        "colour-type-5": png(head=header(colour=5)),
        "two-headers": png(header(), head=header(60_000, 60_000)),
        "two-headers-the-larger-last": png(header(60_000, 60_000)),
        "header-of-4-bytes": png(head=chunk(b"IHDR", b"\0\0\0\1")),
        "header-missing": png(head=b""),
        "pixels-before-the-header": SIGNATURE + chunk(b"IDAT", zlib.compress(lines())) + header() + chunk(b"IEND", b""),
        "pixels-missing": SIGNATURE + header() + chunk(b"IEND", b""),
        "pixels-empty": png(pixels=b""),
        "pixels-too-few": png(pixels=zlib.compress(lines(count=20))),
        "pixels-too-few-in-16-bits": png(head=sixteen, pixels=zlib.compress(lines(count=20))),
        "pixels-garbage": png(pixels=bytes(range(256))),
        "palette-missing": png(head=header(colour=3)),
        "palette-of-5-bytes": png(chunk(b"PLTE", bytes(5)), head=header(colour=3)),
        "chunk-of-4-GB": png(chunk(b"tEXt", b"", length=2**32 - 1)),
        "filter-type-9": png(pixels=zlib.compress(lines(filter_type=9))),
        "interlace-method-9": png(head=header(rest=b"\0\0\x09")),
    }


def read() -> dict[str, bytes]:
    """Kinds that hold their picture all the same."""
    bomb = zlib.compress(bytes(BOMB_BYTES), 1)
    return {
        "compression-bomb": png(pixels=zlib.compress(lines() + bytes(BOMB_BYTES), 1)),
        "compression-bomb-in-16-bits": png(
            head=header(20, 48, bits=16), pixels=zlib.compress(lines() + bytes(BOMB_BYTES), 1)
        ),
        "text-of-escapes": png(chunk(b"tEXt", b"Title\0\x1b[2J<script>alert(1)</script>")),
        "text-bomb": png(chunk(b"zTXt", b"Title\0\0" + bomb)),
        "unicode-text-bomb": png(chunk(b"iTXt", b"Title\0\1\0\0\0" + bomb)),
        "profile-bomb": png(chunk(b"iCCP", b"profile\0\0" + bomb)),
        "profile-garbage": png(chunk(b"iCCP", b"\xff" * 300)),
        "exif-in-a-circle": png(chunk(b"eXIf", b"II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\0\0\0\0")),
        "physical-size-0": png(chunk(b"pHYs", bytes(9))),
        "gamma-0": png(chunk(b"gAMA", bytes(4))),
        "significant-bits-255": png(chunk(b"sBIT", b"\xff")),
        "transparency-of-no-bytes": png(chunk(b"tRNS", b"")),
        "frames-of-2-to-the-32": png(chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0))),
        "animation-without-frames": png(chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", bytes(26))),
        "100000-empty-chunks": png(chunk(b"tEXt", b"a\0b") * 100_000),
        "index-beyond-the-palette": png(chunk(b"PLTE", bytes(range(30))), head=header(colour=3)),
        "picture-after-the-end": png() + png(),
        "tiff-after-the-end": png() + b"II*\0\x08\0\0\0",
    }
