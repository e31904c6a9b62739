"""Plants deaths in the process that reads micrographs: Python runs this file when its folder is on the path.

No decoder that is installed has a crash that we know of, so an image whose bytes end in `planted:KIND` really ends the
process here, the way a decoder would.
"""

import sys

READER = "texture_store.micrograph.reading:read_micrograph"

if READER in sys.orig_argv:
    import ctypes

    from texture_store import isolation
    from texture_store.micrograph import reading

    _read = reading.read_micrograph
    _limit_processor = isolation._limit_processor
    isolation._limit_processor = lambda _seconds: _limit_processor(1)

    def _read_or_die(data, *args, **kwargs):
        kind = data[-32:].rpartition(b"planted:")[2]
        if kind == b"segfault":
            ctypes.string_at(0)
        elif kind == b"endless":
            while True:
                pass
        elif kind == b"memory":
            bytearray(2**50)
        return _read(data, *args, **kwargs)

    reading.read_micrograph = _read_or_die
