"""Tampered twins: a signed image with one thing changed anywhere is refused, with the right code.

The checksum is set anew in each twin unless it is the thing that was changed: it must not decide the others.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from support.formats import cms_schema
from support.formats.peimages import build_pe, flipped, parts, patched, with_checksum, with_table
from support.samples import Store, kspsign, osslsigncode_verify


class Twin:
    """Writes twins to one place and says what we and the peer make of them."""

    def __init__(self, path: Path, store: Store) -> None:
        self._path = path
        self._store = store

    def refusal(self, data: bytes) -> str | None:
        """The code with which `kspsign verify` refuses `data`, None when it accepts it."""
        self._path.write_bytes(data)
        run = kspsign("verify", self._path, "--trust-root", self._store.root, folder=self._path.parent)
        assert run.code == (0 if run.error_code is None else 2)
        assert run.file["verdict"]["result"] == ("verified" if run.error_code is None else "failed")
        return run.error_code

    def peer_accepts(self, data: bytes) -> bool:
        """Whether osslsigncode verifies `data`."""
        self._path.write_bytes(data)
        return osslsigncode_verify(self._path, self._store.root).accepted


@pytest.fixture
def twin(tmp_path: Path, store: Store) -> Twin:
    return Twin(tmp_path / "twin.exe", store)


def test_the_untouched_image_is_accepted(twin: Twin, signed_image: bytes, signed_launcher: bytes) -> None:
    for data in (signed_image, signed_launcher):
        assert twin.refusal(data) is None
        assert twin.peer_accepts(data)


@pytest.mark.no_cover
def test_a_byte_of_the_signed_content(twin: Twin, signed_image: bytes, signed_launcher: bytes) -> None:
    for data in (signed_image, signed_launcher):
        found = parts(data)
        places = {
            "DOS header": 2,
            "DOS stub": 0x44,
            "file header, time stamp": found.pe + 8,
            "optional header, linker version": found.pe + 26,
            "last byte before the checksum": found.checksum - 1,
            "first byte after the checksum": found.checksum + 4,
            "last byte before the certificate entry": found.directory - 1,
            "first byte after the certificate entry": found.directory + 8,
            "section table, virtual size": found.section_table + 8,
            **{f"section {index}": start + length // 2 for index, (start, length) in enumerate(found.sections)},
            "last byte of the sections": found.sections_end - 1,
            "last signed byte": found.table - 1,
        }
        for place, offset in places.items():
            changed = with_checksum(flipped(data, offset))
            assert twin.refusal(changed) == "TRUST_E_BAD_DIGEST", place
        assert not twin.peer_accepts(with_checksum(flipped(data, found.sections_end - 1)))


def test_a_byte_of_the_overlay(twin: Twin, signed_image: bytes) -> None:
    found = parts(signed_image)
    assert found.table > found.sections_end + 8
    changed = with_checksum(flipped(signed_image, found.sections_end + 5))
    assert twin.refusal(changed) == "TRUST_E_BAD_DIGEST"
    assert not twin.peer_accepts(changed)


def test_magic_numbers(twin: Twin, signed_image: bytes) -> None:
    assert twin.refusal(flipped(signed_image, 0)) == "TRUST_E_SUBJECT_FORM_UNKNOWN"
    assert twin.refusal(flipped(signed_image, parts(signed_image).pe)) == "TRUST_E_SUBJECT_FORM_UNKNOWN"
    assert twin.refusal(flipped(signed_image, parts(signed_image).pe + 24)) == "ERROR_BAD_FORMAT"


def test_a_wrong_checksum_which_the_peer_accepts(twin: Twin, signed_image: bytes) -> None:
    changed = flipped(signed_image, parts(signed_image).checksum)
    assert twin.refusal(changed) == "TRUST_E_BAD_DIGEST"
    assert twin.peer_accepts(changed)


def test_a_checksum_that_was_never_set_is_no_fault(twin: Twin, signed_image: bytes) -> None:
    assert twin.refusal(patched(signed_image, parts(signed_image).checksum, bytes(4))) is None


def test_a_byte_of_the_certificate_entry(twin: Twin, signed_image: bytes) -> None:
    """It points outside the file, into the image, or at bytes that hold no signature."""
    directory = parts(signed_image).directory
    for offset in range(directory, directory + 8):
        code = twin.refusal(with_checksum(flipped(signed_image, offset)))
        assert code in {"ERROR_BAD_FORMAT", "TRUST_E_MALFORMED_SIGNATURE", "TRUST_E_NOSIGNATURE"}, offset - directory


def test_a_byte_of_the_table_entrys_header(twin: Twin, signed_image: bytes) -> None:
    table = parts(signed_image).table
    for offset in range(8):
        code = twin.refusal(with_checksum(flipped(signed_image, table + offset)))
        assert code in {"TRUST_E_NOSIGNATURE", "TRUST_E_MALFORMED_SIGNATURE"}, offset


def test_padding_behind_the_signature_that_is_not_zero_which_the_peer_accepts(twin: Twin, signed_image: bytes) -> None:
    """CVE-2013-3900: bytes between the signature's end and the entry's."""
    der = signature_of(signed_image)
    padded = der + b"\0" * (-len(der) % 8)
    room = bytearray(padded + bytes(8 if len(padded) == len(der) else 0))
    room[len(der)] = 0x90
    changed = with_checksum(with_table(signed_image, entry(bytes(room))))
    assert twin.refusal(changed) == "TRUST_E_MALFORMED_SIGNATURE"
    assert twin.peer_accepts(changed)


@pytest.mark.parametrize("stuffing", [b"\0" * 64, b"#!hidden" * 8], ids=["zeros", "payload"])
def test_stuffing_inside_the_table_entry_which_the_peer_accepts(
    twin: Twin, signed_image: bytes, stuffing: bytes
) -> None:
    der = signature_of(signed_image)
    changed = with_checksum(with_table(signed_image, entry(der + bytes(-len(der) % 8) + stuffing)))
    assert twin.refusal(changed) == "TRUST_E_MALFORMED_SIGNATURE"
    assert twin.peer_accepts(changed)


@pytest.mark.parametrize("stuffing", [b"\0" * 64, b"#!hidden" * 8], ids=["zeros", "payload"])
def test_stuffing_behind_the_table_entry(twin: Twin, signed_image: bytes, stuffing: bytes) -> None:
    table = signed_image[parts(signed_image).table :]
    assert twin.refusal(with_checksum(with_table(signed_image, table + stuffing))) == "TRUST_E_MALFORMED_SIGNATURE"


def test_a_further_entry_of_another_kind(twin: Twin, signed_image: bytes) -> None:
    table = signed_image[parts(signed_image).table :]
    other = struct.pack("<IHH", 16, 0x0200, 0x0001) + bytes(8)
    assert twin.refusal(with_checksum(with_table(signed_image, table + other))) == "TRUST_E_MALFORMED_SIGNATURE"


@pytest.mark.parametrize("count", [1, 8, 4096])
def test_data_behind_the_table(twin: Twin, signed_image: bytes, count: int) -> None:
    changed = with_checksum(signed_image + b"\x90" * count)
    assert twin.refusal(changed) == "TRUST_E_MALFORMED_SIGNATURE"


def test_the_signature_of_another_file(twin: Twin, signed_image: bytes, signed_launcher: bytes) -> None:
    other = signed_launcher[parts(signed_launcher).table :]
    changed = with_checksum(with_table(signed_image, other))
    assert twin.refusal(changed) == "TRUST_E_BAD_DIGEST"
    assert not twin.peer_accepts(changed)


def test_a_stripped_timestamp_which_the_peer_accepts(twin: Twin, signed_image: bytes) -> None:
    info = cms_schema.ContentInfo.load(signature_of(signed_image))
    signer = info["content"]["signer_infos"][0]
    present = ("version", "sid", "digest_algorithm", "signed_attrs", "signature_algorithm", "signature")
    info["content"]["signer_infos"] = [cms_schema.SignerInfo({name: signer[name] for name in present})]
    changed = with_checksum(with_table(signed_image, entry(aligned(info.dump()))))
    assert twin.refusal(changed) == "TRUST_E_TIME_STAMP"
    assert twin.peer_accepts(changed)


def test_the_timestamp_of_another_signature_which_the_peer_accepts(
    twin: Twin, signed_image: bytes, signed_launcher: bytes
) -> None:
    info, other = (cms_schema.ContentInfo.load(signature_of(image)) for image in (signed_image, signed_launcher))
    signer, donor = info["content"]["signer_infos"][0], other["content"]["signer_infos"][0]
    signer["unsigned_attrs"] = donor["unsigned_attrs"]
    changed = with_checksum(with_table(signed_image, entry(aligned(info.dump()))))
    assert twin.refusal(changed) == "TRUST_E_TIME_STAMP"
    assert twin.peer_accepts(changed)


def test_a_stripped_signature(twin: Twin, signed_image: bytes) -> None:
    found = parts(signed_image)
    changed = with_checksum(patched(signed_image[: found.table], found.directory, bytes(8)))
    assert twin.refusal(changed) == "TRUST_E_NOSIGNATURE"
    assert not twin.peer_accepts(changed)


def test_an_image_that_was_never_signed(twin: Twin) -> None:
    assert twin.refusal(build_pe()) == "TRUST_E_NOSIGNATURE"


def test_a_signers_certificate_that_is_gone(twin: Twin, signed_image: bytes) -> None:
    info = cms_schema.ContentInfo.load(signature_of(signed_image))
    kept = [certificate for certificate in info["content"]["certificates"] if b"publisher" not in certificate.dump()]
    info["content"]["certificates"] = kept
    changed = with_checksum(with_table(signed_image, entry(aligned(info.dump()))))
    assert twin.refusal(changed) == "TRUST_E_NO_SIGNER_CERT"
    assert not twin.peer_accepts(changed)


def test_a_root_that_is_not_trusted(tmp_path: Path, signed_image: bytes) -> None:
    path = tmp_path / "image.exe"
    path.write_bytes(signed_image)
    run = kspsign("verify", path, folder=tmp_path)
    assert (run.code, run.error_code) == (2, "CERT_E_CHAINING")


def signature_of(data: bytes) -> bytes:
    """The DER of the first signature, without padding."""
    found = parts(data)
    length = struct.unpack_from(">xxH", data, found.signature)[0]
    return data[found.signature : found.signature + 4 + length]


def entry(blob: bytes) -> bytes:
    """A table entry around `blob`, whose length it states."""
    return struct.pack("<IHH", 8 + len(blob), 0x0200, 0x0002) + blob


def aligned(blob: bytes) -> bytes:
    """`blob` padded with zeros to eight bytes."""
    return bytes(blob) + bytes(-len(blob) % 8)
