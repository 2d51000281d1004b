"""Ledgers for tests: entries as a run writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from kspsign.ledger.entries import (
    AskedEntry,
    Entry,
    KeyFacts,
    LedgerCertificate,
    Outcome,
    OutcomeEntry,
    RunEntry,
    SignedEntry,
)
from kspsign.ledger.file import LedgerFile
from kspsign.model.run_facts import BuildFacts

MOMENT = "2026-03-01T10:00:00.000Z"


def identifier(name: object) -> str:
    """An id that belongs to `name`."""
    return hashlib.sha256(str(name).encode()).hexdigest()[:32]


def certificate(name: str = "one") -> LedgerCertificate:
    """The facts of a certificate, by its name."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return LedgerCertificate(
        thumbprint=digest[:40].upper(),
        sha256=digest,
        subject=f"CN={name}",
        serial=digest[:16],
        not_after="2027-01-01T00:00:00Z",
    )


def build(number: int = 7) -> BuildFacts:
    """A build of Azure Pipelines."""
    return BuildFacts(
        str(number), f"2026.{number}", "release", "tools", "https://dev.azure.com/acme/", "app", "0" * 40, "sign", 1
    )


def run_entry(run: object = 1, time: str = MOMENT, **facts: object) -> RunEntry:
    """A run begins."""
    key = KeyFacts(store="azure-key-vault", alias="code-signing", reference={"vault": "https://acme.vault.azure.net"})
    values: dict[str, object] = {"build": build(), "certificate": certificate(), "key": key, **facts}
    return RunEntry.model_validate(
        {"run": identifier(run), "time": time, "tool": "kspsign 1.0.0", "command": "run", "engine": "native", **values}
    )


def use_entries(
    run: object, name: str, *, time: str = MOMENT, outcome: Outcome | None = "embedded", request: str | None = None
) -> list[Entry]:
    """A use of the key for the file `name`: asked, signed, and its outcome, if it has one."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    run, use = identifier(run), identifier((run, name))
    found: list[Entry] = [
        AskedEntry(run=run, time=time, use=use, attempt=1, digest=digest, algorithm="sha256", file=name),
    ]
    if outcome not in {"lost", "refused"}:
        found.append(
            SignedEntry(run=run, time=time, use=use, certificate=certificate().thumbprint, request_id=request),
        )
    if outcome is not None:
        found.append(
            OutcomeEntry(run=run, time=time, use=use, outcome=outcome, digest=digest, algorithm="sha256", file=name),
        )
    return found


def write_ledger(path: Path, entries: Iterable[Entry]) -> LedgerFile:
    """The entries as lines of the ledger at `path`."""
    ledger = LedgerFile(path)
    for entry in entries:
        ledger.append(entry)
    return ledger
