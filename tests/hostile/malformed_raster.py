"""JPEG, BMP, GIF and WebP files that are wrong: what must be refused, and what must be read in spite of it."""

import struct

from PIL import Image

from tests.hostile.whole import grey, raster, run_length_bmp


def patched(data: bytes, place: int, layout: str, *values: int) -> bytes:
    """`data` with numbers written over it."""
    found = bytearray(data)
    struct.pack_into(layout, found, place, *values)
    return bytes(found)


def segment(marker: int, body: bytes) -> bytes:
    """One JPEG marker segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def without(data: bytes, marker: int) -> bytes:
    """A JPEG without its segments of one kind."""
    while (place := data.find(bytes([0xFF, marker]))) >= 0:
        (length,) = struct.unpack_from(">H", data, place + 2)
        data = data[:place] + data[place + 2 + length :]
    return data


def many_scans(count: int, size: int = 4000) -> bytes:
    """A progressive JPEG of size x size px whose last scans add nothing: each makes the decoder walk the picture."""
    data = raster(Image.new("L", (size, size), 99), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    return data[:scan] + data[scan:-2] * count + b"\xff\xd9"


def jpeg_refused() -> dict[str, bytes]:
    """JPEG without a whole picture, or with too large a one."""
    whole = raster(grey(), "JPEG")
    frame, scan, tables = whole.index(b"\xff\xc0"), whole.index(b"\xff\xda"), whole.index(b"\xff\xc4")
    return {
        "signature-only": b"\xff\xd8\xff",
        "cut-in-the-header": whole[: frame + 3],
        "cut-in-the-pixels": whole[: (scan + len(whole)) // 2],
        "cut-and-closed": whole[: (scan + len(whole)) // 2] + b"\xff\xd9",
        "pixel-bomb": patched(whole, frame + 5, ">HH", 65_000, 65_000),
        "width-0": patched(whole, frame + 7, ">H", 0),
        "height-0": patched(whole, frame + 5, ">H", 0),
        "channels-0": patched(whole, frame + 9, "B", 0),
        "channels-200": patched(whole, frame + 9, "B", 200),
        "bits-12": patched(whole, frame + 4, "B", 12),
        "sampling-0": patched(whole, frame + 11, "B", 0),
        "quantization-missing": without(whole, 0xDB),
        "codes-overflow": patched(whole, tables + 5, "16B", *[255] * 16),
        "scan-before-the-frame": whole[:2] + whole[scan:],
        "lossless-mode": patched(whole, frame + 1, "B", 0xC3),
        "scans-without-end": many_scans(2000),
    }


def jpeg_read() -> dict[str, bytes]:
    """JPEG that holds its picture all the same."""
    whole = raster(grey(), "JPEG")
    exif = (
        b"Exif\0\0II*\0\x08\0\0\0\2\0" + struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<HHII", 0x112, 3, 1, 99)
    )
    exif += struct.pack("<I", 8)
    pictures = b"MPF\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0xB001, 4, 1, 2**31) + bytes(4)
    return {
        "comment-of-escapes": whole[:2] + segment(0xFE, b"\x1b[2J\x1b]0;x\x07<script>") + whole[2:],
        "exif-in-a-circle": whole[:2] + segment(0xE1, exif) + whole[2:],
        "exif-garbage": whole[:2] + segment(0xE1, b"Exif\0\0" + bytes(range(250))) + whole[2:],
        "profile-of-255-parts": whole[:2] + segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(40)) + whole[2:],
        "pictures-of-2-to-the-31": whole[:2] + segment(0xE2, pictures) + whole[2:],
        "adobe-transform-9": whole[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\x09") + whole[2:],
        "photoshop-garbage": whole[:2] + segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\xff\xff\xff\xff") + whole[2:],
        "density-0": patched(whole, whole.index(b"JFIF") + 7, ">BHH", 1, 0, 0),
        "filler-between-segments": whole[:2] + b"\xff" * 200_000 + whole[2:],
        "10000-comments": whole[:2] + segment(0xFE, b"a") * 10_000 + whole[2:],
        "bytes-after-the-end": whole + bytes(100_000),
        "codes-missing": without(whole, 0xC4),
        "segment-of-length-0": whole[:2] + b"\xff\xe1\0\0" + whole[2:],
        "many-scans": many_scans(20, size=400),
    }


def bmp_refused() -> dict[str, bytes]:
    """BMP without a whole picture, or with too large a one."""
    whole, runs = raster(grey(), "BMP"), run_length_bmp(grey())
    return {
        "signature-only": b"BM",
        "cut-in-the-header": whole[:30],
        "cut-in-the-pixels": whole[:-500],
        "width-0": patched(whole, 18, "<i", 0),
        "height-0": patched(whole, 22, "<i", 0),
        "width-negative": patched(whole, 18, "<i", -40),
        "pixel-bomb": patched(whole, 18, "<ii", 100_000, 100_000),
        "height-of-minus-2-to-the-31": patched(whole, 22, "<i", -(2**31)),
        "bits-3": patched(whole, 28, "<H", 3),
        "header-of-2-to-the-31": patched(whole, 14, "<I", 2**31),
        "header-of-7": patched(whole, 14, "<I", 7),
        "pixels-beyond-the-end": patched(whole, 10, "<I", 2**31),
        "unknown-compression": patched(whole, 30, "<I", 77),
        "palette-of-2-to-the-31": patched(whole, 46, "<I", 2**31),
        "palette-cut": whole[: 14 + 40 + 50],
        "runs-of-gigapixels": patched(runs, 18, "<i", 4_784_168),
        "runs-cut": runs[:-2000],
    }


def bmp_read() -> dict[str, bytes]:
    """BMP that holds its picture all the same."""
    whole, runs = raster(grey(), "BMP"), run_length_bmp(grey())
    start = struct.unpack_from("<I", runs, 10)[0]
    return {
        "file-size-wrong": patched(whole, 2, "<I", 7),
        "density-negative": patched(whole, 38, "<ii", -1, -1),
        "planes-9": patched(whole, 26, "<H", 9),
        "runs-beyond-the-row": runs[:start] + b"\xff\x05" * 500 + runs[start:],
        "runs-that-jump-out": runs[:start] + b"\0\2\xff\xff" * 50 + runs[start:],
        "bytes-after-the-end": whole + bytes(100_000),
    }


def gif_refused() -> dict[str, bytes]:
    """GIF without a whole picture, or with too large a one."""
    whole = raster(grey(), "GIF")
    picture = whole.index(b",", 13 + 3 * 256)
    return {
        "signature-only": b"GIF89a",
        "cut-in-the-header": whole[:9],
        "cut-in-the-pixels": whole[: (picture + len(whole)) // 2],
        "size-0": patched(patched(whole, 6, "<HH", 0, 0), picture + 5, "<HH", 0, 0),
        "pixel-bomb": patched(whole, 6, "<HH", 65_535, 65_535),
        "frame-beyond-its-screen": patched(whole, picture + 1, "<HHHH", 65_000, 65_000, 65_000, 65_000),
        "without-frames": whole[:picture] + b";",
        "code-size-200": patched(whole, picture + 10, "B", 200),
        "codes-garbage": whole[: picture + 11] + b"\xff" + bytes(range(255)) + b"\0;",
    }


def gif_read() -> dict[str, bytes]:
    """GIF that holds its picture all the same."""
    whole = raster(grey(), "GIF")
    picture = whole.index(b",", 13 + 3 * 256)
    return {
        "palette-missing": patched(whole, 10, "B", 0)[:13] + whole[13 + 3 * 256 :],
        "comment-of-escapes": whole[:picture] + b"!\xfe\x14\x1b[2J\x1b]0;x\x07<script>'-\x00" + whole[picture:],
        "comment-of-10-MB": whole[:picture] + b"!\xfe" + (b"\xff" + b"a" * 255) * 40_000 + b"\0" + whole[picture:],
        "unknown-extension": whole[:picture] + b"!\x77\x03abc\0" + whole[picture:],
        "end-missing": whole[:-1],
        "20000-frames": whole[:-1] + (b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0") * 20_000 + b";",
        "code-size-0": patched(whole, picture + 10, "B", 0),
        "interlaced-by-mistake": patched(whole, picture + 9, "B", whole[picture + 9] | 0x40),
    }


def webp_refused() -> dict[str, bytes]:
    """WebP without a whole picture, or with too large a one."""
    colour = Image.fromarray(grey()).convert("RGB")
    whole, exact = raster(colour, "WEBP"), raster(colour, "WEBP", lossless=True)
    moving = raster(colour, "WEBP", save_all=True, append_images=[colour.rotate(90)])
    canvas = moving.index(b"VP8X") + 12
    return {
        "signature-only": b"RIFF\0\0\0\0WEBP",
        "cut-in-the-header": whole[:25],
        "cut-in-the-pixels": whole[:-150],
        "cut-in-exact-pixels": exact[:-500],
        "size-0": patched(whole, 26, "<HH", 0, 0),
        "canvas-of-2-to-the-24": patched(moving, canvas, "<HBHB", 0xFFFF, 0xFF, 0xFFFF, 0xFF),
        "canvas-of-4-gigapixels": patched(moving, canvas, "<HBHB", 0xFFFE, 0, 0xFFFE, 0),
        "canvas-of-one-long-column": patched(moving, canvas, "<HBHB", 39, 0, 47, 64),
        "canvas-unlike-its-frame": patched(moving, canvas, "<HBHB", 3, 0, 3, 0),
        "frame-signature-wrong": patched(whole, 23, "3B", 1, 2, 3),
        "exact-signature-wrong": patched(exact, 20, "B", 0),
        "exact-garbage": exact[:25] + bytes(255 - i % 256 for i in range(len(exact) - 25)),
        "riff-of-0-bytes": patched(whole, 4, "<I", 0),
        "chunk-of-4-GB": patched(whole, 16, "<I", 2**32 - 1),
    }


def webp_read() -> dict[str, bytes]:
    """WebP that holds its picture all the same."""
    colour = Image.fromarray(grey()).convert("RGB")
    whole = raster(colour, "WEBP")
    return {
        "exif-garbage": raster(colour, "WEBP", exif=b"Exif\0\0" + bytes(range(200))),
        "profile-garbage": raster(colour, "WEBP", icc_profile=b"\xff" * 300),
        "bytes-after-the-end": whole + bytes(100_000),
    }
