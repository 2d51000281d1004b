"""The parts of a package or bundle: archive, manifest, block map, content types, signature, inner packages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import BinaryIO, TypeVar

from kspsign.authenticode.appx.block_map import BLOCK, BlockMap, read_block_map
from kspsign.authenticode.appx.content_types import ContentTypes, read_content_types
from kspsign.authenticode.appx.manifest import InnerPackage, Manifest, read_manifest
from kspsign.authenticode.appx.names import BLOCK_MAP, BUNDLE_MANIFEST, CONTENT_TYPES, MANIFEST, SIGNATURE, plain
from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.profile import AUTHENTICODE
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.zip import (
    MAX_DIRECTORY,
    MAX_ENTRIES,
    Archive,
    Plan,
    ZipEntry,
    ZipMember,
    damaged,
    read_archive,
    read_signature_entry,
    unpack,
)
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.hresults import Hresult

T = TypeVar("T")
SIGNATURE_MAGIC = b"PKCX"
_MAX_BLOCK_MAP, _MAX_XML, _FREE_XML, _XML_RATIO = 48 << 20, 16 << 20, 1 << 20, 64


@dataclass(frozen=True)
class Package:
    """A package or bundle whose structure was read; `inner` are a bundle's own packages, in the manifest's order."""

    archive: Archive
    manifest: Manifest
    block_map: BlockMap
    content_types: ContentTypes
    signatures: tuple[bytes, ...]
    inner: tuple[Package, ...] = ()

    @property
    def snapshot(self) -> Snapshot:
        """The file that it is, or that it is in."""
        return self.archive.snapshot

    @property
    def bundle(self) -> bool:
        """Whether it is a bundle."""
        return self.archive.find(BUNDLE_MANIFEST) is not None

    @property
    def unmapped(self) -> frozenset[str]:
        """Plain names of the packages that the manifest vouches for, not the block map."""
        return frozenset(stated.name for stated in self.manifest.packages)

    @cached_property
    def readable_signatures(self) -> tuple[CmsSignature, ...]:
        """Its signatures, without those that are malformed."""
        read: list[CmsSignature] = []
        for der in self.signatures:
            with contextlib.suppress(TrustError):
                read.append(AUTHENTICODE.read(der))
        return tuple(read)

    @property
    def block_map_fault(self) -> str | None:
        """How the block map contradicts the archive, None when it does not; nothing is hashed for that."""
        return self.block_map.fault(self.archive.entries, self.unmapped, bundle=self.bundle)

    @cached_property
    def unsigned(self) -> Plan:
        """The archive that a signature covers: without one, but with the signature's content type."""
        kept = tuple(entry for entry in self.archive.entries if entry.name != SIGNATURE)
        if self.signatures or self.content_types.name_signature:
            return Plan(self.archive, kept, sort=True)
        try:
            types = ZipMember(CONTENT_TYPES, self.content_types.with_signature())
        except ValueError as broken:
            raise ArtifactError(Hresult.ERROR_BAD_FORMAT, str(broken)) from broken
        return Plan(self.archive, tuple(member for member in kept if member.name != CONTENT_TYPES), (types,), sort=True)


def read_package(snapshot: Snapshot) -> Package:
    """The package or bundle that the file is; raises ArtifactError when its structure contradicts itself."""
    with snapshot.open() as file:
        return _read(file, read_archive(file, snapshot, 0, snapshot.size))


def _read(file: BinaryIO, archive: Archive) -> Package:
    names = _names(archive)
    bundle = archive.find(BUNDLE_MANIFEST) is not None
    manifest_name = BUNDLE_MANIFEST if bundle else MANIFEST
    manifest = _part(
        file, archive, manifest_name, Hresult.APPX_E_INVALID_MANIFEST, partial(read_manifest, bundle=bundle)
    )
    # One file or block more than there can be, so that which one it is can be said.
    blocks = sum(-(-entry.size // BLOCK) for entry in archive.entries) + len(archive.entries)
    read_map = partial(read_block_map, most_files=len(archive.entries), most_blocks=blocks)
    block_map = _part(file, archive, BLOCK_MAP, Hresult.APPX_E_INVALID_BLOCKMAP, read_map)
    types = _part(file, archive, CONTENT_TYPES, Hresult.ERROR_BAD_FORMAT, read_content_types)
    inner = _read_packages(file, archive, names, manifest)
    package = Package(archive, manifest, block_map, types, _signatures(file, archive), inner)
    _ = package.unsigned  # content types without a place for the signature are refused here, or nowhere
    return package


def _read_packages(
    file: BinaryIO, archive: Archive, names: dict[str, ZipEntry], manifest: Manifest
) -> tuple[Package, ...]:
    """The packages in a bundle, which are all kept in memory: together they have no more than one archive may, which is
    known from their directories before anything else of them is read."""
    archives: list[Archive] = []
    entries, directory = len(archive.entries), archive.size - archive.directory
    for stated in manifest.packages:
        found = _inner_archive(file, archive, names.get(stated.name), stated)
        entries += len(found.entries)
        directory += found.size - found.directory
        if entries > MAX_ENTRIES or directory > MAX_DIRECTORY:
            raise damaged(
                f"its packages have {entries} files in directories of {directory} bytes, more than are read here "
                f"({MAX_ENTRIES}, {MAX_DIRECTORY})"
            )
        archives.append(found)
    inner: list[Package] = []
    for stated, found in zip(manifest.packages, archives, strict=True):
        with _named(stated):
            inner.append(_read(file, found))
    return tuple(inner)


def _inner_archive(file: BinaryIO, outer: Archive, entry: ZipEntry | None, stated: InnerPackage) -> Archive:
    if entry is None or entry.method or (entry.data, entry.size) != (stated.offset, stated.size):
        raise ArtifactError(
            Hresult.APPX_E_INVALID_MANIFEST,
            f"{BUNDLE_MANIFEST} names the package {stated.name}, which is not stored at the stated place and size",
            remedy="Bundle the packages again (MakeAppx bundle); change nothing in a bundle after that.",
        )
    with _named(stated):
        archive = read_archive(file, outer.snapshot, outer.start + entry.data, entry.size)
        if archive.find(BUNDLE_MANIFEST) is not None:
            raise damaged("it is a bundle itself")
    return archive


@contextlib.contextmanager
def _named(stated: InnerPackage) -> Iterator[None]:
    try:
        yield
    except ArtifactError as broken:
        hresult = broken.hresult or Hresult.ERROR_BAD_FORMAT
        raise ArtifactError(hresult, f"the package {stated.name} in the bundle: {broken.message}") from broken


def _names(archive: Archive) -> dict[str, ZipEntry]:
    """Entries by plain name; raises ArtifactError when a name is none, or two differ in case alone."""
    try:
        names = {plain(entry.name): entry for entry in archive.entries}
    except ValueError as broken:
        raise damaged(str(broken)) from broken
    if len({name.lower() for name in names}) != len(archive.entries):
        raise damaged("two entries have the same name on Windows")
    return names


def _part(file: BinaryIO, archive: Archive, name: str, hresult: Hresult, read: Callable[[bytes], T]) -> T:
    """The parsed part; raises ArtifactError when it is missing or malformed."""
    entry = archive.find(name)
    if entry is None:
        raise damaged(f"it has no {name}, which every package has")
    most = _MAX_BLOCK_MAP if name == BLOCK_MAP else _MAX_XML
    limit = min(most, max(_FREE_XML, _XML_RATIO * entry.packed))
    try:
        return read(unpack(file, archive, entry, limit))
    except ValueError as broken:
        raise ArtifactError(hresult, f"{name} can't be read: {broken}") from broken


def _signatures(file: BinaryIO, archive: Archive) -> tuple[bytes, ...]:
    entry = archive.find(SIGNATURE)
    if entry is None:
        return ()
    content, fault = read_signature_entry(file, archive, entry)
    if fault is not None:
        raise ArtifactError(Hresult.TRUST_E_MALFORMED_SIGNATURE, f"{SIGNATURE} is not a plain entry: {fault}")
    if content[:4] != SIGNATURE_MAGIC:
        raise ArtifactError(Hresult.TRUST_E_MALFORMED_SIGNATURE, f"{SIGNATURE} holds no signature")
    return (content[4:],)
