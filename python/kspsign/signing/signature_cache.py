"""The signature cache: a folder through which runs at the same time, or one after another, spend no signature twice.

A build that signs file by file calls once per file. Through one cache its calls ask for each digest once and count
`max_signatures` together:

    FOLDER/<NAME>/<ALGORITHM>-<DIGEST>.json    a signature, with its chain where it came with one
    FOLDER/spent                               the number of signatures, in decimal

NAME is what the journal calls the key's signatures. Each file is locked while it is read and written, the former also
while its signature is asked for: the lock ends with its process. No file holds a secret. What is read is not trusted:
whoever uses a signature verifies it first.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from kspsign.concurrency.file_lock import try_lock
from kspsign.model.errors import CancelledError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm, RawSignature

LOOK_SECONDS: Final = 0.02
"""Between two looks at a file that another run has locked."""
_SPENT: Final = "spent"


class SignatureCache:
    """The signatures that were made under `name` in `folder`; safe to share between threads and processes."""

    def __init__(self, folder: Path, name: str, cancelled: threading.Event) -> None:
        self._folder, self._cancelled = folder / name, cancelled

    @contextlib.contextmanager
    def entry(self, digest: bytes, algorithm: DigestAlgorithm) -> Iterator[SignatureCacheEntry]:
        """The entry of `digest`, which no other run looks at until the end of the block.

        Raises CancelledError, and PrerequisiteError when the folder can't be used.
        """
        with _locked(self._folder / f"{algorithm.value}-{digest.hex()}.json", self._cancelled) as file:
            yield SignatureCacheEntry(file, algorithm)


class SignatureCacheEntry:
    """What is known of one digest."""

    def __init__(self, file: IO[bytes], algorithm: DigestAlgorithm) -> None:
        self._file, self._algorithm = file, algorithm

    def signature(self) -> RawSignature | None:
        """The signature that another run obtained; None where there is none, or its run ended while it wrote it."""
        self._file.seek(0)
        try:
            content = json.loads(self._file.read())
            chain = tuple(map(bytes.fromhex, content["chain"])) or None
            return RawSignature(self._algorithm, bytes.fromhex(content["signature"]), chain)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def keep(self, signature: RawSignature) -> None:
        """Keep it for other runs. Never raises: this run's file can still be finished."""
        content = {"signature": signature.value.hex(), "chain": [der.hex() for der in signature.chain or ()]}
        with contextlib.suppress(OSError):
            _write(self._file, json.dumps(content).encode())


class Tally:
    """How many signatures all runs with this cache spent."""

    def __init__(self, folder: Path, cancelled: threading.Event) -> None:
        self._path, self._cancelled = folder / _SPENT, cancelled

    def take(self, limit: int | None) -> bool:
        """Count one more; False, and nothing is counted, where that would exceed `limit`. Raises PrerequisiteError,
        CancelledError."""
        with _locked(self._path, self._cancelled) as file:
            spent = self._read(file)
            if limit is not None and spent >= limit:
                return False
            _write_count(file, spent + 1)
            return True

    def give_back(self) -> None:
        """Take one back that was not made."""
        with _locked(self._path, threading.Event()) as file:
            _write_count(file, max(self._read(file) - 1, 0))

    def _read(self, file: IO[bytes]) -> int:
        file.seek(0)
        text = file.read().strip() or b"0"
        if not text.isdigit():
            raise _unusable(self._path, "it does not hold a number")
        return int(text)


def begin_count(folder: Path) -> None:
    """Count the signatures of `folder` from 0 again. Raises PrerequisiteError."""
    try:
        (folder / _SPENT).unlink(missing_ok=True)
    except OSError as refused:
        raise _unusable(folder / _SPENT, refused.strerror or str(refused)) from refused


@contextlib.contextmanager
def _locked(path: Path, cancelled: threading.Event) -> Iterator[IO[bytes]]:
    """`path`, which is created if need be, open and locked."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=True)
        file = path.open("r+b", buffering=0)
    except OSError as refused:
        raise _unusable(path, refused.strerror or str(refused)) from refused
    with file:
        while (held := try_lock(file)) is False:
            if cancelled.wait(LOOK_SECONDS):
                raise CancelledError
        if held is None:
            raise _unusable(path, "its file system knows no locks")
        yield file


def _write_count(file: IO[bytes], count: int) -> None:
    """In one write over the old number, which is as long: a run that is killed meanwhile leaves one of the two."""
    file.seek(0)
    file.write(f"{count:020}".encode())


def _write(file: IO[bytes], content: bytes) -> None:
    file.seek(0)
    file.truncate()
    file.write(content)


def _unusable(path: Path, why: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"the signature cache can't be used: {path}: {why}",
        code="SIGNATURE_CACHE_UNUSABLE",
        remedy="Name a folder on a local disk that this user may write with --signature-cache, or leave it out.",
    )
