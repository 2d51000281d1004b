"""One record of a key's log, the same for every service."""

from __future__ import annotations

from typing import Literal, NamedTuple

RecordKind = Literal["use", "refused", "other"]
"""A signature that the key made; a signature that was asked for and not made; anything else."""


class LogRecord(NamedTuple):
    """What a record says. `time` is in seconds since 1970 (UTC); texts are "" where the log does not have them.

    `scope` is the part of the service whose log it is (a vault, an account and region, a project), `key` the service's
    own name of the key. `request_id` is what kspsign notes for a request of this service, `digest` what was signed,
    `event` what distinguishes a record that was exported twice from two records.
    """

    kind: RecordKind
    time: float
    scope: str = ""
    key: str = ""
    caller: str = ""
    address: str = ""
    request_id: str = ""
    digest: bytes | None = None
    event: str = ""
