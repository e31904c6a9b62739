"""A checksum inside a file: in the footer of Parquet, at the front of a JSON object. It covers every other byte.

Readers that know nothing of it see one more key. Files of before it have none; everything else about a file that has
lost its checksum by damage differs from such a file.
"""

import hashlib
import re

CHECKSUM_KEY = "texture_store.checksum"
"""In the key-value metadata of a Parquet footer."""

_PREFIX = b"sha256:"
UNSEALED = (_PREFIX + b"0" * 64).decode()
"""The value that a writer puts under CHECKSUM_KEY, for `seal_parquet` to fill in."""

_VALUE = re.compile(_PREFIX + rb"([0-9a-f]{64})")
_JSON = re.compile(rb'\{"checksum":"([0-9a-f]{64})",')
_TAIL_BYTES = 8
"""Of a Parquet file: the length of its footer, and the magic number."""


def seal_json(body: bytes) -> bytes:
    """A JSON object (one key at least, no spaces) with the SHA-256 of itself as its first key, `checksum`."""
    return b'{"checksum":"' + hashlib.sha256(body).hexdigest().encode() + b'",' + body[1:]


def is_json_whole(data: bytes) -> bool | None:
    """Whether the checksum of a JSON object holds; None when there is none, as in files of before it."""
    found = _JSON.match(data)
    if found is None:
        return None
    return hashlib.sha256(b"{" + data[found.end() :]).hexdigest().encode() == found[1]


def seal_parquet(data: memoryview) -> bytes:
    """A Parquet file that was written with UNSEALED in its footer, with the SHA-256 of itself there instead."""
    footer = _footer_start(data)
    start = footer + bytes(data[footer:]).rindex(UNSEALED.encode()) + len(_PREFIX)
    digest = hashlib.sha256(data).hexdigest().encode()
    return b"".join((data[:start], digest, data[start + 64 :]))


def is_parquet_whole(data: bytes) -> bool | None:
    """Whether the checksum of a Parquet file holds; None when there is none, as in files of before it."""
    footer = _footer_start(memoryview(data))
    key = data.find(CHECKSUM_KEY.encode(), footer)
    values = list(_VALUE.finditer(data, footer))
    if key < 0 and not values:
        return None
    found = next((value for value in values if 0 < value.start() - key - len(CHECKSUM_KEY) < _TAIL_BYTES), None)
    if key < 0 or found is None:  # one of the two is damaged
        return False
    sha256 = hashlib.sha256(memoryview(data)[: found.start(1)])
    sha256.update(b"0" * 64)
    sha256.update(memoryview(data)[found.end(1) :])
    return sha256.hexdigest().encode() == found[1]


def _footer_start(data: memoryview) -> int:
    length = int.from_bytes(data[-_TAIL_BYTES : -_TAIL_BYTES + 4], "little")
    return max(0, len(data) - _TAIL_BYTES - length)
