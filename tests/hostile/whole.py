"""Small whole files of every format and layout that is read: what gets damaged."""

import io
import tarfile

import numpy as np
import tifffile
from PIL import Image

FEI = (
    "[Scan]\nPixelWidth=1e-9\nPixelHeight=1e-9\n[Image]\nResolutionX=40\nResolutionY=40\n"
    "[PrivateFei]\nDatabarHeight=8\n[Detectors]\nName=ETD\nMode=SE\n[User]\nDate=2020/01/02\nTime=1:2:3\n\0"
)
ZEISS = (
    "0\r\n0\r\n1.23e-008\r\n2.46e-008\r\nAP_MAG\r\nMag =   5.00 K X\r\nAP_IMAGE_PIXEL_SIZE\r\n"
    "Image Pixel Size = 12.33 nm\r\nAP_WD\r\nWD = 5.1 mm\r\nDP_DETECTOR_CHANNEL\r\nSignal A = InLens\r\n"
)
TESCAN = (
    "[MAIN]\r\nDevice=MIRA3 LMH\r\nDate=2021-03-04\r\nImageStripSize=6\r\nMagnification=2500\r\n"
    "PixelSizeX=2.5e-08\r\nPixelSizeY=3e-08\r\n[SEM]\r\nHV=20000\r\nWD=0.0101\r\nDetector=SE\r\n"
)
JEOL = "$CM_FORMAT JEOL-SEM\r\n$CM_MAG 1500\r\n$CM_FULL_SIZE 40 40\r\n$$SM_MICRON_BAR 12\r\n$$SM_MICRON_MARKER 10um\r\n"
HITACHI = "[SemImageFile]\r\nDataSize=40x40\r\nPixelSize=99.2\r\nMagnification=1000\r\nWorkingDistance=8200 um\r\n"
SIDECARS = tuple(text.encode() for text in (TESCAN, JEOL, HITACHI))


def grey(height: int = 48, width: int = 40) -> np.ndarray:
    """uint8 (height, width): a ramp with noise."""
    noise = np.random.default_rng(5).integers(0, 9, (height, width))
    return (np.add.outer(np.arange(height), np.arange(width)) * 2 + noise).astype(np.uint8)


def raster(image: Image.Image | np.ndarray, file_format: str, **options: object) -> bytes:
    """A file that Pillow writes."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, file_format, **options)
    return file.getvalue()


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    """A file that tifffile writes."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def tar(members: dict[str, bytes], *, layout: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar shard."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=layout) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def whole_files() -> dict[str, bytes]:
    """48 x 40 px in every format, by `format-layout`."""
    picture = grey()
    image, colour = Image.fromarray(picture), Image.fromarray(np.dstack([picture, picture.T.reshape(48, 40), picture]))
    wide = (picture.astype(np.uint16) << 8) | picture
    found = {
        "png-grey": raster(image, "PNG"),
        "png-palette": raster(image.convert("P"), "PNG"),
        "png-rgba": raster(colour.convert("RGBA"), "PNG"),
        "png-16": raster(wide, "PNG"),
        "png-bits": raster(image.convert("1"), "PNG"),
        "jpeg-grey": raster(image, "JPEG"),
        "jpeg-colour": raster(colour, "JPEG", subsampling=2, restart_marker_blocks=2),
        "jpeg-progressive": raster(colour, "JPEG", progressive=True),
        "jpeg-cmyk": raster(colour.convert("CMYK"), "JPEG"),
        "bmp-palette": raster(image, "BMP"),
        "bmp-colour": raster(colour, "BMP"),
        "bmp-rle": run_length_bmp(picture),
        "gif-grey": raster(image, "GIF"),
        "gif-animated": raster(image, "GIF", save_all=True, append_images=[image.rotate(180)]),
        "webp-lossy": raster(colour, "WEBP"),
        "webp-lossless": raster(colour, "WEBP", lossless=True),
        "webp-animated": raster(colour, "WEBP", save_all=True, append_images=[colour.rotate(180)]),
        "webp-alpha": raster(colour.convert("RGBA").rotate(9), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    }
    ramp = np.repeat(np.arange(256, dtype=np.uint16)[np.newaxis] * 257, 3, axis=0)
    tag = {"extratags": [(34682, 2, len(FEI), FEI, False)]}
    zeiss = {"extratags": [(34118, 7, len(ZEISS), ZEISS.encode(), False)]}
    tescan = {"extratags": [(50431, 7, len(TESCAN), TESCAN.encode(), False)]}
    found |= {
        "tiff-plain": tiff(picture, **tag),
        "tiff-strips": tiff(picture, rowsperstrip=8, **zeiss),
        "tiff-lzw": tiff(picture, compression="lzw", predictor=True, **tescan),
        "tiff-tiles": tiff(picture, compression="zlib", tile=(16, 16), **tag),
        "tiff-jpeg": tiff(picture, compression="jpeg"),
        "tiff-jpeg-colour": tiff(np.asarray(colour), compression="jpeg", photometric="rgb", rowsperstrip=16),
        "tiff-packbits": tiff(picture, compression="packbits"),
        "tiff-lzma": tiff(picture, compression="lzma"),
        "tiff-zstd": tiff(wide, compression="zstd", predictor=True),
        "tiff-big": tiff(wide, bigtiff=True, byteorder=">"),
        "tiff-float": tiff(picture.astype(np.float32) / 255, compression="zlib", predictor=True),
        "tiff-palette": tiff(picture, photometric="palette", colormap=ramp),
        "tiff-planes": tiff(np.moveaxis(np.asarray(colour), -1, 0), photometric="rgb", planarconfig="separate"),
        "tiff-bits": tiff(picture > 99, compression="packbits"),
        "tiff-cmyk": tiff(np.asarray(colour.convert("CMYK")), photometric="separated"),
    }
    members = {"a.png": found["png-grey"], f"{'long/' * 30}b.tif": found["tiff-lzw"], "ü.jpg": found["jpeg-grey"]}
    for name, layout in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        found[f"tar-{name}"] = tar(members, layout=layout)
    return found


def run_length_bmp(picture: np.ndarray) -> bytes:
    """A BMP compressed by runs (RLE8), which Pillow reads and does not write."""
    height, width = picture.shape
    rows = []
    for row in (picture[::-1] // 16).tolist():
        rows.append(b"".join(bytes([1, value]) for value in row) + b"\0\0")
    pixels = b"".join(rows) + b"\0\1"
    palette = b"".join(bytes([16 * i] * 3 + [0]) for i in range(16))
    start = 14 + 40 + len(palette)
    header = b"BM" + (start + len(pixels)).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little")
    sizes = [
        (40, 4),
        (width, 4),
        (height, 4),
        (1, 2),
        (8, 2),
        (1, 4),
        (len(pixels), 4),
        (0, 4),
        (0, 4),
        (16, 4),
        (0, 4),
    ]
    return header + b"".join(value.to_bytes(size, "little") for value, size in sizes) + palette + pixels
