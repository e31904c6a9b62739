import io

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from texture_store.micrograph.vendor import Vendor, read_vendor

FEI = """[User]\r
Date=10/09/2023\r
Time=08:04:59 PM\r
[System]\r
Type=DualBeam\r
[Beam]\r
HV=5000\r
Spot=4.5\r
Beam=EBeam\r
Scan=EScan\r
[EBeam]\r
Source=FEG\r
HFW=1.28e-05\r
VFW=8.84e-06\r
WD=0.00412\r
[Scan]\r
PixelWidth=1.25e-08\r
PixelHeight=1.5e-08\r
HorFieldsize=1.28e-05\r
[Image]\r
ResolutionX=64\r
ResolutionY=44\r
MagCanvasRealWidth=0.128\r
[Detectors]\r
Number=1\r
Name=TLD\r
Mode=SE\r
[PrivateFei]\r
DatabarHeight=6\r
[MultiGISGas1]\r
Name=a\r
[MultiGISGas1]\r
Name=b\r
<?xml version="1.0"?>\r
<Metadata xmlns="http://x" note="PixelWidth=9"><Scan><PixelWidth>3</PixelWidth></Scan></Metadata>\r
"""

ZEISS = """\r
0\r
0\r
0\r
2.465e-08\r
1\r
AP_MAG\r
Mag =    5.00 K X\r
AP_WD\r
WD =  5.2 mm\r
AP_ACTUALKV\r
EHT = 15.00 kV\r
AP_PIXEL_SIZE\r
Pixel Size = 24.65 nm\r
AP_IMAGE_PIXEL_SIZE\r
Image Pixel Size = 12.33 nm\r
DP_DETECTOR_CHANNEL\r
Signal A = InLens\r
AP_DATE\r
Date :23 Aug 2010\r
AP_TIME\r
Time :10:11:12\r
SV_USER_TEXT\r
User Text = \xb5-steel\r
"""

TESCAN = (
    "[MAIN]\r\nDevice=MIRA3 LMH\r\nDate=2021-03-04\r\nTime=10:20:30\r\nImageStripSize=6\r\nMagnification=2500\r\n"
    "PixelSizeX=2.5e-08\r\nPixelSizeY=3e-08\r\n[SEM]\r\nHV=20000\r\nWD=0.0101\r\nDetector=SE\r\n"
)
JEOL = (
    "$CM_FORMAT JEOL-SEM\r\n$CM_DATE 2019/03/12\r\n$CM_TIME 10:21:55\r\n$CM_ACCEL_VOLT 15.00\r\n$CM_MAG 1500\r\n"
    "$CM_SIGNAL SEI\r\n$CM_FULL_SIZE 64 44\r\n$$SM_WD 10.4\r\n$$SM_MICRON_BAR 125\r\n$$SM_MICRON_MARKER 10um\r\n"
)
HITACHI = (
    "[SemImageFile]\r\nInstructName=SU-70\r\nDataSize=64x44\r\nPixelSize=99.2\r\nSignalName=SE(U)\r\n"
    "AcceleratingVoltage=5000 Volt\r\nMagnification=1000\r\nWorkingDistance=8200 um\r\n"
    "Date=2020/01/02\r\nTime=03:04:05\r\n"
)


def tiff(tag: int | None = None, text: str | bytes = "", shape: tuple[int, int] = (50, 64)) -> bytes:
    raw = text.encode("cp1252") if isinstance(text, str) else text
    file = io.BytesIO()
    tags = [] if tag is None else [(tag, 7, len(raw), raw, False)]
    tifffile.imwrite(file, np.zeros(shape, np.uint8), extratags=tags, metadata=None)
    return file.getvalue()


def bmp(shape: tuple[int, int] = (50, 64)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros(shape, np.uint8)).save(file, "BMP")
    return file.getvalue()


@pytest.mark.parametrize("tag", [34680, 34682, 34683])
def test_fei_tags_give_all_facts_in_spite_of_xml_and_repeated_sections(tag: int) -> None:
    assert read_vendor(tiff(tag, FEI)) == Vendor(
        vendor="FEI",
        um_per_px_x=pytest.approx(0.0125),
        um_per_px_y=pytest.approx(0.015),
        magnification=pytest.approx(10_000),
        detector="TLD SE",
        acceleration_voltage_kv=5.0,
        working_distance_mm=pytest.approx(4.12),
        acquired="10/09/2023 08:04:59 PM",
        databar_rows=6,
    )


def test_fei_databar_counts_only_when_picture_and_bar_make_up_the_file() -> None:
    assert read_vendor(tiff(34682, FEI, shape=(44, 64))).databar_rows is None
    assert read_vendor(tiff(34682, FEI.replace("DatabarHeight=6", "DatabarHeight="))).databar_rows is None
    none = FEI.replace("DatabarHeight=6", "DatabarHeight=0")
    assert read_vendor(tiff(34682, none, shape=(44, 64))).databar_rows == 0


def test_fei_scale_falls_back_to_the_field_width_of_the_beam() -> None:
    vendor = read_vendor(tiff(34680, FEI.replace("PixelWidth", "Unknown").replace("PixelHeight", "Unknown")))
    assert vendor.um_per_px_x == pytest.approx(12.8 / 64)
    assert vendor.um_per_px_y == pytest.approx(8.84 / 44)


def test_phenom_xml_is_read() -> None:
    xml = (
        '<?xml version="1.0"?><FeiImage><time>2014-06-16T13:27:29</time><detector>BSD</detector>'
        '<databarHeight>6</databarHeight><pixelWidth unit="nm">120.5</pixelWidth>'
        '<pixelHeight unit="um">0.13</pixelHeight></FeiImage>'
    )
    vendor = read_vendor(tiff(34683, xml))
    assert (vendor.vendor, vendor.detector, vendor.databar_rows) == ("FEI", "BSD", 6)
    assert (vendor.um_per_px_x, vendor.um_per_px_y) == (pytest.approx(0.1205), 0.13)
    assert vendor.acquired == "2014-06-16T13:27:29"


def test_zeiss_pixel_size_is_that_of_the_picture_and_not_of_the_screen() -> None:
    assert read_vendor(tiff(34118, ZEISS, shape=(50, 2048))) == Vendor(
        vendor="Zeiss",
        um_per_px_x=pytest.approx(0.01233),
        um_per_px_y=pytest.approx(0.01233),
        magnification=5000.0,
        detector="InLens",
        acceleration_voltage_kv=15.0,
        working_distance_mm=pytest.approx(5.2),
        acquired="23 Aug 2010 10:11:12",
    )


@pytest.mark.parametrize(
    ("written", "um"), [("558.2 pm", 5.582e-4), ("1,25 µm", 1.25), ("1.25 um", 1.25), ("0.3 mm", 300)]
)
def test_zeiss_units_are_read(written: str, um: float) -> None:
    vendor = read_vendor(tiff(34118, ZEISS.replace("12.33 nm", written)))
    assert vendor.um_per_px_x == pytest.approx(um)


def test_old_zeiss_files_have_the_size_on_the_screen_only() -> None:
    lines = ZEISS.replace("AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 12.33 nm\r\n", "")
    assert read_vendor(tiff(34118, lines, shape=(50, 2048))).um_per_px_x == pytest.approx(0.012325)
    unnamed = lines.replace("AP_PIXEL_SIZE\r\nPixel Size = 24.65 nm\r\n", "")
    for width, um in ((1024, 0.02465), (2048, 0.012325), (512, 0.0493)):
        # the block of bare numbers starts after one empty line
        assert read_vendor(tiff(34118, unnamed.lstrip(), shape=(50, width))).um_per_px_x == pytest.approx(um)


def test_tescan_is_read_from_its_tag_and_from_its_header_file() -> None:
    expected = Vendor(
        vendor="TESCAN",
        um_per_px_x=pytest.approx(0.025),
        um_per_px_y=pytest.approx(0.03),
        magnification=2500.0,
        detector="SE",
        acceleration_voltage_kv=20.0,
        working_distance_mm=pytest.approx(10.1),
        acquired="2021-03-04 10:20:30",
        databar_rows=6,
    )
    assert read_vendor(bmp(), TESCAN.encode()) == expected
    flat = "".join(line + "\r\n" for line in TESCAN.splitlines() if not line.startswith("["))
    assert read_vendor(tiff(50431, b"\x02\x00\xff\xfe\x01\x8d\x9d" + flat.encode())) == expected


def test_jeol_sidecar_gives_the_scale_from_its_marker_and_the_bar_from_the_sizes() -> None:
    assert read_vendor(bmp(), JEOL.encode()) == Vendor(
        vendor="JEOL",
        um_per_px_x=pytest.approx(0.08),
        um_per_px_y=pytest.approx(0.08),
        magnification=1500.0,
        detector="SEI",
        acceleration_voltage_kv=15.0,
        working_distance_mm=10.4,
        acquired="2019/03/12 10:21:55",
        databar_rows=6,
    )
    assert read_vendor(bmp((50, 60)), JEOL.encode()).databar_rows is None
    assert read_vendor(tiff(), JEOL.replace("10um", "200nm").encode()).um_per_px_x == pytest.approx(0.0016)


@pytest.mark.parametrize("encoding", ["ascii", "utf-16", "utf-8-sig"])
def test_hitachi_sidecar_is_read_in_any_encoding(encoding: str) -> None:
    assert read_vendor(bmp(), HITACHI.encode(encoding)) == Vendor(
        vendor="Hitachi",
        um_per_px_x=pytest.approx(0.0992),
        um_per_px_y=pytest.approx(0.0992),
        magnification=1000.0,
        detector="SE(U)",
        acceleration_voltage_kv=5.0,
        working_distance_mm=pytest.approx(8.2),
        acquired="2020/01/02 03:04:05",
        databar_rows=6,
    )


def test_tags_in_the_file_count_before_a_sidecar() -> None:
    assert read_vendor(tiff(34682, FEI), JEOL.encode()).vendor == "FEI"


def test_metadata_on_the_second_page_is_found() -> None:
    file = io.BytesIO()
    raw = ZEISS.encode("cp1252")
    with tifffile.TiffWriter(file) as writer:
        writer.write(np.zeros((50, 64), np.uint8), metadata=None)
        writer.write(np.zeros((8, 8), np.uint8), metadata=None, extratags=[(34118, 7, len(raw), raw, False)])
    assert read_vendor(file.getvalue()).vendor == "Zeiss"


@pytest.mark.parametrize("value", ["", "0", "-1e-9", "nan", "inf", "1e400", "1e-400", "n/a", "--", "1e", "."])
def test_sizes_that_are_no_positive_numbers_are_unknown(value: str) -> None:
    text = FEI.replace("PixelWidth=1.25e-08", f"PixelWidth={value}").replace("HFW=1.28e-05", "HFW=0")
    assert read_vendor(tiff(34682, text)).um_per_px_x is None
    assert read_vendor(bmp(), HITACHI.replace("99.2", value).encode()).um_per_px_x is None


def test_text_is_kept_short_and_free_of_control_characters() -> None:
    text = FEI.replace("Name=TLD", "Name=T\x1b[31mL\x07D\x00" + "x" * 5000)
    detector = read_vendor(tiff(34682, text)).detector
    assert detector is not None
    assert detector.isprintable()
    assert detector.startswith("T [31mL D xxx")
    assert len(detector) <= 120


def test_files_without_metadata_and_other_sidecars_give_nothing() -> None:
    for data in (tiff(), bmp(), b"", b"not an image"):
        assert read_vendor(data, b"some notes\nby hand = 3\n") == Vendor()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from([34680, 34682, 34683, 34118, 50431]), st.binary(max_size=300), st.integers(0, 900))
def test_odd_metadata_never_raises(tag: int, noise: bytes, where: int) -> None:
    for text in (FEI, ZEISS, TESCAN):
        raw = text.encode("cp1252")
        read_vendor(tiff(tag, raw[:where] + noise + raw[where:]))
    for text in (TESCAN, JEOL, HITACHI):
        raw = text.encode()
        read_vendor(bmp(), raw[:where] + noise + raw[where:])
