"""Signatures that hold in every way but for what they say: made through the library, with the embedded key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kspsign.authenticode.formats import detect_format, open_signable
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import DigestT, FormatFile, Glimpse, SignableFile
from kspsign.embedded.authority import load_authority
from kspsign.keys.in_memory import LocalKey, sign_digest
from kspsign.model.values import DigestAlgorithm
from support.pki import Issued
from support.samples import Run, Store, kspsign

ALGORITHM = DigestAlgorithm.SHA256
Stamp = Callable[[bytes], bytes]
"""Makes a timestamp token (DER) of a signature value."""


def signature(file: SignableFile, content: bytes, chain: Sequence[bytes], key: LocalKey) -> bytes:
    """A signature (DER ContentInfo) of `file` that covers the DER `content`, by the holder of `chain`."""
    unsigned = file.profile.prepare(SigningTerms(ALGORITHM, tuple(chain)), content)
    value = sign_digest(key, unsigned.digest, ALGORITHM).value
    return unsigned.assemble(value, chain, token=None)


def signed_by(path: Path, issued: Issued, chain: Sequence[Issued] = (), stamp: Stamp | None = None) -> None:
    """Sign the file at `path`, whatever we would say to the certificate, with a token that `stamp` makes of the
    signature's value."""
    file = open_signable(path, detect_format(Glimpse(path, path.read_bytes()[:4096], path.stat().st_size)))
    certificates = (issued.der, *(issued.der for issued in chain))
    terms = SigningTerms(ALGORITHM, certificates)
    digest = file.digest_to_sign(terms)
    unsigned = file.profile.prepare(terms, file.content(terms, digest))
    assert isinstance(issued.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    value = sign_digest(issued.key, unsigned.digest, ALGORITHM).value
    made = unsigned.assemble(value, certificates, token=None if stamp is None else stamp(value))
    target = path.with_name(f"{path.name}.signed")
    with target.open("wb") as out:
        file.embed(digest, (made,), out)
    target.replace(path)


def forge(file: FormatFile[DigestT, Any], store: Store, target: Path, content: Callable[[DigestT], bytes]) -> Run:
    """The verdict on `target`, a copy of `file` whose signature covers the DER that `content` gives."""
    authority = load_authority(store.folder / "embedded")
    digest = file.digest_to_sign(SigningTerms(ALGORITHM, authority.signing_chain, page_hashes=True))
    made = signature(file, content(digest), authority.signing_chain, authority.leaf.key)
    with target.open("wb") as out:
        file.embed(digest, (made,), out)
    return kspsign("verify", target, "--trust-root", store.root, "--no-timestamp", folder=target.parent)
