"""Setup bundles of WiX (Burn): whether the engine will find their payload once they are signed.

The section ".wixburn" says how the file is made up (WiX Toolset, burn/engine/section.cpp): engine and user interface
come first, attached containers follow. Where the file carries a signature, the engine expects the containers after it.
So the engine is detached and signed first; when the containers are attached again after that signature, its place is
noted in the section and its table entry is cleared, and the whole is signed once more.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from kspsign.authenticode.pe.layout import ALIGNMENT, PeLayout
from kspsign.authenticode.pe.table import ENTRY_HEADER
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

_SECTION = b".wixburn"
_MAGIC = 0x00F14300
_FIELDS = struct.Struct("<II16sIIIIII")
_MAX_CONTAINERS = 64


class _Section(NamedTuple):
    """Sizes and offsets in bytes: of the engine alone, of its own signature (0 when it has none), and of each
    container, the user interface's first."""

    stub: int
    signature_offset: int
    signature_size: int
    containers: tuple[int, ...]


def guard_bundle(file: BinaryIO, layout: PeLayout) -> None:
    """Raise ArtifactError (ERROR_NOT_SUPPORTED) when the image in `file` is a bundle with attached containers whose
    engine was not signed before they were attached: once signed, it would not find them.

    An engine alone, detached or without attached containers, passes.
    """
    section = _read_section(file, layout)
    if section is None or not any(section.containers[1:]):
        return
    engine_end = section.stub + section.containers[0]
    if layout.content_end < engine_end + ALIGNMENT:
        return
    fault = _fault(file, layout, section, engine_end)
    if fault is not None:
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            f"it is a WiX bundle with an attached container, and {fault}: once signed, it would look for its payload "
            "after the signature and not find it",
            remedy="Detach the engine (`wix burn detach`; WiX 3: `insignia -ib`), sign it, attach it again (`wix burn "
            "reattach`; `insignia -ab`), and sign the bundle then.",
        )


def _read_section(file: BinaryIO, layout: PeLayout) -> _Section | None:
    place = next((place for name, place in zip(layout.names, layout.sections, strict=True) if name == _SECTION), None)
    if place is None or place[1] < _FIELDS.size:
        return None
    file.seek(place[0])
    data = file.read(min(place[1], _FIELDS.size + 4 * _MAX_CONTAINERS))
    magic, _, _, stub, _, signature_offset, signature_size, _, count = _FIELDS.unpack_from(data)
    if magic != _MAGIC or not 0 < count <= (len(data) - _FIELDS.size) // 4:
        return None
    containers = struct.unpack_from(f"<{count}I", data, _FIELDS.size)
    return _Section(stub, signature_offset, signature_size, containers)


def _fault(file: BinaryIO, layout: PeLayout, section: _Section, engine_end: int) -> str | None:
    """Why the engine would not find its containers in the signed bundle, None when it would."""
    offset, size = section.signature_offset, section.signature_size
    if not offset or not size:
        return "its engine was not signed before"
    attached = sum(section.containers[1:])
    if offset < engine_end or offset + size + attached > layout.content_end:
        return f"the {size} bytes at {offset} declared as its engine's signature are not between engine and containers"
    file.seek(offset)
    header = file.read(ENTRY_HEADER)
    if len(header) < ENTRY_HEADER or not ENTRY_HEADER < int.from_bytes(header[:4], "little") <= size:
        return f"no signature of its engine is at {offset}, where it names one"
    return None
