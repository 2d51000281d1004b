"""Signatures that hold in every way but for what they say: made through the library, with the embedded key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import DigestT, FormatFile, SignableFile
from kspsign.embedded.authority import load_authority
from kspsign.keys.in_memory import LocalKey, sign_digest
from kspsign.model.values import DigestAlgorithm
from support.samples import Run, Store, kspsign

ALGORITHM = DigestAlgorithm.SHA256


def signature(file: SignableFile, content: bytes, chain: Sequence[bytes], key: LocalKey) -> bytes:
    """A signature (DER ContentInfo) of `file` that covers the DER `content`, by the holder of `chain`."""
    unsigned = file.profile.prepare(SigningTerms(ALGORITHM, tuple(chain)), content)
    value = sign_digest(key, unsigned.digest, ALGORITHM).value
    return unsigned.assemble(value, chain, token=None)


def forge(file: FormatFile[DigestT, Any], store: Store, target: Path, content: Callable[[DigestT], bytes]) -> Run:
    """The verdict on `target`, a copy of `file` whose signature covers the DER that `content` gives."""
    authority = load_authority(store.folder / "embedded")
    digest = file.digest_to_sign(SigningTerms(ALGORITHM, authority.signing_chain, page_hashes=True))
    made = signature(file, content(digest), authority.signing_chain, authority.leaf.key)
    with target.open("wb") as out:
        file.embed(digest, (made,), out)
    return kspsign("verify", target, "--trust-root", store.root, "--no-timestamp", folder=target.parent)
