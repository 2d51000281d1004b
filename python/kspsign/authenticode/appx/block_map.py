"""AppxBlockMap.xml: the digest of every 64 KiB of every file of a package, and how the archive holds them.

Schema: http://schemas.microsoft.com/appx/2010/blockmap. Elements of other namespaces may be ignored.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from kspsign.authenticode.appx.names import NOT_IN_BLOCK_MAP, from_windows, plain
from kspsign.authenticode.appx.xml import Element, read_xml
from kspsign.authenticode.zip import Entry
from kspsign.model.values import DigestAlgorithm

BLOCK = 1 << 16
_NAMESPACE = "http://schemas.microsoft.com/appx/2010/blockmap"
_METHODS = {
    "http://www.w3.org/2001/04/xmlenc#sha256": DigestAlgorithm.SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": DigestAlgorithm.SHA384,
    "http://www.w3.org/2001/04/xmlenc#sha512": DigestAlgorithm.SHA512,
}
_EMPTY_LAST_BLOCK = 5  # bytes that a packer needs at most to end a deflated file whose blocks are flushed


@dataclass(slots=True)
class MappedFile:
    """A file in the block map: its size, that of its local header, and of each block the digest and, where it is
    told, the packed size."""

    size: int
    header: int
    digests: list[bytes] = field(default_factory=list)
    packed: list[int | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BlockMap:
    """The block map's digest algorithm, and its files by plain name."""

    algorithm: DigestAlgorithm
    files: dict[str, MappedFile]

    def fault(self, entries: Iterable[Entry], unmapped: Collection[str]) -> str | None:
        """How the map contradicts the archive's `entries`, None when it does not. Nothing is hashed for that.

        `unmapped` are plain names of packages that a bundle's manifest vouches for.
        """
        seen: set[str] = set()
        for entry in entries:
            name = plain(entry.name)
            if entry.name in NOT_IN_BLOCK_MAP or name in unmapped:
                if name in self.files:
                    return f"{name} must not be in the block map"
                continue
            file = self.files.get(name)
            if file is None:
                return f"{name} is in the package, not in its block map: it was put in afterwards"
            if fault := _file_fault(file, entry):
                return f"{name} {fault}"
            seen.add(name)
        missing = next((name for name in self.files if name not in seen), None)
        return None if missing is None else f"{missing} is in the block map, not in the package"


class BlockCheck:
    """Compares what files unpack to with their digests in the block map. `fault` is the first difference."""

    def __init__(self, block_map: BlockMap) -> None:
        self.fault: str | None = None
        self._map = block_map
        self._name = ""
        self._file: MappedFile | None = None
        self._size = 0
        self._number = 0
        self._hasher = hashlib.new(block_map.algorithm)

    def begin(self, name: str) -> None:
        """What is fed next is of the file with that plain name."""
        self.finish()
        self._name, self._file = name, self._map.files.get(name)
        self._size = self._number = 0
        self._hasher = hashlib.new(self._map.algorithm)

    def feed(self, content: bytes) -> None:
        """The next bytes of the file."""
        if self._file is None:
            return
        view = memoryview(content)
        while view:
            part = view[: BLOCK - self._size]
            self._hasher.update(part)
            self._size += len(part)
            view = view[len(part) :]
            if self._size == BLOCK:
                self._compare(self._file)

    def finish(self) -> None:
        """The file is at its end."""
        if self._file is None:
            return
        if self._size:
            self._compare(self._file)
        if self._number != len(self._file.digests):
            self._fail(f"{self._name} has {self._number} blocks, the block map {len(self._file.digests)}")
        self._file = None

    def _compare(self, file: MappedFile) -> None:
        if self._number >= len(file.digests) or file.digests[self._number] != self._hasher.digest():
            self._fail(f"block {self._number + 1} of {self._name} is not what the block map has")
        self._number += 1
        self._size = 0
        self._hasher = hashlib.new(self._map.algorithm)

    def _fail(self, fault: str) -> None:
        self.fault = self.fault or fault


def read_block_map(data: bytes) -> BlockMap:
    """The block map in `data`; raises ValueError when it is malformed or names a file twice."""
    methods: list[str] = []
    files: dict[str, MappedFile] = {}
    last: MappedFile | None = None

    def start(element: Element) -> None:
        nonlocal last
        if element.depth == 0:
            if (element.namespace, element.name) != (_NAMESPACE, "BlockMap"):
                raise ValueError("its root is not BlockMap")
            methods.append(element.attributes.get("HashMethod", ""))
        elif element.namespace == _NAMESPACE and (element.depth, element.name) == (1, "File"):
            name = from_windows(element.attributes.get("Name", ""))
            if name.lower() in lower:
                raise ValueError(f"{name} occurs twice in it")
            lower.add(name.lower())
            last = MappedFile(_number(element, "Size"), _number(element, "LfhSize"))
            files[name] = last
        elif element.namespace == _NAMESPACE and (element.depth, element.name) == (2, "Block") and last is not None:
            last.digests.append(base64.b64decode(element.attributes.get("Hash", ""), validate=True))
            last.packed.append(_number(element, "Size") if "Size" in element.attributes else None)

    lower: set[str] = set()
    read_xml(data, start)
    algorithm = _METHODS.get(methods[0])
    if algorithm is None:
        raise ValueError(f'its HashMethod "{methods[0]}" is none that Windows knows')
    return BlockMap(algorithm, files)


def _number(element: Element, name: str) -> int:
    text = element.attributes.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"a {element.name} has no proper {name}")
    return int(text)


def _file_fault(file: MappedFile, entry: Entry) -> str | None:
    if file.size != entry.size:
        return f"has {entry.size} bytes, {file.size} in the block map"
    if file.header != entry.data - entry.offset:
        return f"has a local header of {entry.data - entry.offset} bytes, {file.header} in the block map (LfhSize)"
    told = [size for size in file.packed if size is not None]
    if not told:
        return None
    rest = entry.packed - sum(told)
    if len(told) != len(file.packed) or not 0 <= rest <= (_EMPTY_LAST_BLOCK if entry.method else 0):
        return f"takes {entry.packed} bytes, its blocks in the block map {sum(told)}"
    return None
