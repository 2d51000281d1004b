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
from kspsign.model.errors import ArtifactError
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.verifier import Verifier
from support.formats.burn_samples import BUNDLE, MORE, PAYLOAD, UX, cached_engine, containers, section_of

pytestmark = pytest.mark.no_cover
SIZES = (len(UX), len(PAYLOAD), len(MORE))


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    anchors = TrustAnchors.from_certificates([authority().signing_chain[-1]])
    return Verifier(Trust(anchors, anchors, timestamp_required=False))


def test_a_changed_bundle_is_refused_or_works(verifier: Verifier, tmp_path: Path) -> None:
    path, cached = tmp_path / "setup.exe", tmp_path / "cached.exe"
    outcomes: Counter[str] = Counter()
    for change in bundle_changes(BUNDLE, SIZES):
        data = change.make()
        path.write_bytes(data)
        try:
            bundle = _signed_in_one_step(path)
        except ArtifactError:
            outcomes["refused"] += 1
            assert path.read_bytes() == data, change.label
            continue
        assert verifier.verify(path, Format.PE).error is None, change.label
        signed = path.read_bytes()
        outcomes["bundle" if bundle else "alone"] += 1
        assert _present(signed) == _present(data), change.label
        cached.write_bytes(cached_engine(signed))
        assert verifier.verify(cached, Format.PE).error is None, change.label
    assert outcomes["refused"] > 10 * outcomes["bundle"] > 0


def _present(data: bytes) -> list[bytes]:
    """The containers that Burn finds whole; it opens each as a cabinet."""
    sizes = struct.unpack_from("<3I", data, section_of(data) + 48)
    return [part for part, size in zip(containers(data), sizes, strict=False) if 0 < len(part) == size]


def _signed_in_one_step(path: Path) -> bool:
    """Sign the file as the native engine does; whether it is a bundle with an engine. Raises ArtifactError."""
    file = open_signable(path, Format.PE)
    if isinstance(file, GuardedFile):
        file.guard()
    copy, bundle = path.with_name("copy"), isinstance(file, BundledFiles)
    copy.write_bytes(b"")
    if isinstance(file, BundledFiles):
        (engine,) = file.inner_files(file.digest([DigestAlgorithm.SHA256]))
        with copy.open("r+b") as target:
            file.rebuild({0: _message(engine.file, engine.digest)}, target)
        file = open_signable(copy, Format.PE)
    digest = file.digest([DigestAlgorithm.SHA256])
    message = _message(file, digest)
    with copy.open("r+b") as target:
        file.embed(digest, (message,), target)
    copy.replace(path)
    return bundle


def _message(file: SignableFile, digest: Digest) -> bytes:
    own = authority()
    terms = SigningTerms(DigestAlgorithm.SHA256, own.signing_chain)
    unsigned = file.profile.prepare(terms, file.content(terms, digest))
    value = own.leaf.key.sign(unsigned.digest, PKCS1v15(), Prehashed(hashes.SHA256()))
    return bytes(unsigned.assemble(value, terms.chain, token=None))
