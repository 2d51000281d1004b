"""The interface of every format, used by the path."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import DetachableProfile, FileSignature, SignatureProfile, SigningTerms
from kspsign.model.values import DigestAlgorithm, Finding

HEAD = 4096
MAX_SIGNATURE = 4 << 20
"""Bytes of a signature with all that it carries, where it holds no page hashes: real ones have some ten thousand."""

DigestT = TypeVar("DigestT", bound="Digest")
DigestT_contra = TypeVar("DigestT_contra", bound="Digest", contravariant=True)
DigestT_co = TypeVar("DigestT_co", bound="Digest", covariant=True)
SignatureT = TypeVar("SignatureT", bound=FileSignature)
SignatureT_contra = TypeVar("SignatureT_contra", bound=FileSignature, contravariant=True)


class Glimpse(NamedTuple):
    """What a file's format is detected from: its path, the first 4 KiB of its content, and its size in bytes.

    `opened` is the file where it was opened before: what is detected and what is read then is one content.
    """

    path: Path
    head: bytes
    size: int
    opened: Snapshot | None = None

    @classmethod
    def of(cls, snapshot: Snapshot) -> Glimpse:
        """That of an opened file."""
        return cls(snapshot.path, snapshot.head(HEAD), snapshot.size, snapshot)

    @property
    def snapshot(self) -> Snapshot:
        """The file, for formats that need more of it."""
        return self.opened or Snapshot(self.path, keep=False)


@dataclass(frozen=True, slots=True)
class Digest:
    """One pass over a file: what its format hashes, per algorithm, and the sha256 of the whole file (hex).

    `findings` are checks of content that the format makes on the way. A format whose signatures hold more than a
    digest, or that embeds with more than the file, has a class of its own. `inner` are the digests of the files in a
    bundle (BundledFiles), without a sha256.
    """

    values: dict[DigestAlgorithm, bytes]
    sha256: str
    findings: tuple[Finding, ...] = ()
    inner: tuple[Digest, ...] = ()


class ListedFile(NamedTuple):
    """One file that a signed file answers for: its name ("" when there is none) and its digest in hex."""

    name: str
    digest: str


class Listing(NamedTuple):
    """How many files a container lists, and the first of them."""

    total: int
    members: tuple[ListedFile, ...]


@runtime_checkable
class ListingFile(Protocol):
    """A signable file that answers for others, as a catalogue does."""

    def listing(self, most: int) -> Listing:
        """The first `most` members. Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when they can't be read."""


class FormatFile(Protocol[DigestT, SignatureT]):
    """A file of a format that carries signatures, its structure read and checked, no content yet.

    `DigestT` is what the format finds of a file's content, `SignatureT` what it reads of a signature. Opening a file
    raises ArtifactError when the structure contradicts itself.
    """

    @property
    def snapshot(self) -> Snapshot:
        """The file: nothing of it is read but through this."""

    @property
    def profile(self) -> SignatureProfile[SignatureT]:
        """The strategy of this file's signatures."""

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The embedded top-level signatures, each as `profile` reads it, in file order; empty when unsigned."""

    def admit(self, terms: SigningTerms) -> None:
        """Raise ArtifactError when the file can't be signed on these terms; reads no more than headers."""

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> DigestT:
        """Read the file once and hash it the format's way with each of `algorithms`."""

    def digest_to_sign(self, terms: SigningTerms) -> DigestT:
        """`digest`, and whatever else a signature on these terms holds of the content."""

    def digest_to_check(self, signatures: Sequence[SignatureT]) -> DigestT:
        """`digest`, and whatever else these signatures say of the content."""

    def structure(self, digest: DigestT, signatures: Sequence[SignatureT]) -> tuple[Finding, ...]:
        """The format's own strict checks: on what surrounds the signature, and on what the signatures (further ones
        included) say of this format."""

    def content(self, terms: SigningTerms, digest: DigestT) -> bytes:
        """The digest that a signature of this file covers, as `profile` prepares one."""

    def embed(self, digest: DigestT, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write a copy of the file with `signatures` in place of its own to `target`; without any it is unsigned.

        What signing changed besides is undone as far as it is known, and none of what a signature covers: the unsigned
        file has the digest of the signed one. `target` is a file open for reading and writing, at its beginning: empty,
        or as `digest_copying` left it.
        """


SignableFile: TypeAlias = FormatFile[Any, Any]
"""A file of whichever format: what one of its methods returned goes back to the same file."""


class _Hashed(Protocol[DigestT_co]):
    def digest(self, algorithms: Collection[DigestAlgorithm]) -> DigestT_co: ...


class OneDigest:
    """For the formats whose signatures say nothing of the content but one digest."""

    __slots__ = ()

    def digest_to_sign(self: _Hashed[DigestT], terms: SigningTerms) -> DigestT:
        """See FormatFile."""
        return self.digest([terms.algorithm])

    def digest_to_check(self: _Hashed[DigestT], signatures: Sequence[FileSignature]) -> DigestT:
        """See FormatFile."""
        return self.digest({signature.algorithm for signature in signatures})


@runtime_checkable
class OccupiedFile(Protocol):
    """A signable file in which other data may occupy the signature's place."""

    @property
    def occupant(self) -> str | None:
        """The data there, when it can't be read as a signature; None when there is a signature or nothing.

        A file with an occupant is not unsigned: signing it would overwrite unknown data.
        """


@runtime_checkable
class AdvisedFile(Protocol):
    """A signable file that knows better than in general what to do about the data in its signature's place."""

    @property
    def occupant_remedy(self) -> str:
        """What to do about it."""


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
        """Whether it has any."""

    def inner_files(self, digest: Digest) -> tuple[InnerFile, ...]:
        """The files inside; `digest` is that of this file."""

    def unsigned_inner(self) -> tuple[int, ...]:
        """The indices of those without a signature: they are signed first."""

    def rebuild(self, signatures: Mapping[int, bytes], target: BinaryIO) -> None:
        """Write the file to the empty `target` with `signatures` in the files of these numbers. The digest of what is
        written is what a signature of it covers: `embed` of it leaves every byte of it before the signature in place.

        Raises ArtifactError when it can't be rebuilt.
        """


@runtime_checkable
class ConvertibleFile(Protocol):
    """A signable file of text, whose line ends may keep it from being signed."""

    @property
    def is_converted(self) -> bool:
        """Whether its line ends are not those of the file that it was read from."""

    def with_crlf(self) -> SignableFile:
        """The same file with CRLF in place of every other line end, as it is to be signed; itself when there is none.
        What its sha256 is of stays the file as it is."""


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
class CopyingFile(Protocol[DigestT_co]):
    """A signable file whose signed form is a copy in which little changes: one pass can hash and copy it."""

    def digest_copying(self, terms: SigningTerms, copy: BinaryIO) -> DigestT_co:
        """`digest_to_sign`; writes the file as it is to the beginning of `copy`, which is to be the target of
        `embed`."""


@runtime_checkable
class SummedFile(Protocol[DigestT_contra]):
    """A signable file with a checksum in addition to its digest, which takes a separate pass."""

    def knowing(self, digest: DigestT_contra) -> SignableFile:
        """The same file, which takes the sum from `digest` when its content turns out to have that digest."""


@runtime_checkable
class RedigestedFile(Protocol):
    """A signable file whose digest may change when its signatures are taken out."""

    @property
    def keeps_digest(self) -> bool:
        """Whether it stays the same."""


@runtime_checkable
class RestorableFile(Protocol):
    """A signed file in which signing changed more than its signature's place."""

    def original_digests(self, size: int, algorithm: DigestAlgorithm) -> Iterator[bytes]:
        """The digests of the unsigned files of `size` bytes that it can have been made of."""


@runtime_checkable
class DescribedFile(Protocol[SignatureT_contra]):
    """A signable file whose signatures hold something of its format alone that people want to see."""

    def described(self, signature: SignatureT_contra) -> tuple[tuple[str, str], ...]:
        """The facts in `signature`, as label and text."""


class SignableFormat(NamedTuple):
    """One format: how its files are detected, and how one is opened; `open_to_replace` opens one whose signatures are
    to be replaced, where that makes a difference. `detachable` is the profile of signatures that are prepared and made
    apart from their file, None where they can't be."""

    detect: Callable[[Glimpse], bool]
    open: Callable[[Snapshot], SignableFile]
    open_to_replace: Callable[[Snapshot], SignableFile] | None = None
    detachable: DetachableProfile[FileSignature] | None = None


def nth(index: int, finding: Finding) -> Finding:
    """A finding on the signature at `index`, from 0."""
    return replace(finding, number=index + 1) if index else finding
