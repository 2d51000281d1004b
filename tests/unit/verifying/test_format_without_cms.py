"""A format whose signatures are not CMS stands beside PE: signed, stamped, appended to and verified by its strategy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from kspsign.authenticode.cms.timestamp import check_reply, make_query
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms, is_timestamped
from kspsign.authenticode.signable import Glimpse, SignableFile
from kspsign.batch.occupancy import detachable
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_reply import respond
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm
from kspsign.signing.plan import unsigned
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.signatures import examine_signature, read_signatures
from support.formats.note_format import MAGIC, NOTE, changed

ALGORITHM = DigestAlgorithm.SHA256


def signature(file: SignableFile, authority: EmbeddedAuthority) -> bytes:
    """A signature of `file` without timestamp."""
    terms = SigningTerms(ALGORITHM, authority.signing_chain)
    made = unsigned(file, terms, file.digest_to_sign(terms))
    value = authority.leaf.key.sign(made.digest, PKCS1v15(), Prehashed(SHA256()))
    return made.assemble(value, authority.signing_chain, token=None)


def token(value: bytes, authority: EmbeddedAuthority) -> bytes:
    """A timestamp over a signature's value."""
    query = make_query(value, ALGORITHM)
    return check_reply(respond(query.der, authority, datetime.now(UTC)), query, value)[0]


def embed(file: SignableFile, signatures: tuple[bytes, ...]) -> SignableFile:
    """`file` with these signatures, opened again."""
    digest = file.digest([])
    with file.snapshot.path.open("r+b") as target:
        file.embed(digest, signatures, target)
    return NOTE.open(Snapshot(file.snapshot.path))


def failed(file: SignableFile, authority: EmbeddedAuthority) -> list[str]:
    """The checks that fail, of all signatures."""
    anchors = TrustAnchors.from_certificates(authority.signing_chain[-1:])
    trust = Trust(anchors, anchors, timestamp_required=True)
    signatures, malformed = read_signatures(file)
    digest = file.digest_to_check(signatures)
    examined = (examine_signature(signature, digest.values, trust) for signature in signatures)
    findings = (*malformed, *(finding for judged in examined for finding in judged.findings))
    return [finding.check for finding in (*findings, *file.structure(digest, signatures)) if finding.hresult]


@pytest.fixture
def note(tmp_path: Path) -> SignableFile:
    path = tmp_path / "a.note"
    path.write_bytes(MAGIC + b"text")
    assert NOTE.detect(Glimpse(path, path.read_bytes(), 9))
    return NOTE.open(Snapshot(path))


@pytest.fixture
def signed(note: SignableFile, authority: EmbeddedAuthority) -> SignableFile:
    file = embed(note, (signature(note, authority),))
    read = file.profile.read(file.signatures[0])
    assert not is_timestamped(read)
    return embed(file, (file.profile.add_timestamp(file.signatures[0], token(read.value, authority)),))


def test_it_holds(signed: SignableFile, authority: EmbeddedAuthority) -> None:
    assert is_timestamped(signed.profile.read(signed.signatures[0]))
    assert failed(signed, authority) == []


def test_a_further_signature_holds(signed: SignableFile, authority: EmbeddedAuthority) -> None:
    further = signature(signed, authority)
    stamped = signed.profile.add_timestamp(further, token(signed.profile.read(further).value, authority))
    both = embed(signed, signed.profile.append(signed.signatures, stamped))
    assert len(both.signatures) == 2
    assert failed(both, authority) == []


def test_other_text_is_refused(signed: SignableFile, authority: EmbeddedAuthority) -> None:
    data = signed.snapshot.path.read_bytes()
    signed.snapshot.path.write_bytes(data.replace(b"text", b"test"))
    assert failed(NOTE.open(Snapshot(signed.snapshot.path)), authority) == ["digest"]


def test_another_value_is_refused(signed: SignableFile, authority: EmbeddedAuthority) -> None:
    changed(signed.snapshot.path, value="AAAA")
    broken = failed(NOTE.open(Snapshot(signed.snapshot.path)), authority)
    assert {"signature", "timestamp-imprint"} <= set(broken)


def test_a_missing_certificate_is_refused(signed: SignableFile, authority: EmbeddedAuthority) -> None:
    changed(signed.snapshot.path, certificates=[])
    assert "signature" in failed(NOTE.open(Snapshot(signed.snapshot.path)), authority)


def test_what_is_not_a_signature_is_refused(signed: SignableFile, authority: EmbeddedAuthority) -> None:
    signed.snapshot.path.write_bytes(signed.snapshot.path.read_bytes() + b"\nSIGNED {")
    assert failed(NOTE.open(Snapshot(signed.snapshot.path)), authority) == ["cms-structure"]


def test_its_signatures_stay_with_their_file(note: SignableFile) -> None:
    """What takes signatures apart from their files knows PKCS#7 alone, and says so."""
    with pytest.raises(ArtifactError, match=r"not PKCS#7") as refused:
        detachable(note)
    assert refused.value.hresult is Hresult.ERROR_NOT_SUPPORTED
