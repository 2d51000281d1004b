"""Every byte of a signature matters: whichever is changed, the image is refused.

There is no checksum in these images: it would cover every byte, and decide them all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kspsign.model.values import Format
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.verifier import Verifier
from support.formats.peimages import flipped, parts, patched
from support.samples import Store


@pytest.fixture(scope="module")
def verifier(store: Store) -> Verifier:
    anchors = TrustAnchors.from_pem_files([store.root])
    return Verifier(Trust(anchors, anchors, timestamp_required=True))


@pytest.mark.no_cover
def test_no_byte_of_the_signature_can_change(signed_launcher: bytes, verifier: Verifier, tmp_path: Path) -> None:
    """Every byte, its bits turned by a mask that changes with the place; not even redundant encodings pass.

    What nothing covers (algorithm parameters, versions, unused bits) has one accepted form.
    """
    found, path = parts(signed_launcher), tmp_path / "twin.exe"
    unset = patched(signed_launcher, found.checksum, bytes(4))
    masks = (0x01, 0x80, 0x20, 0xFF, 0x02, 0x40)
    codes: dict[str, int] = {}
    path.write_bytes(unset)
    assert verifier.verify(path, Format.PE).error is None
    with path.open("r+b", buffering=0) as file:
        for offset in range(found.signature, found.table + found.table_size):
            file.seek(offset)
            file.write(bytes([unset[offset] ^ masks[offset % len(masks)]]))
            verification = verifier.verify(path, Format.PE)
            file.seek(offset)
            file.write(unset[offset : offset + 1])
            assert verification.error is not None, f"byte {offset - found.signature} of the signature"
            codes[verification.error.code] = codes.get(verification.error.code, 0) + 1
    expected = {"TRUST_E_CERT_SIGNATURE", "TRUST_E_TIME_STAMP", "TRUST_E_MALFORMED_SIGNATURE", "TRUST_E_BAD_DIGEST"}
    assert expected <= codes.keys()


@pytest.mark.no_cover
def test_every_bit_of_the_first_two_hundred_bytes(signed_launcher: bytes, verifier: Verifier, tmp_path: Path) -> None:
    """Where the structure is dense: content types, versions, algorithms, the digest."""
    found, path = parts(signed_launcher), tmp_path / "twin.exe"
    unset = patched(signed_launcher, found.checksum, bytes(4))
    for offset in range(found.signature, found.signature + 200):
        for bit in range(8):
            path.write_bytes(flipped(unset, offset, 1 << bit))
            error = verifier.verify(path, Format.PE).error
            assert error is not None, (offset - found.signature, bit)
