"""Tar shards that are wrong: what `index` must refuse as a whole, and what it must list in spite of it."""

import tarfile

from tests.hostile.whole import grey, raster, tar

PICTURE = raster(grey(), "PNG")


def member(name: bytes, size: int | bytes, kind: bytes = b"0", body: bytes = b"", link: bytes = b"") -> bytes:
    """One member with a right check sum; `size` as the header says it."""
    raw = size if isinstance(size, bytes) else b"%011o\0" % size
    head = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + raw + b"00000000000\0" + b" " * 8 + kind
    head = (head + link.ljust(100, b"\0") + b"ustar\x0000").ljust(512, b"\0")
    head = head[:148] + b"%06o\0 " % sum(head) + head[156:]
    return head + body + bytes(-len(body) % 512)


def number(value: int) -> bytes:
    """A size as GNU tar writes those over 8 GB."""
    return bytes([0x80]) + value.to_bytes(11, "big") if value >= 0 else (256**12 + value).to_bytes(12, "big")


END = bytes(1024)


def refused() -> dict[str, bytes]:
    """Shards of which nobody can say what else was in them."""
    whole = tar({"a.png": PICTURE, "b.png": PICTURE}, layout=tarfile.USTAR_FORMAT)
    wrong = bytearray(whole)
    wrong[512 + len(PICTURE) + -len(PICTURE) % 512 + 10] ^= 1
    good = member(b"a.png", len(PICTURE), body=PICTURE)
    return {
        "no-tar": b"this is no tar" * 100,
        "cut-in-a-header": whole[:300],
        "cut-in-a-member": good[:-700],
        "check-sum-wrong": bytes(wrong),
        "member-of-8-exbibytes": member(b"b.png", number(2**63)) + END,
        "member-beyond-the-end": good + member(b"b.png", 2**30, body=b"x") + END,
        "size-negative": good + member(b"b.png", number(-512)) + END,
        "size-no-number": good + member(b"b.png", b"zzzzzzzzzzz\0") + END,
        "extended-header-of-8-exbibytes": member(b"x", number(2**63), b"x") + good + END,
        "extended-header-of-1-terabyte": member(b"x", number(2**40), b"x") + good + END,
        "long-name-of-1-terabyte": member(b"././@LongLink", number(2**40), b"L") + good + END,
        "extended-header-of-length-0": member(b"x", 9, b"x", b"0 path=a\n") + good + END,
        "5000-long-names-in-a-row": member(b"././@LongLink", 5, b"L", b"abcd\0") * 5000 + good + END,
        "sparse-map-garbage": member(b"x", 33, b"x", b"33 GNU.sparse.map=a,b,c,d,e,f,g,\n") + good + END,
        "extended-size-no-number": member(b"x", 13, b"x", b"13 size=1e99\n") + good + END,
    }


def read() -> dict[str, bytes]:
    """Shards that are listed without what must not be read."""
    good = member(b"a.png", len(PICTURE), body=PICTURE)
    return {
        "names-that-leave-the-root": good + member(b"../../etc/a.png", 4, body=b"abcd") + member(b"/abs.png", 0) + END,
        "links": good + member(b"b.png", 0, b"2", link=b"/etc/passwd") + member(b"c.png", 0, b"1", link=b"a.png") + END,
        "devices": good + member(b"b.png", 0, b"3") + member(b"c.png", 0, b"6") + END,
        "name-of-escapes": good + member(b"\x1b[2J\x1b]0;x\x07<script>.png", 4, body=b"abcd") + END,
        "name-not-unicode": good + member(b"\xff\xfe\xfd.png", 4, body=b"abcd") + END,
        "name-empty": good + member(b"", 4, body=b"abcd") + END,
        "members-without-bytes": good + member(b"b.png", 0) * 50 + END,
        "unknown-kind": good + member(b"b.png", 4, b"Q", body=b"abcd") + END,
        "bytes-after-the-end": good + END + b"more" * 1000,
        "extended-header-garbage": member(b"x", 5, b"x", b"zzzzz") + good + END,
        "picture-cut-inside": member(b"a.png", 300, body=PICTURE[:300]) + END,
    }
