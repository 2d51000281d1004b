"""One pass over a file of which one range is signed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from kspsign.authenticode.io.read import read_through
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.signable import Digest
from kspsign.model.values import DigestAlgorithm


def hash_stretch(
    snapshot: Snapshot, start: int, end: int, algorithms: Collection[DigestAlgorithm], *, before: bytes = b""
) -> Digest:
    """The digests of `before` and the bytes from `start` to `end`, and the sha256 of the whole file."""
    hashers = {algorithm: hashlib.new(algorithm, before) for algorithm in algorithms}
    whole = hashlib.sha256()

    def inside(position: int, piece: memoryview) -> None:
        signed = piece[max(start - position, 0) : max(end - position, 0)]
        for hasher in hashers.values():
            hasher.update(signed)

    read_through(snapshot, inside, lambda _, piece: whole.update(piece))
    return Digest({algorithm: hasher.digest() for algorithm, hasher in hashers.items()}, whole.hexdigest())
