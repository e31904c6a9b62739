"""STORE/micrographs/dataset=D/spec=S/<shard>.parquet: facts that were read from each file."""

import pyarrow as pa

from schemas.declare import column, optional, table

MICROGRAPHS = table(
    "micrographs",
    1,
    [
        column("image_id", pa.string()),
        column("path", pa.string()),
        column("sha256_bytes", pa.string()),
        column("sha256_pixels", pa.string()),  # of the decoded grey values, with shape and type
        column("file_bytes", pa.int64()),
        column("file_format", pa.string()),  # as found in the bytes, not as the name says
        column("num_pages", pa.int32()),
        column("width", pa.int32()),  # px, of the whole picture as decoded
        column("height", pa.int32()),
        column("bit_depth", pa.int32()),  # significant bits of a grey value
        column("grey_min", pa.float32()),  # in the file's own values, databar cut
        column("grey_max", pa.float32()),
        column("grey_mean", pa.float32()),  # 0..255, as the network sees it
        column("grey_std", pa.float32()),
        column("low_range", pa.bool_()),  # uses under 1/8 of its range
        column("is_colour", pa.bool_()),
        optional("vendor", pa.string()),
        optional("file_um_per_px_x", pa.float64()),  # of the file as it is
        optional("file_um_per_px_y", pa.float64()),
        optional("um_per_px_x", pa.float64()),  # after cut and resize: of what the network sees
        optional("um_per_px_y", pa.float64()),
        column("px_per_px_x", pa.float64()),  # file pixels per pixel that the network sees
        column("px_per_px_y", pa.float64()),
        optional("magnification", pa.float64()),
        optional("detector", pa.string()),
        optional("acceleration_voltage_kv", pa.float64()),
        optional("working_distance_mm", pa.float64()),
        optional("acquired", pa.string()),  # the instrument's own time stamp
        column("databar_method", pa.string()),  # none, vendor, rows, bottom, floating
        optional("databar_top", pa.int32()),  # first row that was cut
        optional("databar_left", pa.int32()),  # box of the bar itself, px: left, right exclusive, bottom exclusive
        optional("databar_right", pa.int32()),
        optional("databar_bottom", pa.int32()),
        column("has_marks", pa.bool_()),  # marks inside the picture, such as a corner scale bar
        column("seen_width", pa.int32()),  # px, what the network receives
        column("seen_height", pa.int32()),
        column("enlarged", pa.bool_()),
        column("notes", pa.list_(pa.string())),  # such as "first of 3 pages"
    ],
)
