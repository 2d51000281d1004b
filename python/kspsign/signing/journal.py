"""The journal: signatures that were obtained but are not in their file yet, kept on disk so that a killed run loses
none.

One folder; one file per run and name, one line of JSON per entry; only its own run appends to it. The name is the
certificate's thumbprint, or where every signature has a certificate of its own what these have in common; an entry
then holds the signature's chain. A request is noted before it is sent, so that a killed run leaves a trace of what it
may have paid for. Where a service queues requests, an entry may instead hold the operation by which the signature can
be fetched. Entries hold no secret. A run takes over what runs that are gone left there; any number of runs may share a
folder, and files of other machines may be copied into it, below folders too. What is read is not trusted: whoever uses
an entry verifies it first.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Self

from kspsign.certificates.parse import parse_certificate
from kspsign.concurrency.file_lock import try_lock
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.signing.journal_entries import (
    REPORTED,
    JournalEntry,
    JournalKey,
    LostRequest,
    answered_entries,
    read_contents,
)

SUFFIX = ".journal"
KEPT_SECONDS = 30 * 24 * 3600
"""Entries that no run has asked for in this time are dropped."""
_LOCK_PAUSE_SECONDS = 0.01
_NEWBORN_SECONDS = 3600
"""An empty file younger than this may be one that its run has not locked yet."""
_STAMPING_TIME = timedelta(minutes=10)


class Journal:
    """The signatures in `folder` that were made under `name` (40 hex digits), found by digest.

    `add` does not wait for the disk: a thread brings to it what was written. A killed process loses nothing so, a
    machine that goes down what came in its last milliseconds. `fault` says why nothing can be kept, if so. `lost` are
    the requests of runs that are gone whose signatures may be spent and were never seen.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.fault: str | None = None
        self.lost: list[LostRequest] = []
        self._folder = folder
        self._name = name
        self._known: dict[JournalKey, JournalEntry] = {}
        self._unfinished: set[JournalKey] = set()
        self._uses: dict[JournalKey, str] = {}
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._torn = False
        self._closing = False
        self._unsynced = threading.Event()
        self._syncer = threading.Thread(target=self._sync, name="journal", daemon=True)

    def look(self) -> None:
        """Know what is there; change nothing."""
        for path in self._paths():
            with path.open("rb") as file:
                self._known.update(answered_entries(read_contents(file).entries))

    def __enter__(self) -> Self:
        """Know what is there, and take it over where its run is gone."""
        try:
            for path in self._paths():
                self._take_over(path)
        except OSError as refused:
            self.fault = str(refused)
        return self

    def __exit__(self, *_: object) -> None:
        """Bring the rest to the disk. A file whose signatures are all in their files has served."""
        with self._lock:
            if self.lost:
                self._append({REPORTED: True})
            self._closing = True
        if self._file is None:
            return
        self._unsynced.set()
        self._syncer.join()
        self._file.close()
        if not self._unfinished:
            with contextlib.suppress(OSError):
                Path(self._file.name).unlink()

    def find(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature | None:
        """A signature of `digest` that was obtained before."""
        entry = self._known.get(JournalKey(algorithm.value, digest.hex()))
        if entry is None or not entry.signature:
            return None
        chain = tuple(map(bytes.fromhex, entry.chain)) or None
        return RawSignature(algorithm, bytes.fromhex(entry.signature), chain, entry.request)

    def add(self, digest: bytes, signature: RawSignature) -> None:
        """Keep a signature. Never raises: the file that it is for can still be finished."""
        key = JournalKey(signature.algorithm.value, digest.hex())
        chain = tuple(der.hex() for der in signature.chain or ())
        with self._lock:
            use = self._uses.get(key, "")
            entry = JournalEntry(signature.value.hex(), int(time.time()), chain, request=signature.request_id, use=use)
            self._keep(key, entry)

    def operation(self, digest: bytes, algorithm: DigestAlgorithm) -> str | None:
        """What a run before began for `digest` and did not fetch."""
        entry = self._known.get(JournalKey(algorithm.value, digest.hex()))
        return entry.operation or None if entry is not None else None

    def use(self, digest: bytes, algorithm: DigestAlgorithm) -> str | None:
        """The id in the ledger of what a run before obtained or began for `digest`, where it is known."""
        entry = self._known.get(JournalKey(algorithm.value, digest.hex()))
        return entry.use or None if entry is not None else None

    def ask(self, digest: bytes, algorithm: DigestAlgorithm, use: str = "") -> None:
        """A signature is about to be asked for; `begin`, `add` or `abandon` follows, unless the run is killed. `use` is
        its id in the ledger. Never raises."""
        key = JournalKey(algorithm.value, digest.hex())
        with self._lock:
            self._unfinished.add(key)
            if use:
                self._uses[key] = use
            self._append({**key._asdict(), "asked": True, "time": int(time.time()), **_named(use)})

    def begin(self, digest: bytes, algorithm: DigestAlgorithm, operation: str) -> None:
        """A signature was asked for, and is paid for; `add` or `abandon` follows. Never raises."""
        key = JournalKey(algorithm.value, digest.hex())
        with self._lock:
            use = self._uses.get(key, "")
            self._keep(key, JournalEntry("", int(time.time()), operation=operation, use=use))

    def abandon(self, digest: bytes, algorithm: DigestAlgorithm) -> None:
        """What was begun gives no signature."""
        key = JournalKey(algorithm.value, digest.hex())
        with self._lock:
            self._known.pop(key, None)
            self._strike_out(key)

    def done(self, digest: bytes, algorithm: DigestAlgorithm) -> None:
        """The signature is in its file, in its place."""
        with self._lock:
            self._strike_out(JournalKey(algorithm.value, digest.hex()))

    @property
    def inherited(self) -> bool:
        """Whether there are signatures of runs that are gone which are in no file yet, as far as is known."""
        with self._lock:
            return not self._unfinished.isdisjoint(self._known)

    def served(self, signature: bytes) -> list[LostRequest]:
        """If a run that is gone left `signature`, it is in its file; returns what it is known by."""
        found: list[LostRequest] = []
        with self._lock:
            for key in self._unfinished.intersection(self._known):
                entry = self._known[key]
                if not entry.operation and entry.signature == signature.hex():
                    self._strike_out(key)
                    found.append(LostRequest(key, entry.use, entry.time))
        return found

    def _strike_out(self, key: JournalKey) -> None:
        self._uses.pop(key, None)
        if key in self._unfinished:
            self._unfinished.discard(key)
            self._append({**key._asdict(), "done": True})

    def _paths(self) -> Sequence[Path]:
        return sorted(self._folder.rglob(f"{self._name}-*{SUFFIX}"))

    def _keep(self, key: JournalKey, entry: JournalEntry) -> None:
        self._unfinished.add(key)
        more: dict[str, object] = {"chain": entry.chain} if entry.chain else {}
        if entry.request is not None:
            more["request"] = entry.request
        held = {"operation": entry.operation} if entry.operation else {"signature": entry.signature}
        self._append({**key._asdict(), **held, "time": entry.time, **more, **_named(entry.use)})
        self._unsynced.set()

    def _append(self, content: dict[str, object]) -> None:
        """One line; where the last one was cut off, as on a full disk, it is ended first."""
        if self._closing:
            return
        try:
            file = self._file or self._create()
            line = (b"\n" if self._torn else b"") + json.dumps(content).encode() + b"\n"
            self._torn = True
            self._torn = file.write(line) != len(line)
        except OSError as refused:
            self.fault = str(refused)

    def _create(self) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._name}-{secrets.token_hex(8)}{SUFFIX}"
        self._file = file = path.open("xb", buffering=0)
        while try_lock(file) is False:  # another run looks into it
            time.sleep(_LOCK_PAUSE_SECONDS)
        self._syncer.start()
        return file

    def _sync(self) -> None:
        while self._file is not None:
            self._unsynced.wait()
            self._unsynced.clear()
            closing = self._closing
            with contextlib.suppress(OSError):
                os.fsync(self._file.fileno())
            if closing:
                return

    def _take_over(self, path: Path) -> None:
        """Move what a run that is gone left to this run's file; of one that goes on, know its entries only."""
        try:
            with path.open("r+b") as file:
                state = os.fstat(file.fileno())
                age = time.time() - state.st_mtime
                gone = age > KEPT_SECONDS or try_lock(file) is True
                entries, lost = read_contents(file)
        except FileNotFoundError:
            return  # its run has ended well meanwhile
        answered = answered_entries(entries)
        self._known.update(answered)
        if not gone or (not state.st_size and age < _NEWBORN_SECONDS):
            return
        for key, entry in answered.items():
            if entry.time > time.time() - KEPT_SECONDS:
                self._keep(key, entry)
        unanswered = [LostRequest(key, entry.use, entry.time) for key, entry in entries.items() if entry.asked]
        for request in (*lost, *unanswered):
            self.lost.append(request)
            self._append({**request.key._asdict(), "lost": True, "time": request.time, **_named(request.use)})
        if self._file is not None:
            os.fsync(self._file.fileno())
        if self.fault is None:
            path.unlink(missing_ok=True)


def _named(use: str) -> dict[str, str]:
    return {"use": use} if use else {}


def is_current(signature: RawSignature) -> bool:
    """Whether the certificate that came with the signature, if one did, is still valid for a while: what is stamped
    after its end does not verify."""
    if signature.chain is None:
        return True
    try:
        end = parse_certificate(signature.chain[0]).not_valid_after_utc
    except TrustError:
        return False
    return datetime.now(UTC) < end - _STAMPING_TIME
