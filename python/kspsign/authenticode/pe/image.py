"""A PE image as a signable file: its digest (Windows Authenticode PE Signature Format, "Calculating the PE Image
Hash"), its checksum, and how a signature is embedded. Streams: memory does not grow with the file."""

from __future__ import annotations

import hashlib
import shutil
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from kspsign.authenticode.file_signature import FileSignature
from kspsign.authenticode.oids import OID_SPC_PE_IMAGE_DATA
from kspsign.authenticode.page_hashes import PLAIN_IMAGE_DATA, paged_image_data
from kspsign.authenticode.pe.admission import admit, too_large
from kspsign.authenticode.pe.findings import checksum_finding, pages_finding, trailing_finding
from kspsign.authenticode.pe.layout import MAX_FILE_SIZE, PeLayout, read_layout
from kspsign.authenticode.pe.pages import PageHasher, page_algorithm, pages_fault
from kspsign.authenticode.pe.table import MAX_TABLE_SIZE, CertificateTable, build_table, parse_table, table_finding
from kspsign.authenticode.profile import AUTHENTICODE, SignatureProfile, SigningTerms
from kspsign.authenticode.reading import CHUNK, pieces
from kspsign.authenticode.signable import Digest, Glimpse
from kspsign.authenticode.spc import indirect_data
from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm, Finding

_KINDS = frozenset({OID_SPC_PE_IMAGE_DATA})
_EFI = range(10, 14)  # application, boot service driver, runtime driver, ROM
_EFI_PROFILE = replace(AUTHENTICODE, nests=False)  # firmware knows table entries, and no nested signatures
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
        """Authenticode; a further signature of an EFI image is a table entry of its own."""
        return _EFI_PROFILE if self.layout.subsystem in _EFI else AUTHENTICODE

    @property
    def content_kinds(self) -> frozenset[str]:
        """SPC_PE_IMAGE_DATA."""
        return _KINDS

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The PKCS#7 signatures of the certificate table."""
        return self.table.signatures

    def admit(self, terms: SigningTerms) -> None:
        """Raise ArtifactError when the signature would not fit, and when signing would lose or hide data."""
        admit(self.layout, self.signatures, terms)

    def digest(self, algorithms: Collection[DigestAlgorithm], pages: Collection[DigestAlgorithm] = ()) -> Digest:
        """Hash the image without its checksum, certificate directory entry and certificate table; see module.

        An image that can't have page hashes gives none.
        """
        layout = self.layout
        hashers = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
        asked = {each: page_algorithm(each) for each in pages} if pages_fault(layout) is None else {}
        paged = PageHasher(layout, set(asked.values())) if asked else None
        sha256, words = self._read(tuple(hashers.values()), paged)
        for hasher in hashers.values():
            hasher.update(bytes(layout.padding))
        values = {algorithm: hasher.digest() for algorithm, hasher in hashers.items()}
        blobs = paged.blobs() if paged is not None else {}
        return Digest(values, sha256, words, {each: blobs[algorithm] for each, algorithm in asked.items()})

    def _read(self, hashers: Sequence[hashlib._Hash], paged: PageHasher | None) -> tuple[str, int]:
        """Feed the hashers in one pass; the sha256 of the whole file and its word sum."""
        layout, whole, words, end = self.layout, hashlib.sha256(), [0, 0], 0

        def beside(position: int, chunk: memoryview) -> None:
            whole.update(chunk)
            if _is_even(position):
                words[0] += _summed(layout, position, chunk)

        with self.path.open("rb", buffering=0) as file:
            for position, chunk in pieces(file, layout.size, beside):
                if paged is not None:
                    paged.feed(chunk, position)
                for start, stop in _hashed(layout):
                    if piece := chunk[max(start - position, 0) : max(stop - position, 0)]:
                        for hasher in hashers:
                            hasher.update(piece)
                if not _is_even(position):
                    words[1] += _summed(layout, position, chunk)
                end = position + len(chunk)
        if end != layout.size:
            raise ArtifactError(Hresult.ERROR_SHARING_VIOLATION, "the file changed while it was read")
        return whole.hexdigest(), sum(words) % 0xFFFF

    def structure(self, digest: Digest, signatures: Sequence[FileSignature]) -> tuple[Finding, ...]:
        """The checks "certificate-table", "trailing-data", "checksum", and "page-hashes" where there are some."""
        layout = self.layout
        return (
            table_finding(self.table),
            trailing_finding(layout),
            checksum_finding(layout, image_checksum(digest.word_sum, layout.size)),
            *pages_finding(layout, digest, signatures),
        )

    def content(self, terms: SigningTerms, digest: Digest) -> bytes:
        """SpcIndirectDataContent with SpcPeImageData, which has the page hashes when they are asked for."""
        data = paged_image_data(digest.pages[terms.algorithm]) if terms.page_hashes else PLAIN_IMAGE_DATA
        return indirect_data(OID_SPC_PE_IMAGE_DATA, data, terms.algorithm, digest.values[terms.algorithm])

    def embed(self, digest: Digest, signatures: Sequence[bytes], target: Path) -> None:
        """Write the image with `signatures` as its table entries, checksum set, to `target`.

        Raises ArtifactError when the result would reach 4 GiB, which 32-bit offsets can't address.
        """
        layout = self.layout
        table = build_table(signatures)
        offset = layout.content_end + layout.padding
        if offset + len(table) > MAX_FILE_SIZE:
            raise too_large()
        directory = struct.pack("<II", offset, len(table))
        checksum = self._checksum_with(digest, directory, table, offset)
        shutil.copyfile(self.path, target)
        with target.open("r+b") as file:
            if layout.signed:
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
        return image_checksum(words, offset + len(table))


def word_sum(data: bytes | memoryview, *, odd: bool = False) -> int:
    """Sum of the 16-bit little-endian words of `data` modulo 65535; `odd` when it starts at an odd offset.

    2**16 is 1 modulo 65535, so rows of the buffer, each read as one number, leave the same remainder as their words.
    """
    rows = range(0, len(data), _ROW)
    total = sum(int.from_bytes(data[start : start + _ROW], "little") for start in rows) % 0xFFFF
    return total * 256 % 0xFFFF if odd else total


def image_checksum(words: int, size: int) -> int:
    """The CheckSum field (IMAGHELP's algorithm): folded word sum plus file size, modulo 2**32."""
    # The folded one's-complement sum of a file that is not all zero is never 0; its remainder then stands for 0xFFFF.
    return ((words % 0xFFFF or 0xFFFF) + size) & 0xFFFFFFFF


def _is_even(position: int) -> bool:
    """Whether the sum of the piece at `position` is the other thread's; both have as many."""
    return not position & CHUNK


def _summed(layout: PeLayout, position: int, chunk: memoryview) -> int:
    """The words of `chunk` in the checksum: all but the checksum itself."""
    total = 0
    for start, stop in ((0, layout.checksum_offset), (layout.checksum_offset + 4, layout.size)):
        if piece := chunk[max(start - position, 0) : max(stop - position, 0)]:
            total += word_sum(piece, odd=bool(max(start, position) & 1))
    return total


def _hashed(layout: PeLayout) -> tuple[tuple[int, int], ...]:
    """Start and stop of each stretch that the image's digest covers, in order."""
    checksum, directory = layout.checksum_offset, layout.directory_offset
    return (0, checksum), (checksum + 4, directory), (directory + 8, layout.content_end)


def _read_table(file: BinaryIO, layout: PeLayout) -> CertificateTable:
    if not layout.signed:
        return CertificateTable((), None)
    if layout.table_size > MAX_TABLE_SIZE:
        return CertificateTable((), f"a certificate table of {layout.table_size} bytes is no signature")
    file.seek(layout.table_offset)
    return parse_table(file.read(layout.table_size))
