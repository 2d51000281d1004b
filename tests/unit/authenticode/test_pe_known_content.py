"""A signed copy whose content has the digest that was signed takes the sum of its words from there, and only then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.pe import PeFile
from kspsign.authenticode.pe.digest import PeDigest
from kspsign.authenticode.signable import SummedFile
from kspsign.model.values import DigestAlgorithm, Finding
from support.formats.peimages import build_pe, checksum, flipped, parts, with_checksum

SHA256 = [DigestAlgorithm.SHA256]
SIGNATURE = bytes.fromhex("3003020105")


@pytest.fixture(params=[0x80, 0x81], ids=["even", "odd"])
def image(tmp_path: Path, request: pytest.FixtureRequest) -> PeFile:
    path = tmp_path / "image.exe"
    path.write_bytes(build_pe(header_at=request.param, overlay=b"odd"))
    return PeFile.open(Snapshot(path))


@pytest.fixture
def copy(image: PeFile, tmp_path: Path) -> Path:
    path = tmp_path / "copy.exe"
    with path.open("xb") as target:
        image.embed(image.digest(SHA256), (SIGNATURE,), target)
    return path


def checksum_of(file: PeFile, digest: PeDigest) -> Finding:
    (found,) = [finding for finding in file.structure(digest, ()) if finding.check == "checksum"]
    return found


def test_what_is_known_is_what_would_be_added_up(image: PeFile, copy: Path) -> None:
    plain = PeFile.open(Snapshot(copy))
    assert isinstance(plain, SummedFile)
    knowing = plain.knowing(image.digest(SHA256))
    digest = knowing.digest(SHA256)
    assert digest == plain.digest(SHA256)
    assert checksum_of(knowing, digest) == Finding("checksum", f"0x{checksum(copy.read_bytes()):08X}")


def test_nothing_is_added_up_again(image: PeFile, copy: Path) -> None:
    known = image.digest(SHA256)
    knowing = PeFile.open(Snapshot(copy)).knowing(replace(known, word_sum=known.word_sum + 1))
    found = checksum_of(knowing, knowing.digest(SHA256))
    assert found.hresult is not None


def test_a_wrong_checksum_is_found(image: PeFile, copy: Path) -> None:
    copy.write_bytes(flipped(copy.read_bytes(), parts(copy.read_bytes()).checksum))
    knowing = PeFile.open(Snapshot(copy)).knowing(image.digest(SHA256))
    assert checksum_of(knowing, knowing.digest(SHA256)).hresult is not None


@pytest.mark.parametrize("algorithm", [DigestAlgorithm.SHA256, DigestAlgorithm.SHA384])
def test_other_content_or_another_algorithm_is_added_up(image: PeFile, copy: Path, algorithm: DigestAlgorithm) -> None:
    data = copy.read_bytes()
    if algorithm is DigestAlgorithm.SHA256:
        copy.write_bytes(with_checksum(flipped(data, parts(data).sections_end - 1)))
    knowing = PeFile.open(Snapshot(copy)).knowing(image.digest(SHA256))
    digest = knowing.digest([algorithm])
    assert digest == PeFile.open(Snapshot(copy)).digest([algorithm])
    assert checksum_of(knowing, digest).hresult is None
