"""One pass over a file of which one stretch is signed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from kspsign.authenticode.reading import file_changed, pieces
from kspsign.authenticode.signable import Digest
from kspsign.model import DigestAlgorithm


def hash_stretch(
    path: Path, start: int, end: int, algorithms: Collection[DigestAlgorithm], *, before: bytes = b""
) -> Digest:
    """The digests of `before` and the bytes from `start` to `end`, and the sha256 of the whole file.

    Raises ArtifactError (ERROR_SHARING_VIOLATION) when the file became shorter than `end`.
    """
    hashers = {algorithm: hashlib.new(algorithm, before) for algorithm in algorithms}
    whole = hashlib.sha256()
    read = 0
    with path.open("rb", buffering=0) as file:
        for position, chunk in pieces(file, end, lambda _, chunk: whole.update(chunk)):
            piece = chunk[max(start - position, 0) : max(end - position, 0)]
            for hasher in hashers.values():
                hasher.update(piece)
            read = position + len(chunk)
    if read < end:
        raise file_changed()
    return Digest({algorithm: hasher.digest() for algorithm, hasher in hashers.items()}, whole.hexdigest())
