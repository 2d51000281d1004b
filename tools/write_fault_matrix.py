"""Write docs/fault-matrix.md from the results of the last run of the fault matrix; that run compares the two."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROWS = ROOT / "build" / "fault-matrix.json"
PAGE = ROOT / "docs" / "fault-matrix.md"

HEAD = """# Fault matrix

{count} faults, each injected into a whole `kspsign` run on Windows: what the run answers, what it costs, and what
becomes of the files. The rows are what the last test run saw.

<!-- Written by tools/write_fault_matrix.py from build/fault-matrix.json, which tests/windows_lab/test_fault_matrix.py
writes. -->

The runs are those of Windows CPython and Microsoft's own SignTool under Wine, with stand-ins for smctl and the KSP
and a timestamp server on the loopback interface; [what the lab is](../tests/windows_lab/lab/README.md) says what that
proves and what it doesn't.

- **Exit**: the exit code. 0 passed; 1 some files were not signed; 2 verification failed; 4 no file matched;
  5 a prerequisite is missing, nothing was signed; 6 no file was signed.
- **Cause**, **Remedy**: as the run reports them. THUMBPRINT, DIGEST, PORT and FOLDER replace values that change.
- **Paid**: signatures that the key store gave, counted in its own log; the report's `signatures_used` was the same.
- **Files**: signed and verified, or byte for byte as they were. There was no third kind in any run, and no temporary
  copy was left behind.
"""
COLUMNS = "| Fault | Exit | Code | Cause | Remedy | Paid | Files |\n| --- | ---: | --- | --- | --- | ---: | --- |\n"

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def page(rows: Rows) -> str:
    """The page for the rows of each group."""
    tables = [f"\n## {name}\n\n{COLUMNS}{''.join(map(_line, group))}" for name, group in rows.items()]
    return HEAD.format(count=sum(map(len, rows.values()))) + "".join(tables)


def _line(row: Mapping[str, Any]) -> str:
    kinds = ((row["signed"], "signed"), (row["untouched"], "untouched"))
    files = ", ".join(f"{count:,} {kind}" for count, kind in kinds if count)
    code = f"`{row['code']}`" if row["code"] else "passes"
    cells = (
        *(_cell(row["fault"]), row["exit_code"], code, _cell(row["cause"]), _cell(row["remedy"])),
        *(f"{row['paid']:,}", files),
    )
    return "| " + " | ".join(map(str, cells)) + " |\n"


def _cell(text: str) -> str:
    """`text` with what Markdown would take for its own made plain; code in backticks stays as it is."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", r"\|"))
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    text = re.sub(r"([\\*_\[\]])(?!\|)", r"\\\1", text)
    return text.replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(ROWS.read_text(encoding="utf-8"))), encoding="utf-8", newline="\n")
    print(PAGE)
