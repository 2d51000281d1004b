"""CRC-32C (Castagnoli; RFC 3720 appendix B.4), by which Google Cloud KMS guards what is sent and answered."""

from __future__ import annotations

from typing import Final

_POLYNOMIAL: Final = 0x82F63B78
_ALL: Final = 0xFFFFFFFF


def _entry(value: int) -> int:
    for _bit in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE: Final = tuple(_entry(value) for value in range(256))


def crc32c(data: bytes) -> int:
    """The checksum of `data`, of 32 bits."""
    value = _ALL
    for byte in data:
        value = (value >> 8) ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ _ALL
