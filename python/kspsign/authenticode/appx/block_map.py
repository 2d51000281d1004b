"""AppxBlockMap.xml: the digest of every 64 KiB of every file of a package, and how the archive holds them.

Schemas: http://schemas.microsoft.com/appx/2010/blockmap (BlockMapSchema.xsd), and FileHash of
http://schemas.microsoft.com/appx/2021/blockmap. What these do not define is refused, unless the root element lists its
namespace in IgnorableNamespaces. The rules for block sizes are those of Windows' reader (microsoft/msix-packaging,
AppxPackageObject::VerifyFile).
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from kspsign.authenticode.appx.names import BUNDLE_MANIFEST, NOT_IN_BLOCK_MAP, from_windows, plain, windows_fault
from kspsign.authenticode.appx.xml import XmlElement, read_xml
from kspsign.authenticode.zip import ZipEntry
from kspsign.model.values import DigestAlgorithm

BLOCK = 1 << 16
NAMESPACE = "http://schemas.microsoft.com/appx/2010/blockmap"
_NAMESPACE_2021 = "http://schemas.microsoft.com/appx/2021/blockmap"
NAMESPACES = frozenset({NAMESPACE, _NAMESPACE_2021})
METHODS = {
    "http://www.w3.org/2001/04/xmlenc#sha256": DigestAlgorithm.SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": DigestAlgorithm.SHA384,
    "http://www.w3.org/2001/04/xmlenc#sha512": DigestAlgorithm.SHA512,
}
_ATTRIBUTES = {
    "BlockMap": frozenset({"HashMethod", "IgnorableNamespaces"}),
    "File": frozenset({"Name", "Size", "LfhSize"}),
    "Block": frozenset({"Hash", "Size"}),
    "FileHash": frozenset({"Hash"}),
}
_PLACES = {
    (0, NAMESPACE, "BlockMap"), (1, NAMESPACE, "File"), (2, NAMESPACE, "Block"), (2, _NAMESPACE_2021, "FileHash"),
}  # fmt: skip
_LAST_BLOCK = (0, 2)
"""Bytes of a deflated file after its blocks: MakeAppx flushes each block, and ends the stream with 03 00."""


@dataclass(slots=True)
class MappedFile:
    """A file in the block map: its size, that of its local header, of each block the digest and the packed size (None
    when it is stored), and the digest of the whole file where there is one."""

    size: int
    header: int
    digests: list[bytes] = field(default_factory=list)
    packed: list[int | None] = field(default_factory=list)
    whole: bytes | None = None


@dataclass(frozen=True, slots=True)
class BlockMap:
    """The block map's digest algorithm, and its files by plain name."""

    algorithm: DigestAlgorithm
    files: dict[str, MappedFile]

    def fault(self, entries: Iterable[ZipEntry], unmapped: Collection[str], *, bundle: bool = False) -> str | None:
        """How the map contradicts the archive's `entries`, None when it does not. Nothing is hashed for that.

        `unmapped` are plain names of packages that a bundle's manifest vouches for; the map of a bundle has its
        manifest alone.
        """
        if bundle and (more := next((name for name in self.files if name != BUNDLE_MANIFEST), None)):
            return f"{more} must not be in the block map of a bundle, which has {BUNDLE_MANIFEST} alone"
        seen: set[str] = set()
        for entry in entries:
            name = plain(entry.name)
            if entry.name in NOT_IN_BLOCK_MAP or name in unmapped:
                if name in self.files:
                    return f"{name} must not be in the block map"
                continue
            file = self.files.get(name)
            if file is None:
                return f"{name} is in the package, not in its block map: it was added afterwards"
            if fault := _file_fault(file, entry):
                return f"{name} {fault}"
            seen.add(name)
        missing = next((name for name in self.files if name not in seen), None)
        return None if missing is None else f"{missing} is in the block map, not in the package"


def read_block_map(data: bytes, most_files: int, most_blocks: int) -> BlockMap:
    """The block map in `data`; raises ValueError when it is malformed, names a file twice, or has more files or blocks
    than its package can have: what is read is kept in memory."""
    reader = _BlockMapReader(most_files, most_blocks)
    read_xml(data, reader.start, reader.namespace)
    if not reader.files:
        raise ValueError("it has no file")
    return BlockMap(reader.algorithm, reader.files)


class _BlockMapReader:
    """Takes in the elements of a block map; raises ValueError for one that its schemas do not have in that place."""

    def __init__(self, most_files: int, most_blocks: int) -> None:
        self._files_left, self._blocks_left = most_files, most_blocks
        self.algorithm = DigestAlgorithm.SHA256
        self.files: dict[str, MappedFile] = {}
        self._names: set[str] = set()
        self._last: MappedFile | None = None
        self._prefixes: dict[str, set[str]] = {}
        self._ignorable: set[str] = set()
        self._ignored: int | None = None

    def namespace(self, prefix: str | None, uri: str) -> None:
        """A namespace is declared."""
        self._prefixes.setdefault(prefix or "", set()).add(uri)

    def start(self, element: XmlElement) -> None:
        """The next start tag."""
        if self._ignored is not None and element.depth > self._ignored:
            return
        self._ignored = None
        if element.depth == 0:
            self._root(element)
        elif element.namespace in self._ignorable - NAMESPACES:
            self._ignored = element.depth
        elif (element.depth, element.namespace, element.name) not in _PLACES:
            raise ValueError(f"an element {element.name} is not allowed there")
        else:
            self._check_attributes(element)
            {"File": self._file, "Block": self._block, "FileHash": self._file_hash}[element.name](element)

    def _root(self, element: XmlElement) -> None:
        if (element.namespace, element.name) != (NAMESPACE, "BlockMap"):
            raise ValueError("its root is not BlockMap")
        for prefix in element.attributes.get("IgnorableNamespaces", "").split():
            self._ignorable |= self._prefixes.get(prefix, set())
        method = element.attributes.get("HashMethod", "")
        if method not in METHODS:
            raise ValueError(f'its HashMethod "{method}" is not known to Windows')
        self.algorithm = METHODS[method]
        self._check_attributes(element)

    def _check_attributes(self, element: XmlElement) -> None:
        for name in element.attributes.keys() - _ATTRIBUTES[element.name]:
            if name.rpartition(" ")[0] not in self._ignorable:
                raise ValueError(f"a {element.name} has an attribute {name}, which is not known")

    def _file(self, element: XmlElement) -> None:
        name = _file_name(element.attributes.get("Name", ""))
        self._files_left -= 1
        if self._files_left < 0:
            raise ValueError("it has more files than the package")
        if name.lower() in self._names:
            raise ValueError(f"{name} occurs twice in it")
        self._names.add(name.lower())
        self._last = self.files[name] = MappedFile(_number(element, "Size"), _number(element, "LfhSize"))

    def _block(self, element: XmlElement) -> None:
        file = self._open_file(element)
        self._blocks_left -= 1
        if self._blocks_left < 0:
            raise ValueError("it has more blocks than the package's files")
        if file.whole is not None:
            raise ValueError("a Block follows a FileHash")
        file.digests.append(_hash(element))
        file.packed.append(_number(element, "Size") if "Size" in element.attributes else None)

    def _file_hash(self, element: XmlElement) -> None:
        file = self._open_file(element)
        if file.whole is not None:
            raise ValueError("a File has two FileHashes")
        file.whole = _hash(element)

    def _open_file(self, element: XmlElement) -> MappedFile:
        if self._last is None:
            raise ValueError(f"a {element.name} belongs to no File")
        return self._last


def _file_name(name: str) -> str:
    """The plain name; raises ValueError for one that Windows' reader does not find in the archive."""
    if "/" in name:
        raise ValueError(f'the name "{name}" in it has "/" between folders, where Windows finds files by "\\" only')
    if fault := windows_fault(from_windows(name)):
        raise ValueError(f'"{name}" in it is not a name that a file of a package may have: {fault}')
    return from_windows(name)


def _hash(element: XmlElement) -> bytes:
    return base64.b64decode(element.attributes.get("Hash", ""), validate=True)


def _number(element: XmlElement, name: str) -> int:
    text = element.attributes.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"a {element.name} has no proper {name}")
    return int(text)


def _file_fault(file: MappedFile, entry: ZipEntry) -> str | None:
    if file.size != entry.size:
        return f"has {entry.size} bytes, {file.size} in the block map"
    if file.header != entry.data - entry.offset:
        return f"has a local header of {entry.data - entry.offset} bytes, {file.header} in the block map (LfhSize)"
    if len(file.digests) != -(-file.size // BLOCK):
        return f"has {-(-file.size // BLOCK)} blocks, the block map {len(file.digests)}"
    return _packed_fault([size for size in file.packed if size is not None], file, entry)


def _packed_fault(stated: list[int], file: MappedFile, entry: ZipEntry) -> str | None:
    """Why the blocks' sizes in the map are not those of the entry's data. BlockCheck checks where they end."""
    if not entry.method:
        small = any(size != BLOCK for size in stated)
        return "is stored, but its blocks in the block map have packed sizes" if small else None
    if len(stated) != len(file.packed) or 0 in stated:
        return "is compressed, but a block of it in the block map has no size: Windows can't find its blocks"
    if entry.packed - sum(stated) not in _LAST_BLOCK:
        return f"takes {entry.packed} bytes, its blocks in the block map {sum(stated)}"
    return None
