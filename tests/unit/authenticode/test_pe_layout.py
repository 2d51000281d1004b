"""The layout of a PE image: what is found, and every contradiction that is refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from kspsign.authenticode.pe import is_pe
from kspsign.authenticode.pe.layout import PeLayout, read_layout
from kspsign.authenticode.signable import Glimpse
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from support.formats.peimages import build_pe, parts, patched

IMAGE = build_pe()


def layout(data: bytes) -> PeLayout:
    return read_layout(io.BytesIO(data), len(data))


def refusal(data: bytes) -> str:
    with pytest.raises(ArtifactError) as caught:
        layout(data)
    assert caught.value.hresult is Hresult.ERROR_BAD_FORMAT
    return caught.value.message


def with_entry(data: bytes, offset: int, size: int) -> bytes:
    return patched(data, parts(data).directory, struct.pack("<II", offset, size))


@pytest.mark.parametrize("plus", [True, False], ids=["PE32+", "PE32"])
@pytest.mark.parametrize("header_at", [0x40, 0x80, 0x108, 0x2000])
@pytest.mark.parametrize("directories", [5, 16])
def test_what_a_signature_touches_is_found(plus: bool, header_at: int, directories: int) -> None:
    data = build_pe(plus=plus, header_at=header_at, directories=directories)
    found, expected = layout(data), parts(data)
    assert (found.checksum_offset, found.directory_offset) == (expected.checksum, expected.directory)
    assert (found.size, found.content_end, found.signed) == (len(data), len(data), False)
    assert is_pe(Glimpse(Path(), data[:4096], len(data)))


@pytest.mark.parametrize(("excess", "padding"), [(0, 0), (1, 7), (4, 4), (7, 1)])
def test_an_odd_size_is_padded_to_eight(excess: int, padding: int) -> None:
    assert layout(IMAGE + b"x" * excess).padding == padding


def test_an_entry_inside_the_file_is_a_certificate_table() -> None:
    data = with_entry(IMAGE + bytes(64), len(IMAGE), 64)
    found = layout(data)
    assert found.signed
    assert (found.table_offset, found.table_size, found.content_end) == (len(IMAGE), 64, len(IMAGE))


@pytest.mark.parametrize(
    ("offset", "size", "words"),
    [
        (len(IMAGE), 65, "outside the file"),
        (0xFFFFFFF8, 0xFFFFFFFF, "outside the file"),
        (0, 64, "contradicts itself"),
        (len(IMAGE), 0, "contradicts itself"),
        (len(IMAGE) - 512, 512, "overlaps the image"),
        (8, 64, "overlaps the image"),
        (len(IMAGE) + 4, 32, "not aligned"),
    ],
)
def test_an_entry_that_can_not_be_is_refused(offset: int, size: int, words: str) -> None:
    assert words in refusal(with_entry(IMAGE + bytes(64), offset, size))


def test_every_cut_is_noticed() -> None:
    for size in [*range(parts(IMAGE).section_table + 80), *range(600, len(IMAGE), 97), len(IMAGE) - 1]:
        assert "truncated" in refusal(IMAGE[:size]), size


@pytest.mark.parametrize("directories", [0, 4])
def test_without_room_for_an_entry_it_is_refused(directories: int) -> None:
    assert "can't be signed" in refusal(build_pe(directories=directories))


def test_another_magic_is_refused() -> None:
    assert "0x0107" in refusal(patched(IMAGE, parts(IMAGE).pe + 24, b"\x07\x01"))


def test_a_section_name_that_is_no_text_does_no_harm() -> None:
    changed = patched(IMAGE, parts(IMAGE).section_table, b"\xff\xfe##vso[")
    assert "truncated" in refusal(changed[:-1])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", False),
        (b"M", False),
        (b"MZ", True),
        (b"PK\3\4" + bytes(100), False),
        (b"MZ" + bytes(62), False),
        (IMAGE[:100], True),
        (patched(IMAGE, parts(IMAGE).pe, b"NE"), False),
    ],
)
def test_it_is_told_by_content(data: bytes, expected: bool) -> None:
    assert is_pe(Glimpse(Path(), data[:4096], len(data))) is expected
