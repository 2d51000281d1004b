"""Writes a package or bundle again with other content in some files: the block map gets their blocks, the manifest of
a bundle the offsets and sizes of the packages in it.

Entries keep their order, so the parts that speak of others must follow them, as MakeAppx lays them out. Blocks are
deflated one by one and flushed as MakeAppx does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO, TypeVar

from kspsign.authenticode.appx.block_map import MappedFile
from kspsign.authenticode.appx.block_map_edit import edit_block_map
from kspsign.authenticode.appx.block_packing import BlockPacking
from kspsign.authenticode.appx.names import (
    BLOCK_MAP,
    BUNDLE_MANIFEST,
    CONTENT_TYPES,
    NOT_IN_BLOCK_MAP,
    SIGNATURE,
    from_windows,
    plain,
)
from kspsign.authenticode.appx.package import Package
from kspsign.authenticode.appx.xml import XmlElement, read_xml, tag_at, with_attributes
from kspsign.authenticode.zip import ArchiveWriter, Packing, ZipEntry, ZipMember, unpack
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

T = TypeVar("T")
_MAX_XML = 64 << 20
_REMEDY = "Sign the files first and pack them afterwards (MakeAppx pack or bundle), then sign the package."


def check_rewrite(package: Package, names: Iterable[str]) -> None:
    """Raise ArtifactError (ERROR_NOT_SUPPORTED) when files of these plain names can't be replaced: the package is not
    laid out as MakeAppx does it, or its block map does not match it."""
    if fault := package.block_map_fault:
        raise ArtifactError(Hresult.APPX_E_INVALID_BLOCKMAP, fault)
    order = {plain(entry.name): number for number, entry in enumerate(package.archive.entries)}
    last = max((order[name] for name in names), default=-1)
    if package.bundle:
        last = max(last, *(order[stated.name] for stated in package.manifest.packages), 0)
        if order[BUNDLE_MANIFEST] < last:
            raise unusual("its manifest precedes a package")
        last = order[BUNDLE_MANIFEST]
    if order[BLOCK_MAP] < last:
        raise unusual("its block map precedes a file that it has")


def rewrite(
    package: Package, replacements: Mapping[str, Iterable[bytes]], target: BinaryIO, *, name_signature: bool = False
) -> None:
    """Write the package to the empty `target`, with the `replacements` in its files of these plain names and without
    its signature. With `name_signature` the content types get that of the signature, so that only it is missing.

    Raises ArtifactError like check_rewrite.
    """
    check_rewrite(package, replacements)
    with package.archive.snapshot.open() as source:
        _Rewriter(package, replacements, source, target).write(name_signature=name_signature)


class _Rewriter:
    def __init__(
        self, package: Package, replacements: Mapping[str, Iterable[bytes]], source: BinaryIO, target: BinaryIO
    ) -> None:
        self._package, self._replacements, self._source = package, replacements, source
        self._writer = ArchiveWriter(package.archive, source, target)
        self._inside = {stated.name for stated in package.manifest.packages}
        self._places: dict[str, tuple[int, int]] = {}
        self._mapped: dict[str, MappedFile] = {}

    def write(self, *, name_signature: bool) -> None:
        """Every entry in order, then the directory."""
        types = self._package.content_types
        adds_type = name_signature and not types.name_signature
        for entry in self._package.archive.entries:
            if entry.name != SIGNATURE and not (adds_type and entry.name == CONTENT_TYPES):
                self._entry(entry, plain(entry.name))
        if adds_type:
            self._writer.add(ZipMember(CONTENT_TYPES, types.with_signature()))
        self._writer.finish()

    def _entry(self, entry: ZipEntry, name: str) -> None:
        if name in self._replacements:
            self._replace(entry, name, self._replacements[name])
        elif name == BUNDLE_MANIFEST and self._package.bundle and self._replacements:
            self._replace(entry, name, (self._edited(entry, with_places, self._places),))
        elif name == BLOCK_MAP and self._mapped:
            self._writer.replace(entry, (self._edited(entry, edit_block_map, self._mapped),))
        else:
            offset = self._writer.keep(entry)
            if name in self._inside:
                self._places[name] = offset, entry.size

    def _replace(self, entry: ZipEntry, name: str, content: Iterable[bytes]) -> None:
        old = None if name in NOT_IN_BLOCK_MAP else self._package.block_map.files.get(name)
        if old is None:
            packing = Packing(entry)
        else:
            packing = BlockPacking(entry, old, self._package.block_map.algorithm)
            self._mapped[name] = packing.file
        offset = self._writer.replace(entry, content, packing)
        if name in self._inside:
            self._places[name] = offset, packing.size

    def _edited(
        self, entry: ZipEntry, edit: Callable[[bytes, Mapping[str, T]], bytes], changes: Mapping[str, T]
    ) -> bytes:
        document = unpack(self._source, self._package.archive, entry, _MAX_XML)
        try:
            return edit(document, changes)
        except ValueError as broken:
            raise unusual(f"{entry.name} can't be edited: {broken}") from broken


def with_places(manifest: bytes, places: Mapping[str, tuple[int, int]]) -> bytes:
    """The bundle's manifest with the Offset and Size in `places` (by plain name) of the packages inside; all else keeps
    its bytes. Raises ValueError when it is not written in UTF-8."""
    path: list[str] = []
    found: list[tuple[int, tuple[int, int]]] = []

    def start(element: XmlElement) -> None:
        del path[element.depth :]
        path.append(element.name)
        name = from_windows(element.attributes.get("FileName", ""))
        if path == ["Bundle", "Packages", "Package"] and "Offset" in element.attributes and name in places:
            found.append((element.at, places[name]))

    read_xml(manifest, start)
    written, at = b"", 0
    for begin, (offset, size) in found:
        tag = tag_at(manifest, begin)
        written += manifest[at:begin] + with_attributes(tag, {b"Offset": b"%d" % offset, b"Size": b"%d" % size})
        at = begin + len(tag)
    return written + manifest[at:]


def unusual(what: str) -> ArtifactError:
    """The error for a package that can't be written again."""
    return ArtifactError(
        Hresult.ERROR_NOT_SUPPORTED, f"what is in the package can't be signed inside it: {what}", remedy=_REMEDY
    )
