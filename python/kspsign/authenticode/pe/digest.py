"""The result of one pass over a PE image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kspsign.authenticode.signable import Digest
from kspsign.model.values import DigestAlgorithm


@dataclass(frozen=True, slots=True)
class PeDigest(Digest):
    """See Digest, and what the header's checksum and page hashes are made of.

    `word_sum` is the sum modulo 65535 of the 16-bit little-endian words that are hashed (what is left out counts as
    zero), `tail_sum` that of the words after them. `pages` are the page hashes (offset and digest of each page, as a
    signature holds them) by the digest algorithm that was asked for: SHA-1 gives V1, all others V2. `copied` is
    whether the pass copied the image too (CopyingFile).
    """

    word_sum: int = 0
    tail_sum: int = 0
    pages: Mapping[DigestAlgorithm, bytes] = field(default_factory=dict)
    copied: bool = False
