"""The ledgers of many builds in one table; what several of them say about a signature is put together."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from kspsign.ledger.chain import LedgerFault
from kspsign.ledger.entries import KeyFacts, RunEntry
from kspsign.ledger.read import KeyUse, Ledger, key_uses, ledger_of, raw_lines
from kspsign.model.errors import ConfigurationError
from kspsign.reconciliation.tables import (
    MADE,
    NOTHING,
    OUTCOMES,
    Index,
    LedgerKey,
    Numbered,
    Signatures,
    SigningRun,
    hashed,
    narrowed,
)

LARGEST: Final = 512 << 20
"""Bytes of one ledger, unpacked."""
_GZIP: Final = b"\x1f\x8b"
_ADDRESSES: Final = ("key", "version", "keypair")
"""Parts of a key store's reference that are the key's address in its service."""
OUTSIDE: Final = "outside a pipeline"
"""The pipeline of a run that was in none."""


class ReadLedger(NamedTuple):
    """A ledger that was read: how many lines and uses of keys it has, and what is wrong with its chain."""

    name: str
    lines: int
    uses: int
    faults: tuple[LedgerFault, ...]

    @property
    def accepted(self) -> bool:
        """Whether its chain is whole; otherwise none of its lines accounts for anything."""
        return not self.faults


class Ledgers:
    """Reads ledgers one after another; `merge` follows the last one.

    `refused` counts requests that made nothing, `merged` entries on a signature that another ledger has too. `without`
    are builds that attached no ledger.
    """

    def __init__(self) -> None:
        self.facts: list[ReadLedger] = []
        self.signatures = Signatures()
        self.signers: Numbered[SigningRun] = Numbered()
        self.keys: Numbered[LedgerKey] = Numbered()
        self.refused = 0
        self.merged = 0
        self.without: list[int] = []
        self._clocks: Numbered[str] = Numbered()
        self._unknown_signers: set[int] = set()

    def read(self, path: Path) -> None:
        """Take in the ledger at `path`. Raises ConfigurationError when it can't be read."""
        try:
            with path.open("rb") as file:
                self.take(str(path), file)
        except OSError as refused:
            raise ConfigurationError(
                f"the ledger can't be read: {refused.strerror or refused}",
                remedy="Name the file that --ledger wrote, the attachment of a build, or a folder of them.",
                file=str(path),
            ) from refused

    def take(self, name: str, file: IO[bytes], build: str | None = None) -> None:
        """Take in the ledger that is in `file`, also in gzip, as a build attaches a large one. All of its runs must be
        of that `build`, where one is named."""
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        stream = _Lines(cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if packed else file)
        ledger = ledger_of(name, stream)
        foreign = () if build is None else _of_other_builds(ledger, build)
        self.add(ledger, (*stream.faults, *foreign))

    def add(self, ledger: Ledger, faults: Iterable[LedgerFault] = ()) -> None:
        """Take in a ledger; `faults` are those that were found besides its chain."""
        uses = key_uses(ledger.entries)
        facts = ReadLedger(ledger.name, len(ledger.entries), len(uses), (*ledger.faults, *faults))
        self.facts.append(facts)
        for use in uses:
            if use.outcome == "refused":
                self.refused += 1
            else:
                self._append(use, facts)

    def merge(self) -> None:
        """Make one signature of those that several ledgers have: a later run may say what became of it, and the
        same lines may be in a file and in an attachment."""
        table = self.signatures
        for rows in Index(table.uses).repeated():
            counting = [row for row in rows if table.accepted[row]]
            if not counting:
                continue
            kept = max(counting, key=self._telling)
            for row in counting:
                if row != kept:
                    self._merge(kept, row)

    def signer(self, row: int) -> SigningRun:
        """Whose signature it is."""
        return self.signers[self.signatures.signers[row]]

    def _append(self, use: KeyUse, facts: ReadLedger) -> None:
        table = self.signatures
        table.asked.append(_seconds(use.asked))
        table.answered.append(_seconds(use.answered or use.asked))
        table.signers.append(self._signer(use.run))
        table.outcomes.append(OUTCOMES.index(use.outcome))
        table.accepted.append(facts.accepted)
        table.matched.append(-1)
        table.uses.append(bytes.fromhex(use.use))
        table.digests.append(narrowed(bytes.fromhex(use.digest) if use.digest else None))
        table.requests.append(hashed(use.request_id or use.operation or ""))
        table.files.append(", ".join(use.files))

    def _signer(self, run: RunEntry | None) -> int:
        ledger = len(self.facts) - 1
        if run is None:
            number = self.signers.number(
                SigningRun(ledger, self.keys.number(LedgerKey("", frozenset())), "", "", "", 0)
            )
            self._unknown_signers.add(number)
            return number
        key = self.keys.number(LedgerKey(run.key.store, key_names(run.key)))
        build = run.build
        return self.signers.number(
            SigningRun(
                ledger,
                key,
                f"{build.definition} {build.number} ({build.id}), attempt {build.attempt}" if build else "",
                f"{build.project}/{build.definition}" if build else OUTSIDE,
                run.requested_for or "",
                1 + self._clocks.number(run.run),
            )
        )

    def _telling(self, row: int) -> tuple[bool, bool, bool, bool]:
        """Which of several rows of one signature says the most: the one of the run that asked, with an outcome."""
        table = self.signatures
        return (
            table.signers[row] not in self._unknown_signers,
            table.requests[row] != NOTHING,
            table.outcomes[row] in MADE,
            OUTCOMES[table.outcomes[row]] == "embedded",
        )

    def _merge(self, kept: int, row: int) -> None:
        table = self.signatures
        self.merged += 1
        table.accepted[row] = 2
        better = {"asked": 0, "obtained": 1, "lost": 2, "kept": 3, "discarded": 4, "embedded": 5, "refused": 0}
        if better[OUTCOMES[table.outcomes[row]]] > better[OUTCOMES[table.outcomes[kept]]]:
            table.outcomes[kept] = table.outcomes[row]


def _of_other_builds(ledger: Ledger, build: str) -> Iterator[LedgerFault]:
    """A fault for each run of another build than the one that attached the ledger: it was copied."""
    for place, entry in enumerate(ledger.entries, 1):
        if isinstance(entry, RunEntry) and (entry.build is None or entry.build.id != build):
            whose = "no build" if entry.build is None else f"build {entry.build.id}"
            yield LedgerFault(place, "forged", f"it is about a run of {whose}, and not of the build that attached it")


class _Lines:
    """The lines of a ledger's file; `faults` says why there are no more where it can't be unpacked."""

    def __init__(self, file: IO[bytes]) -> None:
        self.faults: list[LedgerFault] = []
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        place = size = 0
        try:
            for place, line in enumerate(raw_lines(self._file), 1):
                size += len(line)
                if size > LARGEST:
                    self.faults.append(LedgerFault(place, "unreadable", f"it has more than {LARGEST >> 20} MiB"))
                    return
                yield line
        except (gzip.BadGzipFile, EOFError, zlib.error) as broken:
            self.faults.append(LedgerFault(place + 1, "unreadable", f"it can't be unpacked: {broken}"))


def _seconds(written: str) -> float:
    return datetime.fromisoformat(written).timestamp()


def key_names(key: KeyFacts) -> frozenset[str]:
    """What a log may call the key of a ledger: its address there; the alias too where a log may have that alone."""
    reference = key.reference
    if "profile" in reference:
        names = [f"{reference.get('account', '')}/{reference['profile']}"]
    else:
        names = [reference[part].partition("://")[2] or reference[part] for part in _ADDRESSES if part in reference]
    if not names or "keypair" in reference:
        names += [key.alias or "", reference.get("container", "")]
    return frozenset(name.rstrip("/").lower() for name in names) - {""}
