"""Reads ledgers, and puts the entries of each signature together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, NamedTuple

from kspsign.ledger.chain import MAX_LINE, ChainReader, LedgerAnchor, LedgerFault
from kspsign.ledger.entries import AskedEntry, Entry, OutcomeEntry, RunEntry, SignedEntry
from kspsign.model.errors import ConfigurationError

UseOutcome = Literal["asked", "obtained", "embedded", "kept", "discarded", "lost", "refused"]
"""Those of an outcome entry; "asked" and "obtained" where there is none: the run was killed, or goes on."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One signature that a key was asked for. Times are ISO 8601 in UTC with milliseconds.

    `run` is the run that asked, None where its ledger is not at hand: then a later run said that the signature was lost
    or is in a file. `digest` is hex, None where a tool of others took it. `certificate` is a thumbprint. `refused` uses
    made no signature.
    """

    use: str
    run: RunEntry | None
    asked: str
    algorithm: str
    digest: str | None = None
    attempt: int = 1
    answered: str | None = None
    certificate: str | None = None
    request_id: str | None = None
    operation: str | None = None
    files: tuple[str, ...] = ()
    outcome: UseOutcome = "asked"
    reason: str | None = None

    @property
    def spent(self) -> bool:
        """Whether the key made a signature, or may have made one."""
        return self.outcome != "refused"


class Ledger(NamedTuple):
    """A ledger that was read. `anchor` is its last line, `faults` what is wrong with its chain."""

    name: str
    entries: tuple[Entry, ...]
    anchor: LedgerAnchor
    faults: tuple[LedgerFault, ...]


def read_ledger(path: Path, anchors: Iterable[LedgerAnchor] = ()) -> Ledger:
    """The ledger at `path`, checked against `anchors`. Raises ConfigurationError when the file can't be read."""
    try:
        with path.open("rb") as file:
            return ledger_of(str(path), raw_lines(file), anchors)
    except OSError as refused:
        raise ConfigurationError(
            f"the ledger can't be read: {refused.strerror or refused}",
            remedy="Name the file that --ledger wrote, or the attachment of a build.",
            file=str(path),
        ) from refused


def ledger_of(name: str, stream: Iterable[bytes], anchors: Iterable[LedgerAnchor] = ()) -> Ledger:
    """The ledger in `stream`, a line each with its line feed."""
    reader = ChainReader(stream, anchors)
    entries = tuple(line.entry for line in reader.lines())
    return Ledger(name, entries, reader.anchor, tuple(reader.faults))


def raw_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of `file`; one that is too long comes in parts, none of which is a line of a ledger."""
    while line := file.readline(MAX_LINE):
        yield line


def key_uses(entries: Iterable[Entry]) -> list[KeyUse]:
    """One value per use of the key, in the order in which they were asked for.

    The entries of several ledgers may be given together: what one run began another may end.
    """
    runs: dict[str, RunEntry] = {}
    uses: dict[str, KeyUse] = {}
    for entry in entries:
        if isinstance(entry, RunEntry):
            runs[entry.run] = entry
        elif isinstance(entry, AskedEntry):
            uses.setdefault(entry.use, _asked(entry, runs.get(entry.run)))
        elif isinstance(entry, SignedEntry):
            uses[entry.use] = _signed(uses.get(entry.use), entry)
        elif isinstance(entry, OutcomeEntry):
            uses[entry.use] = _ended(uses.get(entry.use), entry)
    return list(uses.values())


def _asked(entry: AskedEntry, run: RunEntry | None) -> KeyUse:
    files = (entry.file,) if entry.file is not None else ()
    return KeyUse(entry.use, run, entry.time, entry.algorithm, entry.digest, entry.attempt, files=files)


def _signed(known: KeyUse | None, entry: SignedEntry) -> KeyUse:
    use = known or KeyUse(entry.use, None, entry.time, "sha256")
    return replace(
        use,
        answered=entry.time,
        certificate=entry.certificate or use.certificate,
        request_id=entry.request_id or use.request_id,
        operation=entry.operation or use.operation,
        outcome="obtained" if use.outcome == "asked" else use.outcome,
    )


def _ended(known: KeyUse | None, entry: OutcomeEntry) -> KeyUse:
    use = known or KeyUse(entry.use, None, entry.asked or entry.time, entry.algorithm)
    files = use.files
    if entry.file is not None and entry.file not in files:
        files = (*files, entry.file)
    outcome = use.outcome if use.outcome == "embedded" else entry.outcome
    return replace(use, digest=use.digest or entry.digest, files=files, outcome=outcome, reason=entry.reason)
