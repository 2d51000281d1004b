"""Builds with their ledgers and the log of the key that they used, written to files and compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kspsign.ledger.entries import Entry, KeyFacts, Outcome
from kspsign.reconciliation.answer import Answer
from kspsign.reconciliation.command import compare
from kspsign.reconciliation.ledgers import Ledgers
from kspsign.reconciliation.settings import resolve_reconcile
from support.key_logs.examples import VAULT_KEY
from support.ledgers import build, identifier, run_entry, use_entries, write_ledger

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
KEY = KeyFacts(store="azure-key-vault", alias="code-signing", reference={"key": VAULT_KEY})


def moment(minutes: float = 0.0) -> str:
    """A time as ledgers and logs write it."""
    return f"{START + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def request_id(name: object) -> str:
    """The id of a request, by a name."""
    digits = identifier(("request", name))
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@dataclass
class Story:
    """Ledgers and logs of one test, in its folder."""

    folder: Path
    ledgers: list[Path] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    def ledger(self, name: str, entries: Iterable[Entry]) -> Path:
        """Write a ledger."""
        path = self.folder / name
        write_ledger(path, entries)
        self.ledgers.append(path)
        return path

    def build(
        self,
        number: int,
        files: Sequence[str],
        *,
        minutes: float = 0.0,
        outcome: Outcome | None = "embedded",
        requests: bool = True,
        key: KeyFacts = KEY,
        run: object = None,
    ) -> Path:
        """The ledger of a build that signed these files, a second for each."""
        run = run or number
        entries: list[Entry] = [
            run_entry(run, moment(minutes), build=build(number), key=key, requested_for="Ada Lovelace")
        ]
        for at, name in enumerate(files):
            time = moment(minutes + at / 60)
            asked = request_id((run, name)) if requests else None
            entries += use_entries(run, name, time=time, outcome=outcome, request=asked)
        return self.ledger(f"ledger-{run}.jsonl", entries)

    def log(self, records: Iterable[dict[str, Any]], name: str = "log.json") -> Path:
        """Write a log as JSON lines."""
        path = self.folder / name
        path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
        self.logs.append(path)
        return path

    def arguments(self, *more: str) -> list[str]:
        """The command line."""
        ledgers = [part for path in self.ledgers for part in ("--ledger", str(path))]
        logs = [part for path in self.logs for part in ("--key-log", str(path))]
        return ["reconcile", *ledgers, *logs, *more]

    def answer(self, **more: object) -> Answer:
        """What the comparison finds."""
        given = {"ledger": tuple(self.ledgers), "key_log": tuple(self.logs), **more}
        ledgers = Ledgers()
        for path in self.ledgers:
            ledgers.read(path)
        ledgers.merge()
        return compare(resolve_reconcile(given, {}), ledgers)
