"""Business Central packages, and what OpenSSL says of their signature: nothing of ours is used here."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import subprocess
import zipfile
from pathlib import Path


def build_navx(*, runtime: bool = False, version: int = 2, content: bytes | None = None) -> bytes:
    """An unsigned package; the content of a runtime package is scrambled behind its own mark."""
    if content is None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("NavxManifest.xml", "<Package/>")
            archive.writestr("src/Hello.al", "codeunit 50100 Hello { }\n" * 400)
        content = packed.getvalue()
    if runtime:
        content = b".NEA\0\0\0\1" + hashlib.shake_128(content).digest(len(content))
    return struct.pack("<4sII16sq4s", b"NAVX", 40, version, bytes(range(16)), len(content), b"NAVX") + content


def block(data: bytes) -> int:
    """Where the signature block of a package begins."""
    return 40 + int.from_bytes(data[28:36], "little")


def openssl_verify(path: Path, root: Path) -> str:
    """Let OpenSSL verify the signature in the package at `path`; gives the digest that it covers (hex).

    Raises CalledProcessError when it does not hold.
    """
    data = path.read_bytes()
    start = block(data)
    assert (data[start : start + 4], data[-4:]) == (b"NXSB", b"NXSB")
    assert struct.unpack_from("<I", data, len(data) - 8)[0] == start
    signature, content = path.with_suffix(".der"), path.with_suffix(".spc")
    signature.write_bytes(data[start + 4 : -8])
    parsed = _openssl("asn1parse", "-inform", "DER", "-in", signature)
    found = re.search(r"OBJECT +:1\.3\.6\.1\.4\.1\.311\.2\.1\.4\n.*\n *(\d+):d=5 +hl=(\d) l= *(\d+)", parsed)
    assert found is not None
    at, header, length = map(int, found.groups())
    content.write_bytes(signature.read_bytes()[at + header : at + header + length])
    options = ("-inform", "DER", "-in", signature, "-content", content, "-CAfile", root, "-purpose", "any")
    _openssl("smime", "-verify", "-binary", *options, "-out", content.with_suffix(".out"))
    digest = re.search(r"HEX DUMP\]:([0-9A-F]{64,})", parsed)
    assert digest is not None
    return digest[1].lower()


def _openssl(*arguments: object) -> str:
    command = ["openssl", *map(str, arguments)]
    return str(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
