"""What every format offers: the seam between the path and the formats."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

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
    (CopyingFile). `inner` are those of the files in a bundle (BundledFiles), without a sha256.
    """

    values: dict[DigestAlgorithm, bytes]
    sha256: str
    word_sum: int = 0
    tail_sum: int = 0
    pages: Mapping[DigestAlgorithm, bytes] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    copied: bool = False
    inner: tuple[Digest, ...] = ()


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


class InnerFile(NamedTuple):
    """A signable file inside another one: its name there, and what a pass over the outer one found of it."""

    name: str
    file: SignableFile
    digest: Digest


@runtime_checkable
class BundledFiles(SignableFile, Protocol):
    """A signable file that may have others inside, whose signatures are judged as its own are."""

    @property
    def has_inner_files(self) -> bool:
        """Whether it has some."""

    def inner_files(self, digest: Digest) -> tuple[InnerFile, ...]:
        """The files inside; `digest` is that of this file."""

    def unsigned_inner(self) -> tuple[int, ...]:
        """Which of them, by number, carry no signature: they are signed first."""

    def rebuild(self, signatures: Mapping[int, bytes], target: BinaryIO) -> None:
        """Write the file to the empty `target` with `signatures` in the files of these numbers. The digest of what is
        written is what a signature of it covers: `embed` of it leaves every byte of it before the signature in place.

        Raises ArtifactError when it can't be rebuilt.
        """


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
