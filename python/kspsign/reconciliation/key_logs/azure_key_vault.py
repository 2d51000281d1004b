"""AuditEvent logs of Azure Key Vault and Managed HSM.

As archived to a storage account (`insights-logs-auditevent`), and as rows of the tables AZKVAuditLogs and
AzureDiagnostics of a Log Analytics workspace. The digest is not in them. `correlationId` is the id that the client
gave its request. Sources: docs/reference/key-logs.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from kspsign.reconciliation.key_logs.errors import UnreadableRecordError
from kspsign.reconciliation.key_logs.fields import moment, section, succeeded, text
from kspsign.reconciliation.key_logs.record import LogRecord

TIMES: Final = ("time", "TimeGenerated", "TimeGenerated [UTC]")
"""Spellings of the time in exports of Azure Monitor."""
OPERATIONS: Final = ("operationName", "OperationName")
CATEGORIES: Final = ("category", "Category")
RESOURCES: Final = ("resourceId", "ResourceId", "_ResourceId")
_SIGN: Final = "keysign"
_KEY: Final = re.compile(
    r"https://([^/:?#]+)(?::\d+)?/keys/([^/?#]+)(?:/([^/?#]+))??(?:/sign)?/?(?:[?#].*)?", re.IGNORECASE
)
_DOUBLED: Final = re.compile("(?<=[^:])/{2,}")
"""Slashes that a server may take for one."""
_NAMES: Final = ("upn", "unique_name", "name")
_APPLICATIONS: Final = ("appid", "azp")
_OBJECTS: Final = ("objectidentifier", "oid")
_COLUMN: Final = "identity_claim_"
_DEEPEST: Final = 3
"""Objects within objects that claims are looked for in."""


def is_key_vault(fields: Mapping[str, Any]) -> bool:
    """Whether a record is one of such a log."""
    if text(fields, "Type") == "AZKVAuditLogs":
        return True
    of_vault = "/MICROSOFT.KEYVAULT/" in text(fields, *RESOURCES).upper()
    return of_vault and text(fields, *CATEGORIES) in {"AuditEvent", ""}


def key_vault_record(fields: Mapping[str, Any]) -> LogRecord:
    """What the record says. Raises UnreadableRecordError."""
    written = text(fields, *TIMES)
    operation = text(fields, *OPERATIONS)
    if not operation or not written:
        raise UnreadableRecordError("it has no time or no operationName: it is not a record of Azure Key Vault")
    time, scope = moment(written), resource_name(fields)
    if operation.lower() != _SIGN:
        return LogRecord("other", time, scope)
    properties = section(fields, "properties", "Properties")
    uri = text(properties, "requestUri") or text(fields, "requestUri", "RequestUri", "requestUri_s")
    host, key = _key(uri) or _key(text(properties, "id") or text(fields, "id", "Id", "id_s")) or ("", "")
    request = text(fields, "correlationId", "CorrelationId", "correlationId_g").lower()
    return LogRecord(
        "use" if _made(fields, properties) else "refused",
        time,
        scope or host.partition(".")[0],
        key,
        caller(fields),
        text(fields, "callerIpAddress", "CallerIpAddress", "CallerIPAddress"),
        request,
        event=f"{written} {request} {uri} {text(fields, 'durationMs', 'DurationMs')}",
    )


def resource_name(fields: Mapping[str, Any]) -> str:
    """The name of the vault, HSM or account, from the id of the resource."""
    return text(fields, *RESOURCES).rpartition("/")[2].lower()


def caller(fields: Mapping[str, Any]) -> str:
    """Who asked, by the claims of the token: the person, else the application, else the object's id."""
    known = dict(_claims(section(section(fields, "identity", "Identity"), "claim"), _DEEPEST))
    for name, value in fields.items():
        if name.startswith(_COLUMN) and value:
            known.setdefault(name[len(_COLUMN) : -2].rpartition("claims_")[2], str(value))
    for prefix, names in (("", _NAMES), ("application ", _APPLICATIONS), ("object ", _OBJECTS)):
        found = next((known[name] for name in names if known.get(name)), "")
        if found:
            return prefix + found
    return ""


def _claims(claims: Mapping[str, Any], depth: int) -> Iterator[tuple[str, str]]:
    """The claims by the last part of their names: those of Managed HSM are nested, others are URLs."""
    for name, value in claims.items():
        if isinstance(value, Mapping):
            if depth:
                yield from _claims(value, depth - 1)
        elif isinstance(value, str):
            yield name.rpartition("/")[2], value[:256]


def _made(fields: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    status = text(properties, "httpStatusCode") or text(fields, "httpStatusCode", "HttpStatusCode", "httpStatusCode_d")
    return succeeded(status.removesuffix(".0") or text(fields, "resultType", "ResultType"))


def _key(uri: str) -> tuple[str, str] | None:
    found = _KEY.fullmatch(uri)
    if found is None or "%" in uri:
        found = _KEY.fullmatch(_DOUBLED.sub("/", unquote(uri)))
    if found is None:
        return None
    host, name, version = (part.lower() if part else "" for part in found.groups())
    return host, f"{host}/keys/{name}" + (f"/{version}" if version and version != "sign" else "")
