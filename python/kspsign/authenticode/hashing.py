"""One pass over a file of which one stretch is signed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from kspsign.authenticode.signable import Digest
from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm

CHUNK = 1 << 20


def hash_stretch(
    path: Path, start: int, end: int, algorithms: Collection[DigestAlgorithm], *, before: bytes = b""
) -> Digest:
    """The digests of `before` and the bytes from `start` to `end`, and the sha256 of the whole file.

    Raises ArtifactError (ERROR_SHARING_VIOLATION) when the file became shorter than `end`.
    """
    hashers = {algorithm: hashlib.new(algorithm, before) for algorithm in algorithms}
    whole = hashlib.sha256()
    position = 0
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(min(CHUNK, max(end, 1))))
        while count := file.readinto(buffer):
            chunk = buffer[:count]
            whole.update(chunk)
            piece = chunk[max(start - position, 0) : max(end - position, 0)]
            for hasher in hashers.values():
                hasher.update(piece)
            position += count
    if position < end:
        raise ArtifactError(Hresult.ERROR_SHARING_VIOLATION, "the file changed while it was read")
    return Digest({algorithm: hasher.digest() for algorithm, hasher in hashers.items()}, whole.hexdigest())
