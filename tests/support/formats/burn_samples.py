"""Setup bundles of WiX, and what Burn does with them by its own rules (WiX Toolset, burn/engine/section.cpp and
cache.cpp): nothing of ours is used here.

The engine reads its section from the file. The user interface's container is after the stub; attached ones are after
the engine, which ends with the signature that the section names, else with the one that the header names, else with the
user interface's container. The engine is put into the package cache with the header that the section remembers.
"""

from __future__ import annotations

import struct

from support.formats.cab_samples import build_cab
from support.formats.peimages import build_pe, parts, patched

FIELDS = "<II16sIIIIII"
UX, PAYLOAD, MORE = (build_cab(files={f"{name}.txt": name.encode() * 99}) for name in ("ux", "payload", "more"))


def section_of(data: bytes) -> int:
    """Where the section's content begins."""
    return parts(data).sections[1][0]


def engine(  # noqa: PLR0913 - a section has that many fields, and a test turns one of them
    *,
    containers: tuple[int, ...] = (len(UX), len(PAYLOAD), len(MORE)),
    signature: tuple[int, int] = (0, 0),
    magic: int = 0x00F14300,
    version: int = 2,
    form: int = 1,
    name: bytes = b".wixburn",
    count: int | None = None,
    ux: bytes = UX,
) -> bytes:
    """A stub with its section, and the user interface's container behind it."""
    fields = (magic, version, bytes(range(16)), 0, 0, *signature, form, len(containers) if count is None else count)
    section = struct.pack(FIELDS, *fields) + struct.pack(f"<{len(containers)}I", *containers)
    data = build_pe(sections=(b"\xc3" * 700, section), plus=False, machine=0x014C)
    data = patched(data, parts(data).section_table + 40, name)
    return patched(data, section_of(data) + 24, struct.pack("<I", len(data))) + ux


BUNDLE = engine() + PAYLOAD + MORE
"""As WiX builds it, without any signature."""


def engine_size(data: bytes) -> int:
    """Where the engine ends, as Burn reckons."""
    _, _, _, stub, _, offset, size, _, _ = struct.unpack_from(FIELDS, data, section_of(data))
    header = parts(data)
    if offset:
        return int(offset + size)
    if header.table:
        return header.table + header.table_size
    return int(stub + struct.unpack_from("<I", data, section_of(data) + 48)[0])


def containers(data: bytes) -> list[bytes]:
    """What Burn finds where it looks for each container; it calls one that does not begin in the file absent."""
    section = section_of(data)
    stub, count = struct.unpack_from("<I", data, section + 24)[0], struct.unpack_from("<I", data, section + 44)[0]
    sizes = struct.unpack_from(f"<{count}I", data, section + 48)
    found, at = [data[stub : stub + sizes[0]]], engine_size(data)
    for size in sizes[1:]:
        found.append(data[at : at + size])
        at += size
    return found


def cached_engine(data: bytes) -> bytes:
    """The engine that Burn puts into the package cache."""
    section, header = section_of(data), parts(data)
    kept = data[: engine_size(data)]
    originals = data[section + 28 : section + 40]
    if not any(originals[4:8]):
        return kept
    kept = patched(patched(kept, header.checksum, originals[:4]), header.directory, originals[4:])
    return patched(kept, section + 28, bytes(12))


def reattached(signed: bytes, *attached: bytes, shift: int = 0) -> bytes:
    """A signed engine with containers after its signature, which the section names in place of the header."""
    found = parts(signed)
    place = struct.pack("<II", found.table + shift, found.table_size)
    originals = signed[found.checksum : found.checksum + 4] + place
    data = patched(patched(signed, found.directory, bytes(8)), found.checksum, bytes(4))
    return patched(data, section_of(data) + 28, originals) + b"".join(attached)
