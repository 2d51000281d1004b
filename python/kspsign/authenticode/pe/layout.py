"""Where a PE image keeps its checksum and its certificate table (PE Format, "Optional Header" and
"The Attribute Certificate Table"). Reads headers only; believes no offset it has not checked."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

DOS_HEADER = 64
FILE_HEADER = 24
SECTION_HEADER = 40
CERTIFICATE_DIRECTORY = 4
MAX_FILE_SIZE = 0xFFFFFFFF
ALIGNMENT = 8
PAGE, BIG_PAGE, MACHINE_IA64 = 4096, 8192, 0x0200


class PeLayout(NamedTuple):
    """File offsets and sizes in bytes. `content_end` is where the hashed content ends: the certificate table's
    offset when signed, else the end of the file.

    `sections` are offset and size of each section's raw data, in the section table's order, `names` what the table
    calls them (8 bytes, NUL-padded), `bare_names` those of sections without raw data; `headers_end` is where the
    section table ends. `page` is the machine's page, whatever the image aligns its sections to. `stale` says that the
    certificate table entry points to no table: its two numbers are kept, but the image counts as unsigned.
    """

    size: int
    checksum_offset: int
    checksum: int
    directory_offset: int
    table_offset: int
    table_size: int
    headers_size: int
    page: int
    subsystem: int
    sections: tuple[tuple[int, int], ...]
    names: tuple[bytes, ...] = ()
    bare_names: tuple[bytes, ...] = ()
    headers_end: int = 0
    stale: bool = False

    @property
    def signed(self) -> bool:
        """Whether a certificate table is declared."""
        return self.table_size > 0 and not self.stale

    @property
    def content_end(self) -> int:
        """End of the hashed content."""
        return self.table_offset if self.signed else self.size

    @property
    def image_end(self) -> int:
        """End of the headers and of every section's raw data; what follows is not part of the image in memory."""
        return max(self.headers_end, *(offset + length for offset, length in self.sections), 0)

    @property
    def padding(self) -> int:
        """Zero bytes that bring unsigned content to a multiple of eight; they are hashed and written."""
        return -self.content_end % ALIGNMENT

    @property
    def signed_end(self) -> int:
        """End of the content once it is signed."""
        return self.content_end + self.padding


def read_layout(file: BinaryIO, size: int, *, clear_stale: bool = False) -> PeLayout:
    """The layout of the PE image in `file` (`size` bytes long).

    Raises ArtifactError (ERROR_BAD_FORMAT) when a header, a section or the certificate table lies outside the
    file or when the image has no room for a certificate table entry. With `clear_stale` an entry that can't be a
    certificate table's makes the layout `stale` instead.
    """
    pe = struct.unpack_from("<I", _read(file, 0, DOS_HEADER, "DOS header"), 0x3C)[0]
    header = _read(file, pe, FILE_HEADER, "PE header")
    if header[:4] != b"PE\0\0":
        raise _damaged(f"no PE signature at offset {pe}")
    sections, optional_size = struct.unpack_from("<H", header, 6)[0], struct.unpack_from("<H", header, 20)[0]
    optional = _read(file, pe + FILE_HEADER, optional_size, "optional header")
    directories = _directories_offset(optional)
    directory_offset = pe + FILE_HEADER + directories + CERTIFICATE_DIRECTORY * 8
    table_offset, table_size = struct.unpack_from("<II", optional, directories + CERTIFICATE_DIRECTORY * 8)
    headers_end = pe + FILE_HEADER + optional_size + sections * SECTION_HEADER
    found = _read_sections(file, pe + FILE_HEADER + optional_size, sections, size)
    raw = tuple(section for section in found if section[2])
    layout = PeLayout(
        size=size,
        checksum_offset=pe + FILE_HEADER + 64,
        checksum=struct.unpack_from("<I", optional, 64)[0],
        directory_offset=directory_offset,
        table_offset=table_offset,
        table_size=table_size,
        headers_size=struct.unpack_from("<I", optional, 60)[0],
        page=BIG_PAGE if struct.unpack_from("<H", header, 4)[0] == MACHINE_IA64 else PAGE,
        subsystem=struct.unpack_from("<H", optional, 68)[0],
        sections=tuple((offset, length) for _, offset, length in raw),
        names=tuple(name for name, _, _ in raw),
        bare_names=tuple(name for name, _, length in found if not length),
        headers_end=headers_end,
    )
    fault = _entry_fault(table_offset, table_size, layout.image_end, size)
    if fault is not None and not clear_stale:
        raise stale_entry(fault)
    return layout._replace(stale=fault is not None)


def _directories_offset(optional: bytes) -> int:
    magic = struct.unpack_from("<H", optional)[0] if len(optional) >= 2 else 0
    if magic not in {0x10B, 0x20B}:
        raise _damaged(f"the optional header's magic is 0x{magic:04X}, neither PE32 nor PE32+")
    directories = 96 if magic == 0x10B else 112
    if len(optional) < directories:
        raise _damaged("the optional header is cut off")
    count = struct.unpack_from("<I", optional, directories - 4)[0]
    if count <= CERTIFICATE_DIRECTORY or len(optional) < directories + (CERTIFICATE_DIRECTORY + 1) * 8:
        raise _damaged(
            f"the header has {count} data directories, so none for the certificate table: such an image can't be signed"
        )
    return directories


def stale_entry(fault: str) -> ArtifactError:
    """The error for a certificate table entry that no certificate table belongs to."""
    return ArtifactError(
        Hresult.ERROR_BAD_FORMAT,
        f"its certificate table entry is stale: {fault}. The program was signed, and a tool changed it afterwards "
        "(rcedit, strip, objcopy, PyInstaller, postject)",
        remedy="Change the unsigned program and sign the result (`signtool remove /s` before the tool runs), or sign "
        "with --replace, which clears the entry.",
    )


def _read_sections(file: BinaryIO, offset: int, count: int, size: int) -> tuple[tuple[bytes, int, int], ...]:
    """Name, offset and size of every section's raw data, 0 and 0 without any; raises when one ends past the file."""
    table = _read(file, offset, count * SECTION_HEADER, "section table")
    found: list[tuple[bytes, int, int]] = []
    for index in range(count):
        name, raw_size, raw_offset = struct.unpack_from("<8s8xII", table, index * SECTION_HEADER)
        if not raw_size or not raw_offset:
            found.append((name, 0, 0))
            continue
        if raw_offset + raw_size > size:
            shown = name.rstrip(b"\0").decode("ascii", "replace")
            end = raw_offset + raw_size
            raise _damaged(f"section {shown} ends at {end}, the file at {size}: the file is truncated")
        found.append((name, raw_offset, raw_size))
    return tuple(found)


def _entry_fault(offset: int, length: int, image_end: int, size: int) -> str | None:
    """Why no certificate table can lie where the entry says, None when one can or when there is no entry."""
    if not offset and not length:
        return None
    if not offset or not length:
        return f"it contradicts itself (offset {offset}, size {length})"
    if offset + length > size:
        return f"the table is said to lie at {offset} to {offset + length}, outside the file ({size})"
    if offset < image_end or offset % ALIGNMENT:
        return f"the table at {offset} overlaps the image or is not aligned to {ALIGNMENT} bytes"
    return None


def _read(file: BinaryIO, offset: int, length: int, what: str) -> bytes:
    file.seek(offset)
    data = file.read(length)
    if len(data) < length:
        raise _damaged(f"the {what} is cut off: the file is truncated")
    return data


def _damaged(message: str) -> ArtifactError:
    return ArtifactError(Hresult.ERROR_BAD_FORMAT, message)
