"""What an image may have been before it was signed. Signing pads it to a multiple of eight bytes and sets the checksum,
so that removing the signature need not give back the original; its size says how much of the padding was there."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

from kspsign.authenticode.io.read import stretch
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.pe.checksum import image_checksum
from kspsign.authenticode.pe.content import entry_words
from kspsign.authenticode.pe.layout import PeLayout
from kspsign.model.values import DigestAlgorithm

_ALIGNMENT = 8
_NO_TABLE = bytes(8)


def original_digests(
    snapshot: Snapshot, layout: PeLayout, words: int, size: int, algorithm: DigestAlgorithm
) -> Iterator[bytes]:
    """The digests of the images of `size` bytes that this one can have been made of: without a checksum, which is how
    compilers leave it, and with the right one. `words` is the word sum of what a signature covers (PeDigest)."""
    padding = layout.content_end - size
    if not 0 <= padding < _ALIGNMENT:
        return
    right = image_checksum(words + entry_words(layout, _NO_TABLE), size)
    for checksum in (0, right):
        hasher = hashlib.new(algorithm)
        with snapshot.open() as source:
            head = bytearray(source.read(layout.directory_offset + len(_NO_TABLE)))
            struct.pack_into("<I", head, layout.checksum_offset, checksum)
            head[layout.directory_offset :] = _NO_TABLE
            hasher.update(head)
            for piece in stretch(source, size - len(head)):
                hasher.update(piece)
            if any(source.read(padding)):
                return
        yield hasher.digest()
