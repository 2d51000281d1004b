"""NSIS installers from the outside: the integrity check that an installer makes of itself when it starts.

The first header (NSIS, exehead/fileform.h) follows the program at a multiple of 512 bytes: flags, the signature
0xDEADBEEF "NullsoftInst", the length of the header, and that of all data from here to the checksum's end. The checksum
(CRC-32) covers the file from byte 512, where the parts of the PE header end that a signature changes.
"""

from __future__ import annotations

import struct
import zlib

_SIGNATURE = struct.pack("<I", 0xDEADBEEF) + b"NullsoftInst"
_NO_CHECK = 4
_FORCED = 8


def integrity_holds(installer: bytes) -> bool:
    """Whether the installer would start: its checksum is there, is checked, and is that of its bytes."""
    start = next(at for at in range(0, len(installer), 512) if installer[at + 4 : at + 20] == _SIGNATURE)
    flags, length = struct.unpack_from("<I", installer, start)[0], struct.unpack_from("<I", installer, start + 24)[0]
    assert not flags & _NO_CHECK
    end = start + length
    return bool(struct.unpack_from("<I", installer, end - 4)[0] == zlib.crc32(installer[512 : end - 4]))
