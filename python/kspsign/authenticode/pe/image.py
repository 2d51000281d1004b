"""A PE image as a signable file: its digest (Windows Authenticode PE Signature Format, "Calculating the PE Image
Hash"), its checksum, and how a signature is embedded. Streams: memory does not grow with the file."""

from __future__ import annotations

import hashlib
import shutil
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from kspsign.authenticode.asn1 import OID_SPC_PE_IMAGE_DATA
from kspsign.authenticode.file_signature import FileSignature
from kspsign.authenticode.pe.layout import MAX_FILE_SIZE, PeLayout, read_layout
from kspsign.authenticode.pe.table import CertificateTable, build_table, parse_table, table_finding
from kspsign.authenticode.profile import AUTHENTICODE, SignatureProfile, SigningTerms
from kspsign.authenticode.signable import Digest, Glimpse
from kspsign.authenticode.spc import indirect_data
from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm, Finding

# SpcPeImageData without page hashes: no flags, an empty file link; the octets SignTool writes.
_IMAGE_DATA = bytes.fromhex("3009030100a004a2028000")
_KINDS = frozenset({OID_SPC_PE_IMAGE_DATA})
CHUNK = 1 << 20
MAX_TABLE_SIZE = 32 << 20
_ROW = 1 << 16  # even; adding numbers of this size is several times faster than dividing one of the chunk's size


def is_pe(glimpse: Glimpse) -> bool:
    """Whether the content is a PE image, whole or truncated."""
    head, size = glimpse.head, glimpse.size
    if head[:2] != b"MZ":
        return False
    if len(head) < 0x40:
        return size < 0x40
    pe = struct.unpack_from("<I", head, 0x3C)[0]
    return pe + 4 > size or pe + 4 > len(head) or head[pe : pe + 4] == b"PE\0\0"


@dataclass(frozen=True, slots=True)
class PeFile:
    """A PE image whose headers were read and checked; see SignableFile."""

    path: Path
    layout: PeLayout
    table: CertificateTable = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> PeFile:
        """Read headers and certificate table of `path`; raises ArtifactError when they contradict the file."""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            layout = read_layout(file, size)
            return cls(path, layout, _read_table(file, layout))

    @property
    def profile(self) -> SignatureProfile:
        """Authenticode."""
        return AUTHENTICODE

    @property
    def content_kinds(self) -> frozenset[str]:
        """SPC_PE_IMAGE_DATA."""
        return _KINDS

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The PKCS#7 signatures of the certificate table."""
        return self.table.signatures

    def admit(self, _terms: SigningTerms) -> None:
        """Raise ArtifactError when data follows the present certificate table: it would be lost or signed unseen."""
        layout = self.layout
        if layout.signed and layout.table_offset + layout.table_size != layout.size:
            raise ArtifactError(
                Hresult.TRUST_E_MALFORMED_SIGNATURE,
                "data follows the certificate table; signing would drop it",
                remedy="Sign the original build output, or remove what was appended after signing.",
            )

    def digest(self, algorithms: Collection[DigestAlgorithm], _pages: Collection[DigestAlgorithm] = ()) -> Digest:
        """Hash the image without its checksum, certificate directory entry and certificate table; see module."""
        layout = self.layout
        hashers = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
        whole = hashlib.sha256()
        words = 0
        position = 0
        with self.path.open("rb", buffering=0) as file:
            buffer = memoryview(bytearray(min(CHUNK, max(layout.size, 1))))
            while count := file.readinto(buffer):
                chunk = buffer[:count]
                whole.update(chunk)
                for start, stop, hashed, summed in _parts(layout):
                    piece = chunk[max(start - position, 0) : max(stop - position, 0)]
                    if not piece:
                        continue
                    if hashed:
                        for hasher in hashers.values():
                            hasher.update(piece)
                    if summed:
                        words += word_sum(piece, odd=bool(max(start, position) & 1))
                position += count
        if position != layout.size:
            raise ArtifactError(Hresult.ERROR_SHARING_VIOLATION, "the file changed while it was read")
        for hasher in hashers.values():
            hasher.update(bytes(layout.padding))
        values = {algorithm: hasher.digest() for algorithm, hasher in hashers.items()}
        return Digest(values, whole.hexdigest(), words % 0xFFFF)

    def structure(self, digest: Digest, _signatures: Sequence[FileSignature]) -> tuple[Finding, ...]:
        """The checks "certificate-table", "trailing-data" and "checksum"."""
        trailing = self.layout.size - self.layout.table_offset - self.layout.table_size if self.layout.signed else 0
        return (
            table_finding(self.table),
            Finding(
                "trailing-data",
                f"{trailing} bytes follow the certificate table"
                if trailing
                else "nothing follows the certificate table",
                Hresult.TRUST_E_MALFORMED_SIGNATURE if trailing else None,
            ),
            self._checksum_finding(digest),
        )

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """SpcIndirectDataContent with SpcPeImageData."""
        return indirect_data(OID_SPC_PE_IMAGE_DATA, _IMAGE_DATA, terms.algorithm, digest.values[terms.algorithm])

    def embed(self, digest: Digest, signatures: Sequence[bytes], target: Path) -> None:
        """Write the image with `signatures` as its table entries, checksum set, to `target`.

        Raises ArtifactError when the result would reach 4 GiB, which 32-bit offsets can't address.
        """
        layout = self.layout
        table = build_table(signatures)
        offset = layout.content_end + layout.padding
        if offset + len(table) > MAX_FILE_SIZE:
            raise ArtifactError(
                Hresult.ERROR_BAD_FORMAT,
                "a PE image of 4 GiB can't be signed",
                remedy="Ship the payload beside it.",
            )
        directory = struct.pack("<II", offset, len(table))
        checksum = self._checksum_with(digest, directory, table, offset)
        shutil.copyfile(self.path, target)
        with target.open("r+b") as file:
            file.truncate(layout.content_end)
            file.seek(layout.checksum_offset)
            file.write(struct.pack("<I", checksum))
            file.seek(layout.directory_offset)
            file.write(directory)
            file.seek(offset - layout.padding)
            file.write(bytes(layout.padding) + table)

    def _checksum_with(self, digest: Digest, directory: bytes, table: bytes, offset: int) -> int:
        """The checksum after embedding, from the sum already taken: what changes is added and taken off."""
        old = b""
        if self.layout.signed:
            with self.path.open("rb") as file:
                file.seek(self.layout.table_offset)
                old = file.read(self.layout.table_size)
        with self.path.open("rb") as file:
            file.seek(self.layout.directory_offset)
            old_directory = file.read(8)
        odd = bool(self.layout.directory_offset & 1)
        words = digest.word_sum + word_sum(table) - word_sum(old)
        words += word_sum(directory, odd=odd) - word_sum(old_directory, odd=odd)
        return _checksum(words, offset + len(table))

    def _checksum_finding(self, digest: Digest) -> Finding:
        stored, computed = self.layout.checksum, _checksum(digest.word_sum, self.layout.size)
        if not stored:
            return Finding("checksum", "not set")
        if stored == computed:
            return Finding("checksum", f"0x{stored:08X}")
        return Finding(
            "checksum",
            f"the header says 0x{stored:08X}, the content gives 0x{computed:08X}",
            Hresult.TRUST_E_BAD_DIGEST,
        )


def word_sum(data: bytes | memoryview, *, odd: bool = False) -> int:
    """Sum of the 16-bit little-endian words of `data` modulo 65535; `odd` when it starts at an odd offset.

    2**16 is 1 modulo 65535, so rows of the buffer, each read as one number, leave the same remainder as their words.
    """
    rows = range(0, len(data), _ROW)
    total = sum(int.from_bytes(data[start : start + _ROW], "little") for start in rows) % 0xFFFF
    return total * 256 % 0xFFFF if odd else total


def _checksum(words: int, size: int) -> int:
    """The CheckSum field (IMAGHELP's algorithm): folded word sum plus file size, modulo 2**32."""
    # The folded one's-complement sum of a file that is not all zero is never 0; its remainder then stands for 0xFFFF.
    return ((words % 0xFFFF or 0xFFFF) + size) & 0xFFFFFFFF


def _parts(layout: PeLayout) -> tuple[tuple[int, int, bool, bool], ...]:
    """(start, stop, hashed?, in the checksum?) for each stretch of the file, in order."""
    checksum, directory, end = layout.checksum_offset, layout.directory_offset, layout.content_end
    return (
        (0, checksum, True, True),
        (checksum, checksum + 4, False, False),
        (checksum + 4, directory, True, True),
        (directory, directory + 8, False, True),
        (directory + 8, end, True, True),
        (end, layout.size, False, True),
    )


def _read_table(file: BinaryIO, layout: PeLayout) -> CertificateTable:
    if not layout.signed:
        return CertificateTable((), None)
    if layout.table_size > MAX_TABLE_SIZE:
        return CertificateTable((), f"a certificate table of {layout.table_size} bytes is no signature")
    file.seek(layout.table_offset)
    return parse_table(file.read(layout.table_size))
