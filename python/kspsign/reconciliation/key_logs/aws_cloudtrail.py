"""AWS CloudTrail: Sign events of AWS KMS.

Log files of a trail (gzip, `{"Records": [...]}`), and what `aws cloudtrail lookup-events` prints (`{"Events": [...]}`,
each with the event as text). The digest is not in them. Sources: docs/reference/key-logs.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kspsign.reconciliation.key_logs.errors import UnreadableRecordError
from kspsign.reconciliation.key_logs.fields import moment, section, text
from kspsign.reconciliation.key_logs.record import LogRecord

_WRAPPED: Final = "CloudTrailEvent"
_SERVICE: Final = "kms.amazonaws.com"


def is_cloudtrail(fields: Mapping[str, Any]) -> bool:
    """Whether a record is an event of CloudTrail."""
    return _WRAPPED in fields or ("eventSource" in fields and "eventName" in fields)


def cloudtrail_record(fields: Mapping[str, Any]) -> LogRecord:
    """What the event says. Raises UnreadableRecordError."""
    event = section(fields, _WRAPPED) if _WRAPPED in fields else fields
    written, name = text(event, "eventTime"), text(event, "eventName")
    if not written or not name:
        raise UnreadableRecordError("it has no eventTime or no eventName: it is not an event of CloudTrail")
    scope = f"{text(event, 'recipientAccountId')}/{text(event, 'awsRegion')}"
    time = moment(written)
    if name.lower() != "sign" or text(event, "eventSource").lower() != _SERVICE:
        return LogRecord("other", time, scope)
    identity = section(event, "userIdentity")
    return LogRecord(
        "refused" if text(event, "errorCode") else "use",
        time,
        scope,
        _key(event),
        text(identity, "arn", "userName", "principalId", "invokedBy"),
        text(event, "sourceIPAddress"),
        text(event, "requestID").lower(),
        event=text(event, "eventID"),
    )


def _key(event: Mapping[str, Any]) -> str:
    """The key's ARN; what the request called it where the event names no resource."""
    resources = event.get("resources")
    for resource in resources if isinstance(resources, list) else ():
        if isinstance(resource, Mapping) and ":key/" in text(resource, "ARN"):
            return text(resource, "ARN")
    return text(section(event, "requestParameters"), "keyId")
