"""The certificate table: what is a signature in it, and that nothing else may be there (CVE-2013-3900)."""

from __future__ import annotations

import struct

import pytest

from kspsign.authenticode.pe.table import build_table, parse_table, table_finding
from kspsign.model.hresults import Hresult

SHORT = b"\x30\x04\x02\x02\x12\x34"
EVEN = b"\x30\x06" + bytes(6)
LONG = b"\x30\x82\x01\x00" + bytes(256)


def entry(blob: bytes, *, length: int | None = None, revision: int = 0x0200, kind: int = 2) -> bytes:
    return struct.pack("<IHH", 8 + len(blob) if length is None else length, revision, kind) + blob


@pytest.mark.parametrize("signatures", [(SHORT,), (EVEN,), (LONG,), (SHORT, LONG), (EVEN, LONG, SHORT)])
def test_what_is_built_is_read_back(signatures: tuple[bytes, ...]) -> None:
    data = build_table(signatures)
    table = parse_table(data)
    assert (table.signatures, table.fault) == (signatures, None)
    assert len(data) % 8 == 0
    assert table_finding(table).hresult is None


def test_a_length_without_the_padding_is_read_too() -> None:
    table = parse_table(entry(SHORT) + bytes(2))
    assert (table.signatures, table.fault) == ((SHORT,), None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (entry(SHORT + b"\x00\x01"), "not zero padding after the signature"),
        (entry(EVEN + bytes(8)), "more than alignment needs"),
        (entry(EVEN + b"hidden.." * 4), "not zero padding"),
        (entry(SHORT) + b"\x00\x01", "between table entries"),
        (entry(EVEN) + bytes(4), "stray bytes"),
        (entry(EVEN) + entry(EVEN), "repeats a signature"),
        (entry(SHORT + b"\0") + b"\0", "a part of its padding"),
        (entry(EVEN) + bytes(16), "claims 0 bytes"),
        (entry(EVEN, length=4096), "claims 4096 bytes"),
        (entry(EVEN, length=8), "claims 8 bytes"),
        (entry(EVEN, length=0xFFFFFFFF), "claims 4294967295 bytes"),
        (entry(EVEN, revision=0x0100), "revision 0x0100"),
        (entry(EVEN, kind=1), "type 0x0001"),
        (entry(b"\x31\x06" + bytes(6)), "no DER structure"),
        (entry(b"\x30\x80" + bytes(6)), "no DER structure"),
        (entry(b"\x30\x85" + bytes(6)), "no DER structure"),
        (entry(b"\x30\x7f" + bytes(6)), "no DER structure"),
    ],
)
def test_anything_else_is_a_fault(data: bytes, words: str) -> None:
    table = parse_table(data)
    assert table.fault is not None
    assert words in table.fault
    assert table_finding(table).hresult is Hresult.TRUST_E_MALFORMED_SIGNATURE


def test_an_entry_of_another_kind_is_no_signature() -> None:
    assert parse_table(entry(EVEN, kind=1) + entry(SHORT) + bytes(2)).signatures == (SHORT,)


def test_hostile_tables_end() -> None:
    assert len(parse_table(entry(EVEN) * 10_000).signatures) == 10_000
    assert parse_table(b"\xff" * 4096).fault is not None
