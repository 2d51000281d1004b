"""Ledgers that builds of Azure Pipelines attached; only our own task's words are read.

Any step can attach a file of any type: one whose step is not the KspSign task is named and not read. Attempts of a
build have timelines of their own, and what each of them signed counts.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from kspsign.azure_devops import LEDGER_TYPE, AttachmentRef, AzureDevOps, Timeline
from kspsign.ledger.chain import ChainFault
from kspsign.ledger.read import Ledger, ledger_of, raw_lines

LARGEST: Final = 512 << 20
"""Bytes of one ledger, unpacked."""
_GZIP: Final = b"\x1f\x8b"
_FOREIGN: Final = "it was attached by a step that is not the KspSign task: its lines are nobody's"


class Fetched(NamedTuple):
    """A ledger that a build attached, and what is wrong with it besides its chain."""

    ledger: Ledger
    faults: tuple[ChainFault, ...]


def fetch_ledgers(
    client: AzureDevOps, definitions: tuple[int, ...], since: float, task_id: str, told: Callable[[str], None]
) -> Iterator[Fetched]:
    """The ledgers of the builds of `definitions` that ended at `since` (seconds since 1970) or later, or still run.

    `told` gets a line for each build without a ledger. Raises PrerequisiteError when Azure DevOps can't be asked.
    """
    for build_id in client.builds_since(definitions, since):
        timelines: dict[str, Timeline] = {}
        listed = client.attachments(build_id, LEDGER_TYPE)
        if not listed:
            told(f"build {build_id}: no ledger is attached")
        for ref in listed:
            yield _fetched(client, build_id, ref, task_id, timelines)


def _fetched(
    client: AzureDevOps, build_id: int, ref: AttachmentRef, task_id: str, timelines: dict[str, Timeline]
) -> Fetched:
    name = f"build {build_id}: {ref.name}"
    if ref.timeline_id not in timelines:
        timelines[ref.timeline_id] = client.timeline(build_id, ref.timeline_id)
    record = timelines[ref.timeline_id].records.get(ref.record_id)
    if record is None or record.kind != "Task" or record.task_id != task_id:
        return Fetched(ledger_of(name, ()), (ChainFault(0, "forged", _FOREIGN),))
    try:
        content = _unpacked(client.attachment(build_id, ref))
    except (OSError, EOFError, zlib.error) as broken:
        return Fetched(ledger_of(name, ()), (ChainFault(0, "unreadable", f"it can't be unpacked: {broken}"),))
    return Fetched(ledger_of(name, raw_lines(io.BytesIO(content))), ())


def _unpacked(content: bytes) -> bytes:
    """The lines, which a large ledger is packed with gzip for."""
    if not content.startswith(_GZIP):
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
        plain = packed.read(LARGEST + 1)
    if len(plain) > LARGEST:
        raise OSError(f"it has more than {LARGEST >> 20} MiB")
    return plain
