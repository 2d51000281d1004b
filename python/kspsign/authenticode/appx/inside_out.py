"""Rebuilds a bundle around its signed packages, with the layout MakeAppx would produce.

Entries keep their order. The packages are stored as before; the bundle's manifest gets their new offsets and sizes, the
block map the manifest's new digest; [Content_Types].xml gets the signature's type, so that only the signature itself is
missing.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

from kspsign.authenticode.appx.block_map import BLOCK, METHODS, NAMESPACE
from kspsign.authenticode.appx.names import (
    BLOCK_MAP,
    BUNDLE_MANIFEST,
    CONTENT_TYPES,
    SIGNATURE,
    from_windows,
    plain,
    to_windows,
)
from kspsign.authenticode.appx.package import SIGNATURE_MAGIC, Package
from kspsign.authenticode.appx.xml import XmlElement, read_xml
from kspsign.authenticode.io.read import stretch
from kspsign.authenticode.io.snapshot import CHUNK
from kspsign.authenticode.zip import ZipEntry, ZipMember, stored_header, stored_record, unpack
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm

_MAX_STORED = 0xFFFFFFFF  # bytes that a package may have without Zip64
_MAX_XML = 64 << 20
_TAG = re.compile(rb"""<(?:"[^"]*"|'[^']*'|[^<>"'])*>""")
_PLACE = re.compile(rb"""(\s(Offset|Size)\s*=\s*)("[^"]*"|'[^']*')""")
_MAP = (
    '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<BlockMap xmlns="{namespace}" HashMethod="{method}">'
    '<File Name="{name}" Size="{size}" LfhSize="{header}">{blocks}</File></BlockMap>'
)
_REMEDY = "Sign the packages first, bundle them afterwards (MakeAppx bundle), then sign the bundle."


def rebuild(package: Package, signatures: Mapping[int, bytes], target: BinaryIO) -> None:
    """Write the bundle `package` to the empty `target` with `signatures` (DER, by the number of the package in its
    manifest) in its packages, ready to be signed itself.

    Raises ArtifactError when the bundle is not laid out as MakeAppx does it.
    """
    _Rebuilt(package, signatures, target).write()


class _Rebuilt:
    def __init__(self, package: Package, signatures: Mapping[int, bytes], target: BinaryIO) -> None:
        self._package, self._target = package, target
        stated = package.manifest.packages
        self._signed = {stated[index].name: (package.inner[index], der) for index, der in signatures.items()}
        self._inside = {statement.name for statement in stated}
        self._places: dict[str, tuple[int, int]] = {}
        self._records: list[bytes] = []
        self._manifest: ZipMember | None = None

    def write(self) -> None:
        """Every entry in order, then the directory."""
        archive, types = self._package.archive, self._package.content_types
        with archive.snapshot.open() as source:
            for entry in archive.entries:
                moves = entry.name == CONTENT_TYPES and not types.name_signature
                if entry.name != SIGNATURE and not moves:
                    self._entry(entry, source)
        if not types.name_signature:
            self._member(ZipMember(CONTENT_TYPES, types.with_signature()))
        offset = self._target.tell()
        directory = b"".join(self._records)
        self._target.write(directory + archive.end.records(len(self._records), len(directory), offset))

    def _entry(self, entry: ZipEntry, source: BinaryIO) -> None:
        name = plain(entry.name)
        if name in self._signed:
            self._package_entry(entry, *self._signed[name])
        elif entry.name == BUNDLE_MANIFEST:
            if self._places.keys() != self._inside:
                raise _unusual("its manifest precedes a package")
            content = unpack(source, self._package.archive, entry, _MAX_XML)
            self._manifest = ZipMember(BUNDLE_MANIFEST, with_places(content, self._places))
            self._member(self._manifest)
        elif entry.name == BLOCK_MAP:
            if self._manifest is None:
                raise _unusual("its block map precedes its manifest")
            self._member(ZipMember(BLOCK_MAP, _block_map(self._manifest, self._package.block_map.algorithm)))
        else:
            self._kept(entry, name, source)

    def _kept(self, entry: ZipEntry, name: str, source: BinaryIO) -> None:
        offset = self._target.tell()
        if offset >= _MAX_STORED and not entry.offset_field:
            raise _unusual("it has 4 GiB or more, and no Zip64 records")
        source.seek(self._package.archive.start + entry.offset)
        self._target.writelines(stretch(source, entry.end - entry.offset))
        self._records.append(entry.moved(offset))
        if name in self._inside:
            self._places[name] = offset + entry.data - entry.offset, entry.size

    def _member(self, member: ZipMember) -> None:
        self._records.append(member.record(self._target.tell()))
        self._target.write(member.raw)

    def _package_entry(self, entry: ZipEntry, inner: Package, der: bytes) -> None:
        """The inner package with its signature; its checksum and size are known once it is written."""
        target, offset = self._target, self._target.tell()
        header = stored_header(entry.name, 0, 0)
        target.write(header)
        unsigned = inner.unsigned
        replace(unsigned, added=(*unsigned.added, ZipMember(SIGNATURE, SIGNATURE_MAGIC + der))).write(target)
        end, start = target.tell(), offset + len(header)
        if end - start >= _MAX_STORED:
            raise _unusual(f"the package {plain(entry.name)} has 4 GiB or more")
        crc = 0
        target.seek(start)
        while chunk := target.read(CHUNK):
            crc = zlib.crc32(chunk, crc)
        target.seek(offset)
        target.write(stored_header(entry.name, crc, end - start))
        target.seek(end)
        self._records.append(stored_record(entry.name, crc, end - start, offset))
        self._places[plain(entry.name)] = start, end - start


def with_places(manifest: bytes, places: Mapping[str, tuple[int, int]]) -> bytes:
    """The bundle's manifest with the Offset and Size in `places` (by plain name) of the packages inside; all else keeps
    its bytes. Raises ArtifactError when it is not written in UTF-8."""
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
        tag = _TAG.match(manifest, begin)
        if tag is None:
            raise _unusual(f"{BUNDLE_MANIFEST} is not written in UTF-8")
        values = {b"Offset": offset, b"Size": size}
        numbered = _PLACE.sub(lambda match, values=values: b'%s"%d"' % (match[1], values[match[2]]), tag[0])  # type: ignore[misc]
        written += manifest[at:begin] + numbered
        at = tag.end()
    return written + manifest[at:]


def _block_map(manifest: ZipMember, algorithm: DigestAlgorithm) -> bytes:
    """The block map of a bundle: its manifest, stored, and nothing else."""
    content = manifest.content
    blocks = "".join(
        f'<Block Hash="{base64.b64encode(hashlib.new(algorithm, content[at : at + BLOCK]).digest()).decode()}"/>'
        for at in range(0, len(content), BLOCK)
    )
    method = next(method for method, known in METHODS.items() if known is algorithm)
    header = len(stored_header(manifest.name, 0, 0))
    name = to_windows(manifest.name)
    text = _MAP.format(namespace=NAMESPACE, method=method, name=name, size=len(content), header=header, blocks=blocks)
    return text.encode()


def _unusual(what: str) -> ArtifactError:
    return ArtifactError(
        Hresult.ERROR_NOT_SUPPORTED, f"the packages in the bundle can't be signed inside it: {what}", remedy=_REMEDY
    )
