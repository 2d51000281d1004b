"""Signatures that hold in every way but for what they say: made through the library, with the embedded key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from integration.samples import Run, Store, kspsign
from kspsign.authenticode import cms
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Digest, SignableFile
from kspsign.embedded.authority import load_authority
from kspsign.keys.local import sign_digest
from kspsign.model import DigestAlgorithm

ALGORITHM = DigestAlgorithm.SHA256


def forge(file: SignableFile, store: Store, target: Path, content: Callable[[Digest], bytes]) -> Run:
    """The verdict on `target`, a copy of `file` whose signature covers the DER that `content` gives."""
    authority = load_authority(store.folder / "embedded")
    terms = SigningTerms(ALGORITHM, authority.signing_chain)
    digest = file.digest([ALGORITHM], [ALGORITHM])
    unsigned = cms.prepare(file.profile, terms, content(digest))
    value = sign_digest(authority.leaf.key, unsigned.digest, ALGORITHM).value
    file.embed(digest, (cms.assemble(unsigned, value, terms.chain, token=None),), target)
    return kspsign("verify", target, "--trust-root", store.root, "--no-timestamp", folder=target.parent)
