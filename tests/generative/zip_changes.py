"""Changes of an archive: entries with all their fields, written again whole."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from generative.file_changes import FileChange

_LOCAL_FIELDS = ("needed", "flags", "method", "time", "date", "crc", "packed", "size")
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s4H2IH")


@dataclass(frozen=True)
class _Entry:
    """An entry: the fields of both headers, and what follows each."""

    name: bytes
    local: dict[str, int]
    central: dict[str, int]
    local_extra: bytes
    central_extra: bytes
    comment: bytes
    data: bytes
    descriptor: bytes
    before: bytes = b""

    def local_record(self) -> bytes:
        fields = (self.local[field] for field in _LOCAL_FIELDS)
        head = _LOCAL.pack(b"PK\3\4", *fields, len(self.name), len(self.local_extra))
        return head + self.name + self.local_extra + self.data + self.descriptor

    def central_record(self, offset: int) -> bytes:
        c, extra = self.central, self.central_extra
        if extra[:4] == b"\1\0\x18\0":
            extra = extra[:20] + offset.to_bytes(8, "little") + extra[28:]
            offset = 0xFFFFFFFF
        fields = (c["made by"], *(c[field] for field in _LOCAL_FIELDS), len(self.name), len(extra), len(self.comment))
        tail = (c["disk"], c["internal"], c["external"], offset)
        return _CENTRAL.pack(b"PK\1\2", *fields, *tail) + self.name + extra + self.comment


def _entries(data: bytes) -> list[_Entry]:
    """The entries of an archive that build_zip and the signer wrote."""
    _, _, _, _, count, _, at, _ = _END.unpack(data[-_END.size :])
    if at == 0xFFFFFFFF:
        record = data.rindex(b"PK\6\6")
        count, _, at = struct.unpack_from("<3Q", data, record + 32)
    found, offsets = [], []
    for _ in range(count):
        fields = _CENTRAL.unpack_from(data, at)
        sizes = fields[10:13]
        name, extra, comment = _split(data, at + _CENTRAL.size, *sizes)
        offset = fields[16] if fields[16] != 0xFFFFFFFF else struct.unpack_from("<Q", extra, 20)[0]
        central = dict(zip(("made by", *_LOCAL_FIELDS), fields[1:10], strict=True))
        central |= {"disk": fields[13], "internal": fields[14], "external": fields[15]}
        found.append((name, central, extra, comment))
        offsets.append(offset)
        at += _CENTRAL.size + sum(sizes)
    entries = []
    start = data.rindex(b"PK\6\6") if b"PK\6\6" in data else len(data)
    directory = min(start, at) - sum(46 + len(n) + len(e) + len(c) for n, _, e, c in found)
    ends = [*sorted(offsets)[1:], directory]
    for (name, central, extra, comment), offset in zip(found, offsets, strict=True):
        fields = _LOCAL.unpack_from(data, offset)
        content = offset + _LOCAL.size + fields[9] + fields[10]
        packed = central["packed"] if central["packed"] != 0xFFFFFFFF else struct.unpack_from("<Q", extra, 12)[0]
        end = ends[sorted(offsets).index(offset)]
        entries.append(
            _Entry(
                name,
                dict(zip(_LOCAL_FIELDS, fields[1:9], strict=True)),
                central,
                data[content - fields[10] : content],
                extra,
                comment,
                data[content : content + packed],
                data[content + packed : end],
            )
        )
    return entries


def _split(data: bytes, at: int, *sizes: int) -> Iterator[bytes]:
    for size in sizes:
        yield data[at : at + size]
        at += size


def _archive(
    entries: Sequence[_Entry], data: bytes, *, order: Sequence[int] | None = None, comment: bytes = b""
) -> bytes:
    """The archive of these entries; the end records are of the kind that `data` has."""
    body, records = b"", []
    for entry in entries:
        body += entry.before
        records.append(entry.central_record(len(body)))
        body += entry.local_record()
    directory = b"".join(records[index] for index in (order or range(len(records))))
    count, size, offset = len(entries), len(directory), len(body)
    if b"PK\6\6" not in data:
        return body + directory + _END.pack(b"PK\5\6", 0, 0, count, count, size, offset, len(comment)) + comment
    at = data.rindex(b"PK\6\6")
    versions = data[at + 12 : at + 16]
    record = struct.pack("<4sQ", b"PK\6\6", 44) + versions + struct.pack("<2I4Q", 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, offset + size, 1)
    last = data[-_END.size :]
    return body + directory + record + locator + last[:-2] + len(comment).to_bytes(2, "little") + comment


_EXTRA = struct.pack("<2H", 0x7075, 7) + b"payload"
_ZIP64 = {
    "Zip64 payload": struct.pack("<2H", 1, 800) + b"payload " * 100,
    "Zip64 empty": struct.pack("<2H", 1, 0),
    "Zip64 numbers": struct.pack("<2H2Q", 1, 16, 7, 7),
}
"""Zip64 fields of an entry whose numbers are not masked: no reader looks into them."""


def _with_extra_fields(entry: _Entry) -> Iterator[tuple[str, _Entry]]:
    for name, field in {"": _EXTRA, **_ZIP64}.items():
        yield f"local {name}", replace(entry, local_extra=entry.local_extra + field)
        yield f"central {name}", replace(entry, central_extra=entry.central_extra + field)
    if entry.central_extra[:4] == b"\1\0\x18\0":
        longer = struct.pack("<2H", 1, 32) + entry.central_extra[4:] + b"payload "
        yield "central Zip64 longer", replace(entry, central_extra=longer)


def zip_changes(data: bytes) -> Iterator[FileChange]:
    entries = _entries(data)
    assert _archive(entries, data) == data

    def change(kind: str, detail: str, index: int, *new: _Entry) -> FileChange:
        return FileChange(kind, detail, index, partial(_archive, [*entries[:index], *new, *entries[index + 1 :]], data))

    added = replace(entries[-1], name=b"added.txt", data=b"", descriptor=b"")
    for at in range(len(entries) + 1):
        yield FileChange("entry", "added", at, partial(_archive, [*entries[:at], added, *entries[at:]], data))
    for index, entry in enumerate(entries):
        for field, value in entry.local.items():
            for other in {value ^ 1, value ^ 0x10, value ^ 0x800, 0, 0xFFFF} - {value}:
                shared = replace(entry, local={**entry.local, field: other})
                yield change(f"local {field}", f"{other:#x}", index, shared)
                both = replace(shared, central={**entry.central, field: other})
                yield change(f"both {field}", f"{other:#x}", index, both)
        for field, value in entry.central.items():
            for other in {value ^ 1, value ^ 0x10, value ^ 0x300, 0, 0xFFFF} - {value}:
                yield change(
                    f"central {field}", f"{other:#x}", index, replace(entry, central={**entry.central, field: other})
                )
        for detail, new in _with_extra_fields(entry):
            yield change("extra", detail, index, new)
        yield change("comment", "", index, replace(entry, comment=b"payload"))
        yield change("descriptor", "", index, replace(entry, descriptor=entry.descriptor + b"PK\7\x08" + bytes(12)))
        yield change("gap", "", index, replace(entry, before=b"payload"))
        yield change("entry", "dropped", index)
        yield change("entry", "repeated", index, entry, entry)
        yield change("entry", "repeated by another name", index, replace(entry, name=entry.name + b"2"), entry)
        yield change("data", "longer", index, replace(entry, data=entry.data + b"\0"))
        if index:
            swapped = [*entries[: index - 1], entry, entries[index - 1], *entries[index + 1 :]]
            yield FileChange("entry", "moved", index, partial(_archive, swapped, data))
            order = [*range(index - 1), index, index - 1, *range(index + 1, len(entries))]
            yield FileChange("record", "moved", index, partial(_archive, entries, data, order=order))
    yield FileChange("comment", "of the archive", -1, partial(_archive, entries, data, comment=b"payload"))
