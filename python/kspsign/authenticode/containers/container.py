"""Opens a container: its entries, and what one of them unpacks to."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from kspsign.authenticode.appx.names import SIGNATURE as APPX_SIGNATURE
from kspsign.authenticode.appx.names import plain as part_name
from kspsign.authenticode.appx.package import Package, read_package
from kspsign.authenticode.containers.bounds import Bounds
from kspsign.authenticode.containers.kinds import MSIX, ContainerKind, detect_container
from kspsign.authenticode.containers.names import collision, plain_path
from kspsign.authenticode.io.new_file import new_file
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.navx import HEADER, NavxFile
from kspsign.authenticode.nuget.rules import SIGNATURE as NUGET_SIGNATURE
from kspsign.authenticode.signable import HEAD, Glimpse
from kspsign.authenticode.vsix import VsixFile
from kspsign.authenticode.zip import Archive, ZipEntry, archive_of, damaged, read_archive, unpack_pieces
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

_FILE_TYPES: Final = frozenset({0, stat.S_IFREG, stat.S_IFDIR})
_REMEDY: Final = "Pack the archive again with the usual tool for its kind; check where it comes from."


@dataclass(frozen=True, slots=True)
class ContainerEntry:
    """A file in a container: its path there, with slashes, its unpacked and its packed size in bytes."""

    name: str
    size: int
    packed: int
    entry: ZipEntry = field(repr=False)


@dataclass(frozen=True)
class Container:
    """A container whose directory was read and checked; its folders are not among its `entries`, which are in the order
    of their data."""

    kind: ContainerKind
    archive: Archive = field(repr=False)
    entries: tuple[ContainerEntry, ...] = field(repr=False)

    @property
    def snapshot(self) -> Snapshot:
        """The file: nothing of it is read but through this."""
        return self.archive.snapshot

    @cached_property
    def by_name(self) -> dict[str, ContainerEntry]:
        """Its entries by their names."""
        return {entry.name: entry for entry in self.entries}

    @cached_property
    def package(self) -> Package:
        """The package or bundle (MSIX) that it is. Raises ArtifactError when its parts contradict each other."""
        return read_package(self.snapshot)

    @cached_property
    def signature_entries(self) -> frozenset[str]:
        """The names of the entries that hold its own signature; empty when there are none. Raises ArtifactError when
        what leads to a signature is malformed."""
        if self.kind is ContainerKind.VSIX:
            layout = VsixFile.open(self.snapshot).layout
            return frozenset() if layout.signature is None else layout.services | {layout.signature}
        own = _SIGNATURES.get(self.kind)
        return frozenset(entry.name for entry in self.entries if entry.entry.name == own)

    @property
    def is_signed(self) -> bool:
        """Whether it carries a signature of its own, which covers what is inside."""
        behind = self.snapshot.size - self.archive.start - self.archive.size  # a signature block of NAVX
        return bool(self.signature_entries or behind)

    def head(self, entry: ContainerEntry) -> bytes:
        """The first 4 KiB that the entry unpacks to. Raises ArtifactError when that is damaged."""
        head = b""
        for piece in self.pieces(entry):
            head += piece
            if len(head) >= HEAD:
                break
        return head[:HEAD]

    def extract(self, entry: ContainerEntry, target: Path) -> None:
        """Write what the entry unpacks to into the new file `target`, never more than the directory declares; nothing
        is left of it when that fails.

        Raises ArtifactError (ERROR_BAD_FORMAT) when the entry is damaged, OSError.
        """
        with new_file(target) as file:
            file.writelines(self.pieces(entry))

    def pieces(self, entry: ContainerEntry) -> Iterator[bytes]:
        """What the entry unpacks to, in order. Raises ArtifactError (ERROR_BAD_FORMAT) when it is damaged."""
        with self.snapshot.open() as file:
            yield from unpack_pieces(file, self.archive, entry.entry)


_ENCODED: Final = frozenset({ContainerKind.NUPKG, ContainerKind.SNUPKG, ContainerKind.VSIX})
"""Packages of other tools, whose names need not be those of parts."""
_SIGNATURES: Final = {
    ContainerKind.NUPKG: NUGET_SIGNATURE,
    ContainerKind.SNUPKG: NUGET_SIGNATURE,
    ContainerKind.MSIX: APPX_SIGNATURE,
    ContainerKind.MSIX_BUNDLE: APPX_SIGNATURE,
}


def open_container(file: Path | Snapshot, bounds: Bounds) -> Container:
    """The container that a file is.

    Raises ArtifactError: TRUST_E_SUBJECT_FORM_UNKNOWN when it is none, ERROR_BAD_FORMAT when it contradicts itself, is
    encrypted, uses other methods than stored and deflated, or holds names that are none everywhere; ERROR_NOT_SUPPORTED
    when it holds more than `bounds` allow.
    """
    snapshot = file if isinstance(file, Snapshot) else Snapshot(file, keep=False)
    kind = detect_container(Glimpse.of(snapshot))
    if kind is None:
        raise ArtifactError(
            Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN,
            "it is not a container whose files can be signed inside (zip, nupkg, snupkg, msix, appx, their bundles, "
            "vsix)",
            remedy="Sign the files before they are packed, or take it out of the patterns.",
        )
    archive = _archive(snapshot, kind)
    bounds.check(archive.entries, archive.size)
    return Container(kind, archive, _entries(archive, kind))


def _archive(snapshot: Snapshot, kind: ContainerKind) -> Archive:
    if kind is not ContainerKind.APP:
        return archive_of(snapshot, comment=kind is ContainerKind.ZIP)
    end = NavxFile.open(snapshot).content_end
    with snapshot.open() as file:
        return read_archive(file, snapshot, HEADER, end - HEADER)


def _entries(archive: Archive, kind: ContainerKind) -> tuple[ContainerEntry, ...]:
    """The files; raises ArtifactError for names that are not those of files below the container."""
    try:
        found = tuple(_files(archive, kind))
        fault = collision(entry.name for entry in found) or collision(_other_names(found))
    except ValueError as broken:
        fault = str(broken)
        found = ()
    if fault is not None:
        raise ArtifactError(Hresult.ERROR_BAD_FORMAT, damaged(fault).message, remedy=_REMEDY)
    return found


def _other_names(files: tuple[ContainerEntry, ...]) -> Iterator[str]:
    """The names by which readers know the files that do not heed what an archive says of Unicode names."""
    if any(file.entry.shown_name != file.entry.name for file in files):
        yield from (plain_path(file.entry.name) for file in files)


def _files(archive: Archive, kind: ContainerKind) -> Iterator[ContainerEntry]:
    for entry in archive.entries:
        _check_type(entry)
        name = entry.shown_name
        path = plain_path(_decoded(name, kind))
        if not name.endswith(("/", "\\")):
            yield ContainerEntry(path, entry.size, entry.packed, entry)
        elif entry.size:
            raise ValueError(f'"{name}" is a folder, and has content')


def _decoded(name: str, kind: ContainerKind) -> str:
    """The name of a part without percent-encoding, as the readers of packages show it (ECMA-376 Part 2 §A). Raises
    ValueError for one that no file may have."""
    return part_name(name) if kind in MSIX or (kind in _ENCODED and "%" in name) else name


def _check_type(entry: ZipEntry) -> None:
    """Raise ValueError for an entry that is not a file or folder: a link leads anywhere."""
    kind = stat.S_IFMT(entry.mode)
    if kind == stat.S_IFLNK:
        raise ValueError(f'"{entry.name}" is a symbolic link')
    if kind not in _FILE_TYPES:
        raise ValueError(f'"{entry.name}" is neither a file nor a folder (mode {entry.mode:o})')
