"""One pass over a file of which one range is signed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from kspsign.authenticode.io.read import file_changed, read_through
from kspsign.authenticode.signable import Digest
from kspsign.model.values import DigestAlgorithm


def hash_stretch(
    path: Path, start: int, end: int, algorithms: Collection[DigestAlgorithm], *, before: bytes = b""
) -> Digest:
    """The digests of `before` and the bytes from `start` to `end`, and the sha256 of the whole file.

    Raises ArtifactError (ERROR_SHARING_VIOLATION) when the file became shorter than `end`.
    """
    hashers = {algorithm: hashlib.new(algorithm, before) for algorithm in algorithms}
    whole = hashlib.sha256()

    def inside(position: int, piece: memoryview) -> None:
        signed = piece[max(start - position, 0) : max(end - position, 0)]
        for hasher in hashers.values():
            hasher.update(signed)

    if read_through(path, end, inside, lambda _, piece: whole.update(piece)) < end:
        raise file_changed()
    return Digest({algorithm: hasher.digest() for algorithm, hasher in hashers.items()}, whole.hexdigest())
