"""Tampered twins of a signed PE file: each changes one thing that a signature must protect."""

from __future__ import annotations

import struct
from collections.abc import Callable

_SECURITY_PE32, _SECURITY_PE64 = 128, 144
_PE32_PLUS = 0x20B
_RSA_VALUE = bytes.fromhex("06092a864886f70d0101010500048201")


def in_section(data: bytes) -> bytes:
    """A byte in the middle of the first section's raw data."""
    header = _optional_header(data)
    (size,) = struct.unpack_from("<H", data, header - 4)
    raw_size, raw_offset = struct.unpack_from("<II", data, header + size + 16)
    return _flipped(data, raw_offset + raw_size // 2)


def in_header(data: bytes) -> bytes:
    """The link time in the COFF header."""
    return _flipped(data, _optional_header(data) - 16)


def in_overlay(data: bytes) -> bytes:
    """The last byte before the certificate table."""
    return _flipped(data, _table(data)[0] - 1)


def in_signature_value(data: bytes) -> bytes:
    """A byte of the signer's RSA signature: what follows rsaEncryption and is an OCTET STRING (RFC 5652 §5.3)."""
    start, size = _table(data)
    at = data.index(_RSA_VALUE, start, start + size)
    return _flipped(data, at + len(_RSA_VALUE) + 40)


def without_signature(data: bytes) -> bytes:
    """The certificate table cut off and its directory entry cleared."""
    start, _size = _table(data)
    entry = _security_entry(data)
    return data[:entry] + bytes(8) + data[entry + 8 : start]


def with_data_behind(data: bytes) -> bytes:
    """Eight bytes more in the certificate table, behind the signature's DER; the table's sizes are corrected."""
    start, size = _table(data)
    entry = _security_entry(data)
    (length,) = struct.unpack_from("<I", data, start)
    grown = data[:entry] + struct.pack("<II", start, size + 8) + data[entry + 8 : start]
    return grown + struct.pack("<I", length + 8) + data[start + 4 :] + b"payload!"


TWINS: dict[str, Callable[[bytes], bytes]] = {
    "section": in_section,
    "header": in_header,
    "overlay": in_overlay,
    "value": in_signature_value,
    "stripped": without_signature,
}


def _optional_header(data: bytes) -> int:
    (pe,) = struct.unpack_from("<I", data, 0x3C)
    return int(pe) + 24


def _security_entry(data: bytes) -> int:
    header = _optional_header(data)
    (magic,) = struct.unpack_from("<H", data, header)
    return header + (_SECURITY_PE64 if magic == _PE32_PLUS else _SECURITY_PE32)


def _table(data: bytes) -> tuple[int, int]:
    offset, size = struct.unpack_from("<II", data, _security_entry(data))
    return offset, size


def _flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 0x55]) + data[offset + 1 :]
