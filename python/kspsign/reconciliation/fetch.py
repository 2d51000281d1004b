"""Ledgers that builds of Azure Pipelines attached; only our own task's words are read.

Any step can attach a file of any type: one whose step is not the KspSign task is named and not read. Attempts of a
build have timelines of their own, and what each of them signed counts.
"""

from __future__ import annotations

import io
from typing import Final

from kspsign.azure_devops import LEDGER_TYPE, AttachmentRef, AzureDevOps, Timeline, TimelineRecord
from kspsign.ledger.chain import LedgerFault
from kspsign.ledger.read import ledger_of
from kspsign.reconciliation.ledgers import Ledgers

_FOREIGN: Final = "it was attached by a step that is not the KspSign task: its lines count for nothing"


def fetch_ledgers(
    client: AzureDevOps, ledgers: Ledgers, definitions: tuple[int, ...], since: float, task_id: str
) -> list[int]:
    """Take in the ledgers of the builds of `definitions` that ended at `since` (seconds since 1970) or later, or still
    run; returns the builds without one. Raises PrerequisiteError when Azure DevOps can't be asked."""
    without = []
    for build_id in client.builds_since(definitions, since):
        timelines: dict[str, Timeline] = {}
        listed = client.attachments(build_id, LEDGER_TYPE)
        if not listed:
            without.append(build_id)
        for ref in listed:
            if ref.timeline_id not in timelines:
                timelines[ref.timeline_id] = client.timeline(build_id, ref.timeline_id)
            _fetch(client, ledgers, build_id, ref, timelines[ref.timeline_id].records.get(ref.record_id), task_id)
    return without


def _fetch(
    client: AzureDevOps,
    ledgers: Ledgers,
    build_id: int,
    ref: AttachmentRef,
    record: TimelineRecord | None,
    task_id: str,
) -> None:
    name = f"build {build_id}: {ref.name}"
    if record is None or record.kind != "Task" or record.task_id != task_id:
        ledgers.add(ledger_of(name, ()), (LedgerFault(0, "forged", _FOREIGN),))
    else:
        ledgers.take(name, io.BytesIO(client.attachment(build_id, ref)), str(build_id))
