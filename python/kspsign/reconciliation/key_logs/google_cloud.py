"""Cloud Audit Logs of Google Cloud: AsymmetricSign of Cloud KMS (Data Access logs).

As `gcloud logging read --format=json` prints them and as a sink writes them (JSON lines). The digest is in them, in hex
as recorded, in base64 as the API's JSON has bytes. `requestAttributes.reason` is what the client gave as its reason.
Sources: docs/reference/key-logs.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kspsign.reconciliation.key_logs.errors import UnreadableRecordError
from kspsign.reconciliation.key_logs.fields import digest, moment, section, text
from kspsign.reconciliation.key_logs.record import LogRecord

_SERVICE: Final = "cloudkms.googleapis.com"
_METHOD: Final = "asymmetricsign"


def is_google_cloud(fields: Mapping[str, Any]) -> bool:
    """Whether a record is an entry of Cloud Audit Logs."""
    return "protoPayload" in fields


def google_cloud_record(fields: Mapping[str, Any]) -> LogRecord:
    """What the entry says. Raises UnreadableRecordError."""
    payload, written = section(fields, "protoPayload"), text(fields, "timestamp")
    if not written or not payload:
        raise UnreadableRecordError("it has no timestamp or no protoPayload: it is not an entry of Cloud Audit Logs")
    resource = text(payload, "resourceName")
    scope = resource.split("/")[1] if resource.startswith("projects/") else ""
    time, method = moment(written), text(payload, "methodName")
    if text(payload, "serviceName") != _SERVICE or method.rpartition(".")[2].lower() != _METHOD:
        return LogRecord("other", time, scope)
    metadata, request = section(payload, "requestMetadata"), section(payload, "request")
    values = section(request, "digest")
    return LogRecord(
        "use" if text(section(payload, "status"), "code") in {"", "0"} else "refused",
        time,
        scope,
        resource or text(request, "name"),
        text(section(payload, "authenticationInfo"), "principalEmail", "principalSubject"),
        text(metadata, "callerIp"),
        text(section(metadata, "requestAttributes"), "reason").lower(),
        digest(text(values, "sha256", "sha384", "sha512")),
        f"{text(fields, 'insertId')} {written}",
    )
