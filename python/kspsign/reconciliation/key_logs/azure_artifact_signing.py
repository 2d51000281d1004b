"""Sign transactions of Azure Artifact Signing (diagnostic category SignTransactions).

Microsoft documents the category, its container and the common schema of resource logs, not the properties: names that
say digest, hash or operation are looked for. Sources: docs/reference/key-logs.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kspsign.reconciliation.key_logs.azure_key_vault import (
    CATEGORIES,
    OPERATIONS,
    RESOURCES,
    TIMES,
    caller,
    resource_name,
)
from kspsign.reconciliation.key_logs.errors import UnreadableRecordError
from kspsign.reconciliation.key_logs.fields import digest, moment, section, succeeded, text
from kspsign.reconciliation.key_logs.record import LogRecord

CATEGORY: Final = "SignTransactions"
_DIGESTS: Final = ("digest", "digest_s", "Digest")
_OPERATION_IDS: Final = ("operationId", "operationId_g", "operationId_s", "OperationId")
_PROFILES: Final = (
    "certificateProfileName",
    "certificateProfileName_s",
    "CertificateProfileName",
    "certificateProfile",
)


def is_artifact_signing(fields: Mapping[str, Any]) -> bool:
    """Whether a record is one of such a log."""
    of_account = "/MICROSOFT.CODESIGNING/" in text(fields, *RESOURCES).upper()
    return of_account or text(fields, *CATEGORIES) == CATEGORY


def artifact_signing_record(fields: Mapping[str, Any]) -> LogRecord:
    """What the record says. Raises UnreadableRecordError."""
    written = text(fields, *TIMES)
    if not written:
        raise UnreadableRecordError("it has no time: it is not a record of Azure Artifact Signing")
    time, scope = moment(written), resource_name(fields)
    if text(fields, *CATEGORIES) not in {CATEGORY, ""}:
        return LogRecord("other", time, scope)
    properties = section(fields, "properties", "Properties", "properties_s")
    everything = {**fields, **properties}
    result = text(fields, "resultType", "ResultType") or text(properties, "status", "result")
    made = succeeded(result) if result else True
    profile = text(everything, *_PROFILES)
    request = text(everything, *_OPERATION_IDS).lower()
    return LogRecord(
        "use" if made else "refused",
        time,
        scope,
        f"{scope}/{profile.lower()}" if profile else scope,
        caller(fields),
        text(fields, "callerIpAddress", "CallerIpAddress", "CallerIPAddress"),
        request,
        digest(text(everything, *_DIGESTS)),
        f"{written} {request} {text(fields, 'correlationId', 'CorrelationId')} {text(fields, *OPERATIONS)}",
    )
