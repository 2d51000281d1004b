"""What every format offers: the seam between the path and the formats."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from kspsign.authenticode.cms.file_signature import FileSignature
from kspsign.authenticode.cms.profile import SignatureProfile, SigningTerms
from kspsign.model.values import DigestAlgorithm, Finding


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What tells a file's format: its path, the first 4 KiB of its content, and its size in bytes."""

    path: Path
    head: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Digest:
    """One pass over a file: what its format hashes, per algorithm, and the sha256 of the whole file (hex).

    `word_sum` is the sum modulo 65535 of the 16-bit little-endian words that are hashed (what is left out counts as
    zero), `tail_sum` that of the words behind them; formats without such a checksum leave both 0. `pages` are a PE
    image's page hashes (offset and digest of each page, as they stand in a signature) by the digest algorithm that was
    asked for: SHA-1 gives V1, all others V2.
    `findings` are checks of content that the format makes on the way. `copied` tells that the pass copied the file too
    (CopyingFile).
    """

    values: dict[DigestAlgorithm, bytes]
    sha256: str
    word_sum: int = 0
    tail_sum: int = 0
    pages: Mapping[DigestAlgorithm, bytes] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    copied: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """One file that a signed file answers for: its name ("" when it is not told) and its digest in hex."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Listing:
    """How many members a file has, and the first of them."""

    total: int
    members: tuple[Member, ...]


@runtime_checkable
class Container(Protocol):
    """A signable file that answers for others, as a catalogue does."""

    def listing(self, most: int) -> Listing:
        """The first `most` members. Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when they can't be read."""


class SignableFile(Protocol):
    """A file of a format that carries Authenticode signatures, its structure read and checked, no content yet.

    Opening one raises ArtifactError when the structure contradicts itself.
    """

    @property
    def path(self) -> Path:
        """Where the file is."""

    @property
    def profile(self) -> SignatureProfile:
        """What the signatures of this format hold."""

    @property
    def content_kinds(self) -> frozenset[str]:
        """The OIDs that a signature of this format may name as what it covers; signatures of ours name the first
        in `content`."""

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The embedded top-level signatures, each a DER ContentInfo, in file order; empty when unsigned."""

    def admit(self, terms: SigningTerms) -> None:
        """Raise ArtifactError when the file can't be signed on these terms; reads no more than headers."""

    def digest(self, algorithms: Collection[DigestAlgorithm], pages: Collection[DigestAlgorithm] = ()) -> Digest:
        """Read the file once and hash it the format's way with each of `algorithms`.

        `pages` are the algorithms of the page hashes that are wanted; formats without pages give none.
        """

    def structure(self, digest: Digest, signatures: Sequence[FileSignature]) -> tuple[Finding, ...]:
        """The format's own strict checks: on what surrounds the signature, and on what the signatures (nested ones
        included) say of this format."""

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """The DER content that a signature of this file covers, one element."""

    def embed(self, digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write a copy of the file with `signatures` (DER ContentInfos) in place of its own to `target`.

        `target` is a file open for reading and writing, at its beginning and empty, unless the digest `copied` to it.
        """


@runtime_checkable
class OccupiedFile(Protocol):
    """A signable file in which something else may stand where its signature belongs."""

    @property
    def occupant(self) -> str | None:
        """What stands there, when none of it can be read as a signature; None when there is a signature or nothing.

        A file with an occupant is not unsigned: signing it would overwrite what nobody has looked at.
        """


@runtime_checkable
class GuardedFile(Protocol):
    """A signable file that some signature, by whatever engine, would damage."""

    def guard(self) -> None:
        """Raise ArtifactError when a signature would break what the file is for; reads no more than headers."""


@runtime_checkable
class ClearableFile(Protocol):
    """A signable file that may name a place of a signature where none is."""

    def clear(self, copy: Path) -> None:
        """Remove that from `copy`, a copy of the file, for engines that would stumble over it; else do nothing."""


@runtime_checkable
class CopyingFile(Protocol):
    """A signable file whose signed form is a copy in which little changes: one pass can hash and copy it."""

    def digest_copying(
        self, algorithms: Collection[DigestAlgorithm], pages: Collection[DigestAlgorithm], copy: BinaryIO
    ) -> Digest:
        """`digest`; writes the file as it is to the beginning of `copy`, which is to be the target of `embed`."""


@runtime_checkable
class SummedFile(Protocol):
    """A signable file with a checksum beside its digest, which takes a pass of its own to add up."""

    def knowing(self, digest: Digest) -> SignableFile:
        """The same file, which takes the sum from `digest` when its content turns out to have that digest."""
