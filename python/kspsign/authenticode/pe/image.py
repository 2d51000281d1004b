"""A PE image as a signable file: its digest (Windows Authenticode PE Signature Format, "Calculating the PE Image
Hash"), its checksum, and how a signature is embedded. Streams: memory does not grow with the file."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from kspsign.authenticode.file_signature import FileSignature
from kspsign.authenticode.oids import OID_SPC_PE_IMAGE_DATA
from kspsign.authenticode.page_hashes import PLAIN_IMAGE_DATA, paged_image_data
from kspsign.authenticode.pe.admission import admit, too_large
from kspsign.authenticode.pe.checksum import WordSum, image_checksum, word_sum
from kspsign.authenticode.pe.findings import checksum_finding, pages_finding, trailing_finding
from kspsign.authenticode.pe.layout import MAX_FILE_SIZE, PeLayout, read_layout
from kspsign.authenticode.pe.pages import PageHasher, page_algorithm, pages_fault
from kspsign.authenticode.pe.table import MAX_TABLE_SIZE, CertificateTable, build_table, parse_table, table_finding
from kspsign.authenticode.profile import AUTHENTICODE, SignatureProfile, SigningTerms
from kspsign.authenticode.reading import file_changed, pieces, stretch
from kspsign.authenticode.signable import Digest, Glimpse
from kspsign.authenticode.spc import indirect_data
from kspsign.model import DigestAlgorithm, Finding

_KINDS = frozenset({OID_SPC_PE_IMAGE_DATA})
_EFI = range(10, 14)  # application, boot service driver, runtime driver, ROM
_EFI_PROFILE = replace(AUTHENTICODE, nests=False)  # firmware knows table entries, and no nested signatures


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
        return self._digest(algorithms, pages, None)

    def digest_copying(
        self, algorithms: Collection[DigestAlgorithm], pages: Collection[DigestAlgorithm], copy: BinaryIO
    ) -> Digest:
        """`digest`; `copy` gets the file's bytes in the same pass."""
        return replace(self._digest(algorithms, pages, copy), copied=True)

    def _digest(
        self, algorithms: Collection[DigestAlgorithm], pages: Collection[DigestAlgorithm], copy: BinaryIO | None
    ) -> Digest:
        layout = self.layout
        hashers = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
        asked = {each: page_algorithm(each) for each in pages} if pages_fault(layout) is None else {}
        paged = PageHasher(layout, set(asked.values())) if asked else None
        sha256, words = self._read(tuple(hashers.values()), paged, copy)
        for hasher in hashers.values():
            hasher.update(bytes(layout.padding))
        values = {algorithm: hasher.digest() for algorithm, hasher in hashers.items()}
        blobs = paged.blobs() if paged is not None else {}
        return Digest(values, sha256, words, {each: blobs[algorithm] for each, algorithm in asked.items()})

    def _read(
        self, hashers: Sequence[hashlib._Hash], paged: PageHasher | None, copy: BinaryIO | None
    ) -> tuple[str, int]:
        """Feed the hashers and the copy in one pass; the sha256 of the whole file and its word sum."""
        layout, whole, words, end = self.layout, hashlib.sha256(), WordSum(), 0

        def beside(_position: int, chunk: memoryview) -> None:
            whole.update(chunk)
            if copy is not None:
                copy.write(chunk)
            else:
                words.update(chunk)

        with self.path.open("rb", buffering=0) as file:
            for position, chunk in pieces(file, layout.size, beside):
                if copy is not None:
                    words.update(chunk)  # so that both threads have as much to do
                if paged is not None:
                    paged.feed(chunk, position)
                for start, stop in _hashed(layout):
                    if piece := chunk[max(start - position, 0) : max(stop - position, 0)]:
                        for hasher in hashers:
                            hasher.update(piece)
                end = position + len(chunk)
        if end != layout.size:
            raise file_changed()
        checksum, odd = struct.pack("<I", layout.checksum), bool(layout.checksum_offset & 1)
        return whole.hexdigest(), (words.value() - word_sum(checksum, odd=odd)) % 0xFFFF

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

    def embed(self, digest: Digest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the image with `signatures` as its table entries, checksum set, to `target`.

        Raises ArtifactError when the result would reach 4 GiB, which 32-bit offsets can't address.
        """
        layout = self.layout
        table = build_table(signatures)
        offset = layout.content_end + layout.padding
        if offset + len(table) > MAX_FILE_SIZE:
            raise too_large()
        directory = struct.pack("<II", offset, len(table))
        with self.path.open("rb", buffering=0) as source:
            old_table = _stored_table(source, layout)
            source.seek(0)
            head = bytearray(source.read(layout.directory_offset + len(directory)))
            odd = bool(layout.directory_offset & 1)
            words = digest.word_sum + word_sum(table) - word_sum(old_table)
            words += word_sum(directory, odd=odd) - word_sum(bytes(head[layout.directory_offset :]), odd=odd)
            struct.pack_into("<I", head, layout.checksum_offset, image_checksum(words, offset + len(table)))
            head[layout.directory_offset :] = directory
            target.write(head)
            if digest.copied:
                target.seek(layout.content_end)
            else:
                target.writelines(stretch(source, layout.content_end - len(head)))
        target.write(bytes(layout.padding) + table)
        target.truncate()


def _hashed(layout: PeLayout) -> tuple[tuple[int, int], ...]:
    """Start and stop of each stretch that the image's digest covers, in order."""
    checksum, directory = layout.checksum_offset, layout.directory_offset
    return (0, checksum), (checksum + 4, directory), (directory + 8, layout.content_end)


def _read_table(file: BinaryIO, layout: PeLayout) -> CertificateTable:
    if not layout.signed:
        return CertificateTable((), None)
    if layout.table_size > MAX_TABLE_SIZE:
        return CertificateTable((), f"a certificate table of {layout.table_size} bytes is no signature")
    return parse_table(_stored_table(file, layout))


def _stored_table(file: BinaryIO, layout: PeLayout) -> bytes:
    """The certificate table as it stands in the file, empty when there is none."""
    file.seek(layout.table_offset)
    return file.read(layout.table_size)
