"""The section ".wixburn" of setup bundles, and where their engine looks for what is in them (WiX Toolset 3 to 6,
burn/engine/section.cpp and burn/stub/StubSection.cpp).

    0 magic    4 version    8 bundle's GUID    24 size of the stub
    28 checksum, 32 offset and 36 size of the certificate table that the header of the signed engine had
    40 format of the containers (1: cabinets)    44 their number    48 the size of each

The file is: stub, the user interface's container, the engine's signature, attached containers, the bundle's signature.
The first three are the engine, which is signed by itself, with zeros at 28 to 40: Windows runs it from the package
cache. The attached containers are looked for after the engine's signature where the section names one, else after the
bundle's, else after the user interface: a bundle that is signed while its engine is not does not find them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO, Final, NamedTuple

from kspsign.authenticode.pe.layout import ALIGNMENT, PeLayout
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

SECTION: Final = b".wixburn"
ORIGINALS: Final = 28
"""Where the three numbers of the signed engine's header are."""
BUILD: Final = "Take the bundle as WiX built it: its engine and then the bundle are signed in one step."
"""The remedy for a section that contradicts its file."""
_MAGIC = 0x00F14300
_VERSION, _CABINETS = 2, 1
_FIELDS = struct.Struct("<II16sIIIIII")
_CABINET = struct.Struct("<4s4xI")
_MAX_CONTAINERS = 4096  # a section has room for 116


class BurnSection(NamedTuple):
    """Offsets and sizes in bytes; `at` is the section's own place. `checksum`, `signature_offset` and `signature_size`
    are those of the signed engine, 0 when it was not signed; `containers` are sizes, the user interface's first, and
    `claimed` is their number as it is stated."""

    at: int
    version: int
    stub: int
    checksum: int
    signature_offset: int
    signature_size: int
    format: int
    claimed: int
    containers: tuple[int, ...]

    @property
    def is_engine_signed(self) -> bool:
        """Whether it says that the engine was signed before the containers were attached."""
        return self.signature_offset != 0

    @property
    def is_bare_stub(self) -> bool:
        """Whether no bundle was made of it yet: WiX ships such a program and fills its section in."""
        return not any((self.stub, self.checksum, self.signature_offset, self.signature_size, self.claimed))

    @property
    def engine_end(self) -> int:
        """End of the engine without its signature."""
        return self.stub + sum(self.containers[:1])

    @property
    def payload(self) -> int:
        """Where the attached containers are."""
        return self.signature_offset + self.signature_size if self.is_engine_signed else self.engine_end

    @property
    def payload_end(self) -> int:
        """Where they end."""
        return self.payload + sum(self.containers[1:])

    def searched(self, layout: PeLayout) -> int:
        """Where the engine looks for them in the file with this header."""
        if not self.is_engine_signed and layout.table_offset:
            return layout.table_offset + layout.table_size
        return self.payload

    def is_alone(self, layout: PeLayout) -> bool:
        """Whether the file is a stub or an engine alone, or a bundle with all its containers in files of their own."""
        if self.is_engine_signed:
            return False
        return not any(self.containers[1:]) or layout.signed_end < self.engine_end + ALIGNMENT


def read_section(file: BinaryIO, layout: PeLayout) -> BurnSection:
    """The section of the image in `file`, which names one at least.

    Raises ArtifactError (ERROR_BAD_FORMAT) where Burn would read another one or none: it takes the first of that name,
    whatever its magic is.
    """
    if (*layout.names, *layout.bare_names).count(SECTION) != 1:
        raise _unreadable("it has several sections .wixburn")
    if SECTION in layout.bare_names:
        raise _unreadable("its section .wixburn is empty")
    offset, size = layout.sections[layout.names.index(SECTION)]
    if size < _FIELDS.size + 4:
        raise _unreadable(f"its section .wixburn has {size} bytes")
    others = [place for name, place in zip(layout.names, layout.sections, strict=True) if name != SECTION]
    if offset < layout.headers_end or any(at < offset + size and offset < at + length for at, length in others):
        raise _unreadable("its section .wixburn overlaps the headers or another section")
    file.seek(offset)
    data = file.read(min(size, _FIELDS.size + 4 * _MAX_CONTAINERS))
    magic, version, _, stub, checksum, table, table_size, format_, claimed = _FIELDS.unpack_from(data)
    if magic != _MAGIC:
        raise _unreadable(f"its section .wixburn begins with 0x{magic:08X}, not with 0x{_MAGIC:08X}")
    count = min(claimed, (len(data) - _FIELDS.size) // 4)
    containers = struct.unpack_from(f"<{count}I", data, _FIELDS.size)
    return BurnSection(offset, version, stub, checksum, table, table_size, format_, claimed, containers)


def section_fault(file: BinaryIO, layout: PeLayout, section: BurnSection) -> str | None:
    """How the section contradicts the file, None when every byte after the stub is accounted for: by the user
    interface's container, the engine's signature, the attached containers, and the zeros that align signatures. What
    follows where no container is attached does not concern Burn."""
    fault = _numbers_fault(section) or _stub_fault(layout, section)
    if fault or section.is_bare_stub:
        return fault
    attached = section.containers[1:]
    if section.is_alone(layout):
        end = layout.signed_end if any(attached) else section.engine_end
        fault = _container_fault(file, layout, section, ())
        return fault or _gap_fault(file, section.engine_end, end, "its end")
    return (
        _gap_fault(file, section.engine_end, section.signature_offset or section.engine_end, "its engine's signature")
        or _container_fault(file, layout, section, attached)
        or _gap_fault(file, section.payload_end, layout.signed_end, "its end")
    )


def _numbers_fault(section: BurnSection) -> str | None:
    if section.version != _VERSION or section.format != _CABINETS:
        return f"its section .wixburn has version {section.version} and format {section.format}, not 2 and 1"
    if section.claimed != len(section.containers):
        return f"its section .wixburn counts {section.claimed} containers and has room for {len(section.containers)}"
    if bool(section.signature_offset) != bool(section.signature_size):
        return (
            f"what it says of its engine's signature contradicts itself (offset {section.signature_offset}, "
            f"size {section.signature_size})"
        )
    return None


def _stub_fault(layout: PeLayout, section: BurnSection) -> str | None:
    """Whether the stub is less than the image, or nothing follows it."""
    if section.is_bare_stub:
        return None
    if section.stub < layout.image_end:
        return f"its user interface is said to be at {section.stub}, inside the image, which ends at {layout.image_end}"
    return None if any(section.containers[:1]) else "it has no user interface's container"


def _container_fault(file: BinaryIO, layout: PeLayout, section: BurnSection, attached: Sequence[int]) -> str | None:
    """Whether the user interface's container or one of the `attached` is not where it should be."""
    starts = [section.stub, *accumulate(attached, initial=section.payload)]
    for number, (start, size) in enumerate(zip(starts, (section.containers[0], *attached), strict=False)):
        what = f"its attached container {number}" if number else "its user interface's container"
        if start + size > layout.content_end:
            return f"{what} ends at {start + size}, its content at {layout.content_end}: it is truncated"
        file.seek(start)
        head = file.read(_CABINET.size).ljust(_CABINET.size, b"\0")
        if size and _CABINET.unpack(head) != (b"MSCF", size):
            return f"no cabinet of {size} bytes is at {start}, where {what} should be"
    return None


def _gap_fault(file: BinaryIO, begin: int, end: int, what: str) -> str | None:
    """Whether anything but alignment is between `begin` and `end`, where `what` is."""
    if not begin <= end < begin + ALIGNMENT:
        return f"{what} should follow at {begin}, and is at {end}"
    file.seek(begin)
    if any(file.read(end - begin)):
        return f"{end - begin} bytes at {begin} are neither a container nor zeros before {what}"
    return None


def _unreadable(why: str) -> ArtifactError:
    return ArtifactError(Hresult.ERROR_BAD_FORMAT, f"it is a WiX bundle (Burn), and {why}", remedy=BUILD)
