"""An archive's structure, read strictly: every byte belongs to exactly one record, and the records agree.

An archive that readers could take for different things is refused: bytes before, between or after the records,
overlapping entries, a local header that contradicts the central directory, a name that occurs twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.signable import Glimpse
from kspsign.authenticode.zip import records
from kspsign.authenticode.zip.records import (
    CENTRAL,
    CENTRAL_MAGIC,
    DESCRIPTOR,
    DESCRIPTOR_MAGIC,
    END,
    END64,
    END64_MAGIC,
    END_MAGIC,
    LOCAL,
    LOCAL_MAGIC,
    LOCATOR,
    LOCATOR_MAGIC,
    STORED,
    U16,
    U32,
    End,
    ZipEntry,
)  # fmt: skip
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

MAX_ENTRIES, MAX_DIRECTORY = 100_000, 16 << 20
"""Entries, and bytes of the directory: each is kept in memory."""
_MAX_RATIO = 1032  # the most that deflate can pack (RFC 1951): 258 bytes in two bits
_BOMB_SIZE, _BOMB_RATIO = 1 << 30, 200
_DESCRIPTOR_SIZES = frozenset({12, 16, 20, 24})


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive whose structure was read and checked: `size` bytes from `start` in the file.

    `entries` are in the order of their data; `directory` is the offset of the central directory.
    """

    snapshot: Snapshot
    start: int
    size: int
    entries: tuple[ZipEntry, ...]
    directory: int
    end: End

    @property
    def last(self) -> ZipEntry | None:
        """The entry that is the last of all, in data and directory; None when these disagree."""
        last = self.entries[-1]
        return last if last.number == len(self.entries) - 1 else None

    @property
    def zip64(self) -> bool:
        """Whether it uses Zip64 anywhere."""
        return self.end.versions is not None or any(entry.wide for entry in self.entries)

    def find(self, name: str) -> ZipEntry | None:
        """The entry with exactly that name."""
        raw = name.encode()  # compared as bytes: an archive may have a hundred thousand names to decode
        alike = (entry for entry in self.entries if entry.raw_name == raw or not raw.isascii())
        return next((entry for entry in alike if entry.name == name), None)


def archive_of(snapshot: Snapshot, *, comment: bool = False) -> Archive:
    """The archive that the whole file is; raises like read_archive."""
    with snapshot.open() as file:
        return read_archive(file, snapshot, 0, snapshot.size, comment=comment)


def read_archive(file: BinaryIO, snapshot: Snapshot, start: int, size: int, *, comment: bool = False) -> Archive:
    """The archive of `size` bytes from `start` in `file`, which reads `snapshot`. It may end in a comment only with
    `comment`: no signed package has one.

    Raises ArtifactError (ERROR_BAD_FORMAT) when it contradicts itself.
    """
    try:
        text = _read_comment(file, start, size) if comment else b""
        directory, count, end, tail = _read_end(file, start, size - len(text), text)
        entries = _read_directory(_read(file, start + directory, size - directory - tail), count)
        placed = _read_headers(file, start, sorted(entries, key=lambda entry: entry.offset), directory)
    except (ValueError, UnicodeDecodeError) as broken:
        raise damaged(str(broken)) from broken
    return Archive(snapshot, start, size, placed, directory, end)


def damaged(what: str) -> ArtifactError:
    """The error for an archive that contradicts itself."""
    return ArtifactError(Hresult.ERROR_BAD_FORMAT, f"the ZIP archive is damaged: {what}")


@lru_cache(maxsize=1)
def entry_names(glimpse: Glimpse) -> frozenset[str] | None:
    """The names in the archive that the file is; empty when it is none, None when its directory can't be read.

    Used for detection: several formats ask for the same file one after the other.
    """
    if glimpse.head[:4] != LOCAL_MAGIC:
        return frozenset()
    try:
        with glimpse.snapshot.open() as file:
            size = glimpse.snapshot.size
            directory, count, _, tail = _read_end(file, 0, size)
            return frozenset(
                entry.name for entry in _read_directory(_read(file, directory, size - directory - tail), count)
            )
    except (ArtifactError, OSError, ValueError):
        return None


def _read_comment(file: BinaryIO, start: int, size: int) -> bytes:
    """The comment that the archive ends in; raises ValueError when readers could take two places for its beginning."""
    reach = min(size, END.size + U16)
    tail = _read(file, start + size - reach, reach)
    places: list[int] = []
    at = tail.find(END_MAGIC)
    while 0 <= at <= reach - END.size:
        if at + END.size + END.unpack_from(tail, at)[7] == reach:
            places.append(at + END.size)
        at = tail.find(END_MAGIC, at + 1)
    comment = tail[places[0] :] if places else b""
    if len(places) > 1 or END_MAGIC in comment:  # many readers take the last mark, whether or not it fits
        raise ValueError("it has two end-of-directory records: readers could take it for either of two archives")
    return comment


def _read_end(file: BinaryIO, start: int, size: int, comment: bytes = b"") -> tuple[int, int, End, int]:
    """Offset of the central directory, count of its entries, how the archive ends, and the bytes of that end. The
    archive has `size` bytes before its `comment`."""
    if size < END.size:
        raise ValueError("it is cut off")
    magic, disk, first_disk, here, count, length, offset, comment_size = END.unpack(
        _read(file, start + size - END.size, END.size)
    )
    if magic != END_MAGIC or comment_size != len(comment):
        raise ValueError("it does not end in an end-of-directory record: it is cut off, or bytes follow it")
    masked = (here == U16, count == U16, length == U32, offset == U32)
    tail = END.size
    locator = _read(file, start + size - tail - LOCATOR.size, LOCATOR.size) if size >= tail + LOCATOR.size else b""
    if locator[:4] != LOCATOR_MAGIC:
        if any(masked) or disk or first_disk or here != count:
            raise ValueError(
                "its end-of-directory record refers to other disks, or to a Zip64 record that does not exist"
            )
        if offset + length + tail != size:
            raise ValueError("its directory does not end where its end-of-directory record begins")
        return offset, count, End(comment=comment), tail + len(comment)
    _, at_disk, at, disks = LOCATOR.unpack(locator)
    tail += LOCATOR.size + END64.size
    if tail > size or (at_disk, at, disks) != (0, size - tail, 1):
        raise ValueError("its Zip64 locator does not point to the record before it")
    fields = END64.unpack(_read(file, start + at, END64.size))
    if fields[:2] != (END64_MAGIC, END64.size - 12) or fields[4:6] != (0, 0):
        raise ValueError("its Zip64 end-of-directory record is malformed")
    wide = fields[6:]
    narrow = zip((here, count, length, offset), wide, masked, strict=True)
    if any(value != true and not hidden for value, true, hidden in narrow) or {disk, first_disk} - {0, U16}:
        raise ValueError("its two end-of-directory records contradict each other")
    if wide[0] != wide[1] or wide[2] + wide[3] != at:
        raise ValueError("its directory does not end where its end-of-directory record begins")
    return wide[3], wide[1], End(fields[2:4], masked, bool(disk or first_disk), comment), tail + len(comment)


def _read_directory(directory: bytes, count: int) -> list[ZipEntry]:
    if count > MAX_ENTRIES or len(directory) > MAX_DIRECTORY:
        raise ValueError(
            f"it declares {count} entries in a directory of {len(directory)} bytes, more than are read here "
            f"({MAX_ENTRIES}, {MAX_DIRECTORY})"
        )
    entries: list[ZipEntry] = []
    at = 0
    while at < len(directory):
        if at + CENTRAL.size > len(directory) or directory[at : at + 4] != CENTRAL_MAGIC:
            raise ValueError("its central directory holds something other than records")
        sizes = CENTRAL.unpack_from(directory, at)[10:13]
        end = at + CENTRAL.size + sum(sizes)
        if end > len(directory):
            raise ValueError("a record of its central directory is cut off")
        entries.append(records.read_record(directory[at:end], len(entries)))
        at = end
    del directory  # the names are looked at next: not both in memory
    if not entries or len(entries) != count:
        raise ValueError(f"its central directory has {len(entries)} records, but declares {count}")
    if len({entry.name for entry in entries}) != len(entries):
        raise ValueError("a name occurs twice in it")
    return entries


def _read_headers(file: BinaryIO, start: int, entries: list[ZipEntry], directory: int) -> tuple[ZipEntry, ...]:
    """The entries, in the order of their data, with where that is: each begins where the one before it ends."""
    placed: list[ZipEntry] = []
    expected = 0
    ends = [*(entry.offset for entry in entries[1:]), directory]
    for entry, end in zip(entries, ends, strict=True):
        if entry.offset != expected:
            raise ValueError(f"{entry.name} does not begin where the preceding record ends")
        header = _read(file, start + entry.offset, LOCAL.size)
        if rest := sum(LOCAL.unpack(header)[9:]):
            header += _read(file, start + entry.offset + LOCAL.size, rest)
        data = entry.offset + LOCAL.size + rest
        descriptor = end - data - entry.packed
        if header[:4] != LOCAL_MAGIC or descriptor < 0:
            raise ValueError(f"{entry.name} has no room for its data, or no local header")
        placed.append(_placed(entry, header, end))
        if descriptor or entry.flags & DESCRIPTOR:
            _check_descriptor(entry, _read(file, start + end - descriptor, min(descriptor, 25)))
        if entry.size > entry.packed * _MAX_RATIO + _MAX_RATIO or (
            entry.method == STORED and entry.size != entry.packed
        ):
            raise ValueError(f"{entry.name} can't unpack to its declared size")
        expected = end
    if (total := sum(entry.size for entry in placed)) > max(_BOMB_SIZE, _BOMB_RATIO * directory):
        raise ValueError(f"it unpacks to {total} bytes: a decompression bomb")
    return tuple(placed)


def _placed(entry: ZipEntry, header: bytes, end: int) -> ZipEntry:
    """The entry with its place; raises ValueError when its local header contradicts the directory. With a descriptor
    that may leave numbers zero."""
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = LOCAL.unpack_from(header)
    extra = LOCAL.size + name_size
    at, limit = records.zip64_extra(header, extra, extra_size) if extra_size else (0, 0)
    numbers = header[at:limit]
    wide = [int.from_bytes(numbers[index : index + 8], "little") for index in range(0, len(numbers), 8)]
    masked = len(wide)
    size = wide.pop(0) if size == U32 and wide else size
    packed = wide.pop(0) if packed == U32 and wide else packed
    masked -= len(wide)
    deferred = flags & DESCRIPTOR and (crc, packed, size) in {(0, 0, 0), (0, U32, U32), (0, 0, entry.size)}
    if (flags, method, header[LOCAL.size : extra]) != (entry.flags, entry.method, entry.raw_name) or not (
        deferred or (crc, packed, size) == (entry.crc, entry.packed, entry.size)
    ):
        raise ValueError(f"the two headers of {entry.name} contradict each other")
    if extra_size and records.unicode_path(header, extra, extra_size) not in {b"", entry.unicode_path}:
        raise ValueError(f"the two headers of {entry.name} contradict each other in its Unicode name")
    stated = records.zip64_stated(numbers, 8 * masked, (entry.size, entry.packed)) if numbers else 0
    return entry._replace(
        spare=entry.spare + extra_size - stated,
        wide=entry.wide or bool(numbers),
        data=entry.offset + len(header),
        end=end,
    )


def _check_descriptor(entry: ZipEntry, descriptor: bytes) -> None:
    """Raise ValueError when what follows an entry's data is not the data descriptor it should have (4.3.9)."""
    if not entry.flags & DESCRIPTOR:
        if descriptor:
            raise ValueError(f"bytes that belong to no entry follow {entry.name}")
        return
    if len(descriptor) not in _DESCRIPTOR_SIZES:
        raise ValueError(f"{entry.name} is not followed by a data descriptor")
    numbers = descriptor[4:] if len(descriptor) % 8 == 0 else descriptor
    width = (len(numbers) - 4) // 2
    declared = (numbers[:4], numbers[4 : 4 + width], numbers[4 + width :])
    values = ((entry.crc, 4), (entry.packed, width), (entry.size, width))
    if width not in {4, 8} or entry.packed >> 8 * width or entry.size >> 8 * width:
        raise ValueError(f"{entry.name} is not followed by a data descriptor")
    wanted = tuple(value.to_bytes(size, "little") for value, size in values)
    if declared != wanted or (numbers is not descriptor and descriptor[:4] != DESCRIPTOR_MAGIC):
        raise ValueError(f"the data descriptor of {entry.name} contradicts the directory")


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    """`size` bytes at `at`; raises ValueError when they are not there. Asks for no more memory than there is file."""
    if at < 0 or size < 0:
        raise ValueError("its directory lies outside the file")
    file.seek(at)
    data = file.read(size)
    if len(data) != size:
        raise ValueError("it is cut off")
    return data
