"""Values in the text of instruments: numbers with units, and key = value sections. Nothing here ever raises."""

import math
import re

from texture_store.micrograph.decoded import one_line

MAX_TEXT_BYTES = 2**20
"""Metadata of all instruments known stays under 100 kB."""
_MAX_VALUE = 120
_NUMBER = re.compile(r"\s*([-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d{1,4})?)\s*(.*)", re.DOTALL)
_SECTION = re.compile(r"\[([^\]\r\n]{1,80})\]")

UM = {"m": 1e6, "cm": 1e4, "mm": 1e3, "um": 1.0, "µm": 1.0, "μm": 1.0, "nm": 1e-3, "pm": 1e-6, "å": 1e-4}
MM = {unit: factor / 1e3 for unit, factor in UM.items()}
KV = {"kv": 1.0, "kvolt": 1.0, "v": 1e-3, "volt": 1e-3}

Sections = dict[str, dict[str, str]]


def text_of(raw: bytes) -> str:
    """Bytes as text: UTF-16 with a byte order mark (Hitachi), UTF-8, else Windows-1252 (Zeiss writes its µ so)."""
    raw = raw[:MAX_TEXT_BYTES]
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = raw.decode("utf-16", errors="replace")
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", errors="replace")
    return text.rstrip("\0")


def word(text: str | None) -> str | None:
    """A value as one short printable line; None when nothing is left."""
    return one_line(text, _MAX_VALUE) or None if text else None


def words(*texts: str | None) -> str | None:
    """Several values on one line."""
    return word(" ".join(part for part in map(word, texts) if part))


def quantity(text: str | None, units: dict[str, float], unit: str | None = None) -> float | None:
    """A positive finite number times the factor of its unit; `unit` is the one that a bare number has.

    None for a number without a unit where none is agreed, for an unknown unit, and for zero and below.
    """
    match = _NUMBER.match(text or "")
    if match is None:
        return None
    written = match[2].strip().split(" ")[0].lower() or unit
    return positive(match[1], units[written]) if written in units else None


def positive(text: str | None, factor: float = 1.0) -> float | None:
    """The number that is the first word of a text, times a factor; None unless it is finite and above zero."""
    text = text or ""
    match = _NUMBER.match(text)
    if match is None or text[match.end(1) : match.end(1) + 1].strip():
        return None
    value = float(match[1].replace(",", ".")) * factor
    return value if math.isfinite(value) and value > 0 else None


def count(text: str | None) -> int | None:
    """A whole number from 0 on; None for anything else."""
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"\d{1,7}", text, re.ASCII) else None


def sections(text: str) -> Sections:
    """`[name]` sections of `key=value` lines; keys before any section are in section "".

    Of a key that comes twice the first one counts; XML, which FEI writes after its sections, is passed over.
    """
    found: Sections = {"": {}}
    current = found[""]
    for line in text.splitlines():
        line = line.strip()
        if match := _SECTION.fullmatch(line):
            current = found.setdefault(match[1].strip(), {})
        elif not line.startswith("<"):
            key, equals, value = line.partition("=")
            if equals and value.strip():
                current.setdefault(key.strip(), value.strip())
    return found
