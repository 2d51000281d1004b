"""Many ledgers and a long log that belong together, for times and memory: as a release team's month leaves them."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from kspsign.ledger.chain import LedgerAnchor, chained
from kspsign.ledger.entries import Entry
from support.key_logs.examples import key_vault
from support.key_logs.stories import KEY, moment, request_id
from support.ledgers import build, run_entry, use_entries

UNKNOWN = 3
"""Uses that no build accounts for."""


class Scale(NamedTuple):
    """The files, and how many uses the log has."""

    ledgers: list[Path]
    log: Path
    uses: int


def write_scale(folder: Path, ledgers: int, signatures: int, lines: int) -> Scale:
    """`ledgers` builds with as many `signatures` each, and a log of `lines` records: other operations fill up what
    signatures leave."""
    paths = []
    used = ledgers * signatures + UNKNOWN
    others = iter(range(lines - used))
    fill, rest = divmod(lines - used, ledgers)
    (folder / "ledgers").mkdir(parents=True)
    log = folder / "log.json"
    with log.open("w", encoding="utf-8") as target:
        for number in range(ledgers):
            names = [f"out/bin/module{at}/file{number}.dll" for at in range(signatures)]
            paths.append(folder / "ledgers" / f"{number}.jsonl")
            _write_ledger(paths[-1], number, names)
            records = [key_vault(request_id((number, name)), moment(number + 0.1)) for name in names]
            records += [key_vault(f"other-{at}", moment(number), operation="KeyGet") for at in islice(others, fill)]
            target.writelines(f"{json.dumps(record)}\n" for record in records)
        records = [key_vault(f"stolen-{at}", moment(at)) for at in range(UNKNOWN)]
        records += [key_vault(f"other-{at}", moment(ledgers), operation="KeyGet") for at in islice(others, rest)]
        target.writelines(f"{json.dumps(record)}\n" for record in records)
    return Scale(paths, log, used)


def _write_ledger(path: Path, number: int, names: list[str]) -> None:
    entries: list[Entry] = [run_entry(number, moment(number), build=build(number), key=KEY)]
    for name in names:
        entries += use_entries(number, name, time=moment(number + 0.1), request=request_id((number, name)))
    anchor, content = LedgerAnchor(), []
    for entry in entries:
        line, anchor = chained(anchor, entry)
        content.append(line)
    path.write_bytes(b"".join(content))
