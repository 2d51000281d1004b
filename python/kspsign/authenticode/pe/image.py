"""A PE image as a signable file: its digest (Windows Authenticode PE Signature Format, "Calculating the PE Image
Hash"), its checksum, and how a signature is embedded. Streams: memory does not grow with the file."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.oids import OID_SPC_PE_IMAGE_DATA
from kspsign.authenticode.cms.profile import AUTHENTICODE, CmsProfile
from kspsign.authenticode.cms.spc import indirect_data
from kspsign.authenticode.io.read import read_through, stretch
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.pe.admission import admit, too_large
from kspsign.authenticode.pe.checksum import image_checksum, word_sum
from kspsign.authenticode.pe.content import ImageContent, entry_words
from kspsign.authenticode.pe.digest import PeDigest
from kspsign.authenticode.pe.findings import checksum_finding, pages_finding, trailing_finding
from kspsign.authenticode.pe.layout import MAX_FILE_SIZE, PeLayout, read_layout, stale_entry
from kspsign.authenticode.pe.original import original_digests
from kspsign.authenticode.pe.page_hash_attribute import PLAIN_IMAGE_DATA, page_algorithms, paged_image_data
from kspsign.authenticode.pe.table import CertificateTable, build_table, max_table_size, parse_table, table_finding
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Glimpse
from kspsign.model.values import DigestAlgorithm, Finding

_EFI = range(10, 14)  # application, boot service driver, runtime driver, ROM
PROFILE = AUTHENTICODE.covering(OID_SPC_PE_IMAGE_DATA)
_EFI_PROFILE = replace(PROFILE, nests=False)  # firmware knows table entries, and no nested signatures


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
    """A PE image whose headers were read and checked; see SignableFile. `known` is what `knowing` was given."""

    snapshot: Snapshot
    layout: PeLayout
    table: CertificateTable = field(repr=False)
    known: PeDigest | None = field(default=None, repr=False)

    @classmethod
    def open(cls, snapshot: Snapshot) -> PeFile:
        """Read headers and certificate table; raises ArtifactError when they contradict the file."""
        with snapshot.open() as file:
            layout = read_layout(file, snapshot.size)
            table = _read_table(file, layout)
        fault = _misplaced(layout, table)
        if fault is not None:
            raise stale_entry(fault)
        return cls(snapshot, layout, table)

    @classmethod
    def open_to_replace(cls, snapshot: Snapshot) -> PeFile:
        """Likewise for an image whose signatures are to be replaced: a stale table entry counts as none."""
        with snapshot.open() as file:
            layout = read_layout(file, snapshot.size, clear_stale=True)
            table = _read_table(file, layout)
        if _misplaced(layout, table) is not None:
            return cls(snapshot, layout._replace(stale=True), CertificateTable((), None))
        return cls(snapshot, layout, table)

    @property
    def profile(self) -> CmsProfile:
        """Authenticode; a further signature of an EFI image is a table entry of its own."""
        return _EFI_PROFILE if self.layout.subsystem in _EFI else PROFILE

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """The PKCS#7 signatures of the certificate table."""
        return self.table.signatures

    @property
    def occupant(self) -> str | None:
        """The content of a certificate table without any Authenticode signature; see OccupiedFile."""
        if not self.layout.signed or self.signatures:
            return None
        return f"a certificate table of {self.layout.table_size} bytes: {self.table.fault}"

    def clear(self, copy: Path) -> None:
        """Clear the stale table entry in `copy`, a copy of this file; see ClearableFile."""
        if self.layout.stale:
            with copy.open("r+b") as target:
                target.seek(self.layout.directory_offset)
                target.write(bytes(8))

    def admit(self, terms: SigningTerms) -> None:
        """Raise ArtifactError when the signature would not fit, and when signing would lose or hide data."""
        admit(self.layout, self.signatures, terms)

    def digest(self, algorithms: Collection[DigestAlgorithm]) -> PeDigest:
        """Hash the image without its checksum, certificate directory entry and certificate table; see module."""
        return self._known_digest(algorithms, ())

    def digest_to_sign(self, terms: SigningTerms) -> PeDigest:
        """`digest`, with page hashes where they are asked for and the image can have some."""
        return self._known_digest([terms.algorithm], _pages_of(terms))

    def digest_to_check(self, signatures: Sequence[CmsSignature]) -> PeDigest:
        """`digest`, with the page hashes that are in these signatures, where the image can have some."""
        return self._known_digest({signature.algorithm for signature in signatures}, page_algorithms(signatures))

    def digest_copying(self, terms: SigningTerms, copy: BinaryIO) -> PeDigest:
        """`digest_to_sign`; `copy` gets the file's bytes in the same pass."""
        return replace(self._digest([terms.algorithm], _pages_of(terms), copy), copied=True)

    def knowing(self, digest: PeDigest) -> PeFile:
        """See SummedFile."""
        return replace(self, known=digest if digest.values else None)

    def described(self, signature: CmsSignature) -> tuple[tuple[str, str], ...]:
        """The algorithms of its page hashes, where it has some; see DescribedFile."""
        pages = page_algorithms([signature])
        return (("page hashes", ", ".join(pages)),) if pages else ()

    def original_digests(self, size: int, algorithm: DigestAlgorithm) -> Iterator[bytes]:
        """See RestorableFile."""
        return original_digests(self.snapshot, self.layout, self.digest([]).word_sum, size, algorithm)

    def _known_digest(self, algorithms: Collection[DigestAlgorithm], pages: Collection[DigestAlgorithm]) -> PeDigest:
        if self.known is None:
            return self._digest(algorithms, pages)
        found = self._digest(algorithms, pages, summed=False)
        if self.known.values.items() & found.values.items():
            return replace(found, word_sum=self.known.word_sum)
        return self._digest(algorithms, pages)

    def _digest(
        self,
        algorithms: Collection[DigestAlgorithm],
        pages: Collection[DigestAlgorithm],
        copy: BinaryIO | None = None,
        *,
        summed: bool = True,
    ) -> PeDigest:
        content, whole = ImageContent(self.layout, algorithms, pages, summed=summed), hashlib.sha256()

        def everything(_position: int, piece: memoryview) -> None:
            whole.update(piece)
            if copy is not None:
                copy.write(piece)

        read_through(self.snapshot, content.feed, everything)
        return content.digest(whole.hexdigest())

    def structure(self, digest: PeDigest, signatures: Sequence[CmsSignature]) -> tuple[Finding, ...]:
        """The checks "certificate-table", "trailing-data", "checksum", and "page-hashes" where there are some."""
        layout = self.layout
        return (
            table_finding(self.table),
            trailing_finding(layout),
            checksum_finding(layout, digest),
            *pages_finding(layout, digest, signatures),
        )

    def content(self, terms: SigningTerms, digest: PeDigest) -> bytes:
        """SpcIndirectDataContent with SpcPeImageData, which has the page hashes when they are asked for."""
        data = paged_image_data(digest.pages[terms.algorithm]) if terms.page_hashes else PLAIN_IMAGE_DATA
        return indirect_data(OID_SPC_PE_IMAGE_DATA, data, terms.algorithm, digest.values[terms.algorithm])

    def embed(self, digest: PeDigest, signatures: Sequence[bytes], target: BinaryIO) -> None:
        """Write the image with `signatures` as its table entries, checksum set, to `target`; without any it has no
        table.

        Raises ArtifactError when the result would reach 4 GiB, which 32-bit offsets can't address.
        """
        layout = self.layout
        table = build_table(signatures)
        offset = layout.content_end + layout.padding
        if offset + len(table) > MAX_FILE_SIZE:
            raise too_large()
        directory = struct.pack("<II", offset if table else 0, len(table))
        with self.snapshot.open() as source:
            head = bytearray(source.read(layout.directory_offset + len(directory)))
            words = digest.word_sum + word_sum(table) + entry_words(layout, directory)
            struct.pack_into("<I", head, layout.checksum_offset, image_checksum(words, offset + len(table)))
            head[layout.directory_offset :] = directory
            target.write(head)
            if digest.copied:
                target.seek(layout.content_end)
            else:
                target.writelines(stretch(source, layout.content_end - len(head)))
        target.write(bytes(layout.padding) + table)
        target.truncate()


def _pages_of(terms: SigningTerms) -> tuple[DigestAlgorithm, ...]:
    return (terms.algorithm,) if terms.page_hashes else ()


def _read_table(file: BinaryIO, layout: PeLayout) -> CertificateTable:
    if not layout.signed:
        return CertificateTable((), None)
    if layout.table_size > max_table_size(layout.table_offset):
        return CertificateTable((), f"a certificate table of {layout.table_size} bytes is not a signature")
    return parse_table(_stored_table(file, layout))


def _misplaced(layout: PeLayout, table: CertificateTable) -> str | None:
    """Signs that the entry points into data which is not a certificate table: nothing there begins like one, and
    what the entry calls the table does not end the file. None where it may be one, however damaged."""
    end = layout.table_offset + layout.table_size
    if not layout.signed or table.entries or end == layout.size:
        return None
    return f"the {layout.table_size} bytes at {layout.table_offset} are not a certificate table"


def _stored_table(file: BinaryIO, layout: PeLayout) -> bytes:
    """The raw certificate table, empty when there is none."""
    file.seek(layout.table_offset)
    return file.read(layout.table_size)
