"""Page hashes of a PE image (Windows Authenticode PE Signature Format, "SpcPeImageData"): a digest of each 4 KiB of
headers and sections, which Windows checks as it pages a driver or a protected process in.

The blob in a signature is a row of entries, each a file offset (32 bit, little-endian) and a digest: the headers
first, without checksum and certificate entry; then each section's raw data, page by page, the last one filled with
zeros; at the end the offset after the last section with a digest of zeros.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterator

from kspsign.authenticode.pe.layout import PeLayout
from kspsign.model.values import DigestAlgorithm


def page_algorithm(algorithm: DigestAlgorithm) -> DigestAlgorithm:
    """The algorithm of the pages in a signature made with `algorithm`: there is SHA-1 (V1) and SHA-256 (V2) alone."""
    return algorithm if algorithm is DigestAlgorithm.SHA1 else DigestAlgorithm.SHA256


def pages_fault(layout: PeLayout) -> str | None:
    """Why this image can't have page hashes, None when it can."""
    if layout.headers_size > layout.page:
        return f"the headers take {layout.headers_size} bytes, more than a page of {layout.page}"
    end = layout.headers_size
    for offset, size in sorted(layout.sections):
        if offset < end:
            return f"the section at {offset} overlaps what precedes it"
        end = offset + size
    return None


def pages_size(layout: PeLayout) -> int:
    """Bytes of the blob with SHA-256."""
    pages = sum(-(-size // layout.page) for _, size in layout.sections)
    return (pages + 2) * (4 + hashlib.sha256().digest_size)


def differing_page(ours: bytes, theirs: bytes, algorithm: DigestAlgorithm) -> str:
    """The first difference of page hashes, in words."""
    step = 4 + hashlib.new(algorithm).digest_size
    if len(ours) != len(theirs):
        return f"{len(theirs) // step} pages are signed, the image has {len(ours) // step}"
    at = next(at for at in range(0, len(ours), step) if ours[at : at + step] != theirs[at : at + step])
    return f"the page at {struct.unpack_from('<I', ours, at)[0]} is not what was signed"


class PageHasher:
    """Hashes an image's pages as its content passes by, in file order; needs an image without `pages_fault`."""

    def __init__(self, layout: PeLayout, algorithms: Collection[DigestAlgorithm]) -> None:
        self._layout = layout
        self._algorithms = tuple(algorithms)
        self._headers = bytearray()
        self._blobs = [[bytearray() for _ in layout.sections] for _ in self._algorithms]
        self._pages = self._ahead()
        self._current = next(self._pages, None)
        self._held = bytearray()

    def feed(self, chunk: memoryview, position: int) -> None:
        """Take the range of the file that begins at `position`, right after the one before."""
        missing = self._layout.headers_size - len(self._headers)
        if missing > 0:
            self._headers += chunk[:missing]
        end = position + len(chunk)
        while self._current is not None and self._current[1] < end:
            section, start, stop = self._current
            piece = chunk[max(start - position, 0) : stop - position]
            if start < position or stop > end:
                self._held += piece
                if stop > end:
                    return
                piece = memoryview(bytes(self._held))
                self._held.clear()
            self._add(section, start, piece)
            self._current = next(self._pages, None)

    def blobs(self) -> dict[DigestAlgorithm, bytes]:
        """The blob for each algorithm; the whole image must have passed by."""
        layout = self._layout
        end = sum(layout.sections[-1]) if layout.sections else 0
        return {
            algorithm: self._entry(algorithm, 0, self._signed_headers(), layout.page - layout.headers_size)
            + b"".join(blobs)
            + struct.pack("<I", end)
            + bytes(hashlib.new(algorithm).digest_size)
            for algorithm, blobs in zip(self._algorithms, self._blobs, strict=True)
        }

    def _ahead(self) -> Iterator[tuple[int, int, int]]:
        """(section, start, stop) of each page in file order; a section's number is that of the section table."""
        for number, (offset, size) in sorted(enumerate(self._layout.sections), key=lambda section: section[1]):
            for start in range(offset, offset + size, self._layout.page):
                yield number, start, min(start + self._layout.page, offset + size)

    def _add(self, section: int, start: int, data: memoryview) -> None:
        for algorithm, blobs in zip(self._algorithms, self._blobs, strict=True):
            blobs[section] += self._entry(algorithm, start, data, self._layout.page - len(data))

    def _signed_headers(self) -> bytes:
        checksum, directory = self._layout.checksum_offset, self._layout.directory_offset
        headers = bytes(self._headers)
        return headers[:checksum] + headers[checksum + 4 : directory] + headers[directory + 8 :]

    @staticmethod
    def _entry(algorithm: DigestAlgorithm, offset: int, data: bytes | memoryview, zeros: int) -> bytes:
        hasher = hashlib.new(algorithm, data)
        if zeros:
            hasher.update(bytes(zeros))
        return struct.pack("<I", offset) + hasher.digest()
