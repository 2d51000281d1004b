"""Windows Installer packages (msi, msp, mst, msm): OLE compound files with the signature in a stream of the root.

What is hashed is the content of all streams in the order of their stored names, and the class identifier of each
storage after its content: neither names nor where one stream ends and the next begins. A second stream,
MsiDigitalSignatureEx, holds a digest of the metadata, which is then hashed first. Every signature of an unsigned
package and every one that replaces others comes with it; one that is appended or stamped leaves it as it is.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final
from uuid import UUID

from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import OID_SPC_SIP_INFO
from kspsign.authenticode.cms.profile import AUTHENTICODE, CmsProfile
from kspsign.authenticode.cms.spc import sip_findings, sip_indirect_data
from kspsign.authenticode.compound import (
    MAX_SMALL_SECTORS_SIZE,
    CompoundFile,
    DirectoryEntry,
    Storage,
    is_compound,
    root_class,
    same_name,
    too_large,
    write_anew,
)
from kspsign.authenticode.io.read import in_parallel
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import MAX_SIGNATURE, Digest, Glimpse, OneDigest, SignableFormat
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding

SIGNATURE_ROOM = 1 << 16
"""Bytes that a signature with its chain and timestamp, and what it takes to allocate them, stay below."""
_SIGNATURE, _METADATA = (f"\5{name}".encode("utf-16-le") for name in ("DigitalSignature", "MsiDigitalSignatureEx"))
_OWN_STREAMS = frozenset({_SIGNATURE, _METADATA})
_DIGEST_SIZES = frozenset({20, 32, 48, 64})
_SIP = bytes.fromhex("f1100c0000000000c000000000000046")
_PROFILE = AUTHENTICODE.covering(OID_SPC_SIP_INFO)
_CLASSES = frozenset(UUID(f"000c{kind}-0000-0000-c000-000000000046").bytes_le for kind in ("1082", "1084", "1086"))
"""Transform, database (merge modules too) and patch."""
METADATA_ABSENT = Finding(
    "metadata-digest", "absent: names, order and sizes of the streams are not signed (no MsiDigitalSignatureEx)"
)
UNALLOCATED_DATA: Final = "unallocated-data"
_SUFFIXES = frozenset({".msi", ".msp", ".mst", ".msm"})


def is_msi(glimpse: Glimpse) -> bool:
    """Whether the content is a compound file whose root is of a Windows Installer class.

    Where damage hides the class, the name decides whether a damaged package or something else is reported.
    """
    if not is_compound(glimpse.head):
        return False
    found = root_class(glimpse.snapshot)
    return glimpse.path.suffix.lower() in _SUFFIXES if found is None else found in _CLASSES


@dataclass(frozen=True, slots=True)
class MsiFile(OneDigest):
    """A package whose structure was read and checked; see SignableFile. `metadata` is what MsiDigitalSignatureEx
    holds, None when there is none, or when it is to be made with a signature."""

    compound: CompoundFile = field(repr=False)
    signatures: tuple[bytes, ...] = field(repr=False)
    metadata: bytes | None

    @classmethod
    def open(cls, snapshot: Snapshot) -> MsiFile:
        """Read the structure; raises ArtifactError when it contradicts itself."""
        compound = CompoundFile.open(snapshot)
        signature = _root_stream(compound, _SIGNATURE, MAX_SIGNATURE)
        metadata = _root_stream(compound, _METADATA, hashlib.sha512().digest_size)
        return cls(compound, () if signature is None else (signature,), metadata)

    @classmethod
    def open_to_replace(cls, snapshot: Snapshot) -> MsiFile:
        """Likewise without its signatures, which are to be replaced."""
        return replace(cls.open(snapshot), signatures=(), metadata=None)

    @property
    def snapshot(self) -> Snapshot:
        """The file, as it is read."""
        return self.compound.snapshot

    @property
    def profile(self) -> CmsProfile:
        """Authenticode."""
        return _PROFILE

    def admit(self, terms: SigningTerms) -> None:
        """Raise ArtifactError when the file would grow beyond its version's limit, or when appending another digest
        than MsiDigitalSignatureEx has would break the signatures that are there."""
        if self.compound.header.major == 3 and self.snapshot.size + SIGNATURE_ROOM > MAX_SMALL_SECTORS_SIZE:
            raise too_large()
        if not terms.append or not self.signatures or self.metadata is None:
            return
        if self._metadata_digest(terms.algorithm) != self.metadata:
            raise ArtifactError(
                Hresult.NTE_BAD_ALGID,
                f"its stream MsiDigitalSignatureEx has another digest than a {terms.algorithm} signature needs; "
                "appending one would break the signatures that are there",
                remedy="Append with the digest algorithm of the first signature (--digest), or sign with --replace.",
            )

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> Digest:
        """Hash what signatures cover, or are to cover, stream after stream, and in parallel the whole file."""
        hashers = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
        for algorithm, hasher in hashers.items():
            if self._has_metadata:
                hasher.update(self._metadata_digest(algorithm))
        with in_parallel(self.snapshot.size, self.snapshot.sha256) as whole:
            if hashers:
                for chunk in self._content():
                    for hasher in hashers.values():
                        hasher.update(chunk)
            return Digest({algorithm: hasher.digest() for algorithm, hasher in hashers.items()}, whole())

    def structure(self, _digest: Digest, signatures: Sequence[CmsSignature]) -> tuple[Finding, ...]:
        """The checks "sip" of each signature, "directory-order", "unallocated-data" and "metadata-digest"."""
        return (
            *sip_findings(signatures, _SIP),
            self._order_finding(),
            self._hidden_finding(),
            *self._metadata_findings(signatures),
        )

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """SpcIndirectDataContent that names the MSI SIP."""
        return sip_indirect_data(1, _SIP, terms.algorithm, digest.values[terms.algorithm])

    def embed(self, _digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the package with the first of `signatures` as its stream DigitalSignature to `target`.

        MsiDigitalSignatureEx gets the digest of that signature's algorithm, unless the package is signed without it.
        Without any signature neither stream is written.
        """
        if not signatures:
            write_anew(self.compound, dict.fromkeys(_OWN_STREAMS), target)
            return
        added: dict[bytes, bytes | None] = {_SIGNATURE: signatures[0]}
        if self._has_metadata:
            added[_METADATA] = self._metadata_digest(_PROFILE.read(signatures[0]).algorithm)
        write_anew(self.compound, added, target)

    @property
    def keeps_digest(self) -> bool:
        """Whether the package has the same digest without signatures: not where it is signed without
        MsiDigitalSignatureEx, which the next first signature covers."""
        return self._has_metadata

    @property
    def _has_metadata(self) -> bool:
        """Whether signatures cover MsiDigitalSignatureEx: the existing ones do, or the first one is yet to be
        created."""
        return self.metadata is not None or not self.signatures

    def _content(self) -> Iterator[bytes]:
        with self.snapshot.open() as file:
            for entry in _content_order(self.compound.root):
                if entry.is_stream:
                    yield from self.compound.read(file, entry)
                else:
                    yield entry.class_id

    def _metadata_digest(self, algorithm: DigestAlgorithm) -> bytes:
        return hashlib.new(algorithm, b"".join(_metadata(self.compound.root))).digest()

    def _order_finding(self) -> Finding:
        wrong = next((storage for storage in self.compound.root.walk() if not storage.sorted), None)
        if wrong is None:
            return Finding("directory-order", "every name is found")
        return Finding(
            "directory-order",
            f"the storage {wrong.entry.label} is not sorted: some readers don't find all its names",
            Hresult.TRUST_E_MALFORMED_SIGNATURE,
        )

    def _hidden_finding(self) -> Finding:
        found = next(self.compound.hidden(), None)
        for entry in self.compound.root.streams:
            if entry.name in _OWN_STREAMS and any(entry.state + entry.times + entry.class_id):
                detail = f"the directory entry of {entry.label} holds state bits, times or a class that nothing signs"
                return Finding(UNALLOCATED_DATA, detail, Hresult.TRUST_E_MALFORMED_SIGNATURE)
        if found is None:
            return Finding(UNALLOCATED_DATA, "nothing lies outside the streams")
        what, offset = found
        detail = f"{what} at {offset} hold data that no signature covers"
        return Finding(UNALLOCATED_DATA, detail, Hresult.TRUST_E_MALFORMED_SIGNATURE)

    def _metadata_findings(self, signatures: Sequence[CmsSignature]) -> Iterator[Finding]:
        if self.metadata is None:
            if signatures:
                yield _renamed_metadata(self.compound.root) or METADATA_ABSENT
            return
        for algorithm in dict.fromkeys(signature.algorithm for signature in signatures):
            computed = self._metadata_digest(algorithm)
            if computed == self.metadata:
                yield Finding("metadata-digest", f"MsiDigitalSignatureEx has the {algorithm} digest of the metadata")
            else:
                detail = f"MsiDigitalSignatureEx holds {self.metadata.hex()}, by {algorithm} it is {computed.hex()}"
                yield Finding("metadata-digest", detail, Hresult.TRUST_E_BAD_DIGEST)


def _root_stream(compound: CompoundFile, name: bytes, limit: int) -> bytes | None:
    """The content of the root's stream of that name, None when there is none.

    Raises ArtifactError when it is a storage, is longer than `limit`, or when another name differs from it by case
    alone: readers that ask for one may get the other.
    """
    for other in (*compound.root.streams, *(storage.entry for storage in compound.root.storages)):
        if same_name(other.name, name) and (other.name != name or not other.is_stream):
            raise _damaged(f"{other.label} takes the place of a signature, but is not one")
    for entry in compound.root.streams:
        if entry.name == name:
            if entry.size > limit:
                raise _damaged(f"the stream {entry.label} has {entry.size} bytes, more than any signature has")
            with compound.snapshot.open() as file:
                return b"".join(compound.read(file, entry))
    return None


def _children(storage: Storage) -> list[DirectoryEntry | Storage]:
    """The children of a storage in the order of their stored names' octets, without the root's two signature
    streams."""
    left_out = _OWN_STREAMS if storage.entry.is_root else frozenset()
    named: list[tuple[bytes, DirectoryEntry | Storage]] = [
        *((stream.name, stream) for stream in storage.streams if stream.name not in left_out),
        *((child.entry.name, child) for child in storage.storages),
    ]
    return [child for _, child in sorted(named, key=lambda pair: pair[0])]


def _content_order(storage: Storage) -> Iterator[DirectoryEntry]:
    """Streams and storages in the order in which they are hashed, a storage after its content."""
    for child in _children(storage):
        if isinstance(child, Storage):
            yield from _content_order(child)
        else:
            yield child
    yield storage.entry


def _metadata(storage: Storage) -> Iterator[bytes]:
    """The input of MsiDigitalSignatureEx: a storage's metadata, then those of its children.

    Of the root neither name nor times count, of a stream the lower half of its size.
    """
    entry = storage.entry
    if entry.is_root:
        yield entry.class_id + entry.state
    else:
        yield entry.name + entry.class_id + entry.state + entry.times
    for child in _children(storage):
        if isinstance(child, Storage):
            yield from _metadata(child)
        else:
            yield child.name + struct.pack("<I", child.size & 0xFFFFFFFF) + child.state + child.times


def _renamed_metadata(root: Storage) -> Finding | None:
    """The check "metadata-digest" where the stream that is hashed first can be MsiDigitalSignatureEx by another name:
    the digest stays the same, and names are not judged by it any more."""
    first = next((entry for entry in _content_order(root) if entry.is_stream), None)
    if first is None or first.size not in _DIGEST_SIZES:
        return None
    detail = f"the stream {first.label}, which is hashed first, is as long as a digest: MsiDigitalSignatureEx, renamed?"
    return Finding("metadata-digest", detail, Hresult.TRUST_E_MALFORMED_SIGNATURE)


def _damaged(what: str) -> ArtifactError:
    return ArtifactError(Hresult.ERROR_BAD_FORMAT, f"the package is damaged: {what}")


MSI = SignableFormat(is_msi, MsiFile.open, MsiFile.open_to_replace, _PROFILE)
