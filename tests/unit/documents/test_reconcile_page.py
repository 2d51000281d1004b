"""docs/how-to/reconcile.md and docs/reference/key-logs.md name what there is."""

from __future__ import annotations

import re
from typing import get_args

from kspsign.reconciliation.key_logs.named_columns import COLUMNS
from kspsign.reconciliation.key_logs.read import LogFormat
from kspsign.reconciliation.schema import ReconciliationRecord
from kspsign.reconciliation.settings import RECONCILE_INTERNAL_FIELDS, ReconcileSettings
from kspsign.reconciliation.tables import MATCHES, REASONS
from kspsign.settings.faults import option_name
from support.places import ROOT

PAGE = (ROOT / "docs" / "how-to" / "reconcile.md").read_text(encoding="utf-8")
LOGS = (ROOT / "docs" / "reference" / "key-logs.md").read_text(encoding="utf-8")


def rows(page: str, heading: str) -> set[str]:
    """The names in the first column of the first table after a heading."""
    table = re.search(r"(?:^\|.*\n)+", page[page.index(heading) :], re.MULTILINE)
    assert table is not None
    return {name for line in table[0].splitlines()[2:] for name in re.findall(r"`([^`]+)`", line.split("|")[1])}


def test_every_option_is_described() -> None:
    fields = set(ReconcileSettings.model_fields) - RECONCILE_INTERNAL_FIELDS
    assert rows(PAGE, "## Options") == {option_name(name) for name in fields}


def test_every_format_and_column_is_described() -> None:
    assert set(re.findall("^`--log-format ([a-z-]+)`", LOGS, re.MULTILINE)) == set(get_args(LogFormat))
    assert set(get_args(ReconcileSettings.model_fields["log_format"].annotation)) == {"auto", *get_args(LogFormat)}
    assert all(f"`{column}`" in LOGS for column in COLUMNS)


def test_every_key_of_the_report_is_described() -> None:
    described = rows(LOGS, "## The report")
    assert described | {"schema", "tool"} == set(ReconciliationRecord.__annotations__)
    assert all(f"`{match}`" in LOGS for match in MATCHES if match != "none")
    assert all(f"`{reason}`" in LOGS for reason in REASONS if reason not in {"", "repeated"})
