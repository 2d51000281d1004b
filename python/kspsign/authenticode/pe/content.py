"""Feeds what the digest of a PE image covers to hashers and checksums (Windows Authenticode PE Signature
Format, "Calculating the PE Image Hash")."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection

from kspsign.authenticode.pe.checksum import WordSum, word_sum
from kspsign.authenticode.pe.digest import PeDigest
from kspsign.authenticode.pe.layout import PeLayout
from kspsign.authenticode.pe.pages import PageHasher, page_algorithm, pages_fault
from kspsign.model.values import DigestAlgorithm


class ImageContent:
    """Hashes an image without its checksum, certificate directory entry and certificate table, and adds up its words.

    `pages` are the algorithms of the page hashes that are wanted, of an image that can have some. Without `summed` the
    words of what is hashed are not added up.
    """

    def __init__(
        self,
        layout: PeLayout,
        algorithms: Collection[DigestAlgorithm],
        pages: Collection[DigestAlgorithm],
        *,
        summed: bool,
    ) -> None:
        checksum, directory = layout.checksum_offset, layout.directory_offset
        self._layout, self._end = layout, layout.content_end
        self._hashed = (0, checksum), (checksum + 4, directory), (directory + 8, self._end)
        self._hashers = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
        self._asked = {page: page_algorithm(page) for page in pages} if pages_fault(layout) is None else {}
        self._paged = PageHasher(layout, set(self._asked.values())) if self._asked else None
        self._words = WordSum() if summed else None
        self._tail = WordSum()

    def feed(self, position: int, piece: memoryview) -> None:
        """Take the range of the file that begins at `position`, right after the one before."""
        if self._paged is not None:
            self._paged.feed(piece, position)
        inside = max(self._end - position, 0)
        if self._words is not None:
            self._words.update(piece[:inside])
        self._tail.update(piece[inside:])
        for start, stop in self._hashed:
            if part := piece[max(start - position, 0) : max(stop - position, 0)]:
                for hasher in self._hashers.values():
                    hasher.update(part)

    def digest(self, sha256: str) -> PeDigest:
        """The result, once the whole file (of that `sha256`) was fed; nothing more can be fed."""
        for hasher in self._hashers.values():
            hasher.update(bytes(self._layout.padding))
        values = {algorithm: hasher.digest() for algorithm, hasher in self._hashers.items()}
        blobs = self._paged.blobs() if self._paged is not None else {}
        pages = {kind: blobs[algorithm] for kind, algorithm in self._asked.items()}
        return PeDigest(values, sha256, word_sum=self._word_sum(), tail_sum=self._tail.value(), pages=pages)

    def _word_sum(self) -> int:
        if self._words is None:
            return 0
        layout = self._layout
        checksum = word_sum(struct.pack("<I", layout.checksum), odd=bool(layout.checksum_offset & 1))
        return (self._words.value() - checksum - entry_words(layout, stored_entry(layout))) % 0xFFFF


def stored_entry(layout: PeLayout) -> bytes:
    """The encoded certificate directory entry."""
    return struct.pack("<II", layout.table_offset, layout.table_size)


def entry_words(layout: PeLayout, entry: bytes) -> int:
    """The word sum of a certificate directory entry in its place in the header."""
    return word_sum(entry, odd=bool(layout.directory_offset & 1))
