"""Signatures that hold in every way but for what they say: made through the library, with the embedded key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kspsign.authenticode.cms.profile import SigningTerms
from kspsign.authenticode.cms.write import assemble, prepare
from kspsign.authenticode.signable import Digest, SignableFile
from kspsign.embedded.authority import load_authority
from kspsign.keys.in_memory import LocalKey, sign_digest
from kspsign.model.values import DigestAlgorithm
from support.samples import Run, Store, kspsign

ALGORITHM = DigestAlgorithm.SHA256


def signature(file: SignableFile, content: bytes, chain: Sequence[bytes], key: LocalKey) -> bytes:
    """A signature (DER ContentInfo) of `file` that covers the DER `content`, by the holder of `chain`."""
    unsigned = prepare(file.profile, SigningTerms(ALGORITHM, tuple(chain)), content)
    value = sign_digest(key, unsigned.digest, ALGORITHM).value
    return assemble(unsigned, value, chain, token=None)


def forge(file: SignableFile, store: Store, target: Path, content: Callable[[Digest], bytes]) -> Run:
    """The verdict on `target`, a copy of `file` whose signature covers the DER that `content` gives."""
    authority = load_authority(store.folder / "embedded")
    digest = file.digest([ALGORITHM], [ALGORITHM])
    made = signature(file, content(digest), authority.signing_chain, authority.leaf.key)
    with target.open("wb") as out:
        file.embed(digest, (made,), out)
    return kspsign("verify", target, "--trust-root", store.root, "--no-timestamp", folder=target.parent)
