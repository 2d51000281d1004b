"""Whatever a bundle of WiX is changed into before it is signed, it is refused, or Burn finds in the signed one what it
found before. Burn's own rules decide that (support/formats/burn_samples.py)."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from fuzz.samples import authority
from generative.bundle_changes import bundle_changes
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import BundledFiles, Digest, GuardedFile, SignableFile
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.verifier import Verifier
from support.formats.burn_samples import (
    BUNDLE,
    MORE,
    PAYLOAD,
    UX,
    cached_engine,
    containers,
    engine,
    reattached,
    section_of,
)

pytestmark = pytest.mark.no_cover
SIZES = (len(UX), len(PAYLOAD), len(MORE))


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    anchors = TrustAnchors.from_certificates([authority().signing_chain[-1]])
    return Verifier(Trust(anchors, anchors, timestamp_required=False))


@pytest.fixture(scope="module")
def with_signed_engine(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same bundle, its engine signed before the containers were attached."""
    path = tmp_path_factory.mktemp("engine") / "engine.exe"
    path.write_bytes(engine())
    _sign(path)
    return reattached(path.read_bytes(), PAYLOAD, MORE)


def test_a_changed_bundle_is_refused_or_works(verifier: Verifier, tmp_path: Path) -> None:
    outcomes = _judge(BUNDLE, verifier, tmp_path)
    assert outcomes["refused"] > 10 * outcomes["signed"] > 0


def test_so_is_one_with_a_signed_engine(verifier: Verifier, with_signed_engine: bytes, tmp_path: Path) -> None:
    """What its signature does not cover of it is accounted for too."""
    outcomes = _judge(with_signed_engine, verifier, tmp_path)
    assert outcomes["refused"] > 10 * outcomes["signed"] > 0


def _judge(bundle: bytes, verifier: Verifier, folder: Path) -> Counter[str]:
    path, cached = folder / "setup.exe", folder / "cached.exe"
    outcomes: Counter[str] = Counter()
    for change in bundle_changes(bundle, SIZES):
        data = change.make()
        path.write_bytes(data)
        try:
            _sign(path, verifier)
        except (ArtifactError, TrustError):
            outcomes["refused"] += 1
            assert path.read_bytes() == data, change.label
            continue
        outcomes["signed"] += 1
        assert verifier.verify(path, Format.PE).error is None, change.label
        signed = path.read_bytes()
        assert _present(signed) == _present(data), change.label
        cached.write_bytes(cached_engine(signed))
        assert verifier.verify(cached, Format.PE).error is None, change.label
    return outcomes


def _present(data: bytes) -> list[bytes]:
    """The containers that Burn finds whole; it opens each as a cabinet."""
    sizes = struct.unpack_from("<3I", data, section_of(data) + 48)
    return [part for part, size in zip(containers(data), sizes, strict=False) if 0 < len(part) == size]


def _sign(path: Path, verifier: Verifier | None = None) -> None:
    """Sign the file as the native engine does, the engine of a bundle first. Raises what makes that impossible."""
    file = open_signable(path, Format.PE)
    if isinstance(file, GuardedFile):
        file.guard()
    if verifier is not None:
        verifier.check_inner_files(file, path.name, Format.PE)
    copy = path.with_name("copy")
    copy.write_bytes(b"")
    if isinstance(file, BundledFiles) and file.unsigned_inner():
        (inner,) = file.inner_files(file.digest([DigestAlgorithm.SHA256]))
        with copy.open("r+b") as target:
            file.rebuild({0: _message(inner.file, inner.digest)}, target)
        file = open_signable(copy, Format.PE)
    digest = file.digest([DigestAlgorithm.SHA256])
    message = _message(file, digest)
    with copy.open("r+b") as target:
        file.embed(digest, (message,), target)
    copy.replace(path)


def _message(file: SignableFile, digest: Digest) -> bytes:
    own = authority()
    terms = SigningTerms(DigestAlgorithm.SHA256, own.signing_chain)
    unsigned = file.profile.prepare(terms, file.content(terms, digest))
    value = own.leaf.key.sign(unsigned.digest, PKCS1v15(), Prehashed(hashes.SHA256()))
    return bytes(unsigned.assemble(value, terms.chain, token=None))
