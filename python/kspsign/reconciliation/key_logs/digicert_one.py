"""DigiCert ONE (KeyLocker, Software Trust Manager): signature logs and audit logs, as CSV and JSON.

A signature log has the hash; an audit log has not. The portal and the API write the same fields with other spellings
("Keypair ID", "keypair_id", nested as "keypair": {"id": ...}), so that names are compared by their letters and digits.
Sources: docs/reference/key-logs.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kspsign.reconciliation.key_logs.errors import UnreadableRecordError
from kspsign.reconciliation.key_logs.fields import digest, moment, succeeded, text
from kspsign.reconciliation.key_logs.record import LogRecord

_TIMES: Final = ("date", "signedon", "createdon", "createdat", "signaturedate", "timestamp")
_STATUS: Final = ("status", "signaturestatus", "eventstatus")
_CALLERS: Final = ("signer", "user", "username", "createdbyname", "createdby", "creator", "userid")
_KEYS: Final = ("keypairid", "resourceid", "keypairalias")
_ADDRESSES: Final = ("clientip", "clientipaddress")
_IDS: Final = ("signatureid", "id", "eventid")
_ACTION: Final = "action"
_RESOURCE: Final = "resourcetype"
_HASH: Final = "hash"


def is_digicert_one(fields: Mapping[str, Any]) -> bool:
    """Whether a record is one of such a log."""
    names = {_bare(name) for name in fields}
    signature_log = _HASH in names and bool(names & {"keypairid", "keypairalias", "keypair"})
    return signature_log or {_ACTION, _RESOURCE} <= names


def digicert_one_record(fields: Mapping[str, Any]) -> LogRecord:
    """What the record says. Raises UnreadableRecordError."""
    known = _flat(fields)
    written = text(known, *_TIMES)
    if not written:
        raise UnreadableRecordError("it has no date: it is not a record of DigiCert ONE")
    time, action = moment(written), text(known, _ACTION)
    if action and action.lower() != "sign":
        return LogRecord("other", time)
    identifier = text(known, *_IDS).lower()
    return LogRecord(
        "use" if succeeded(text(known, *_STATUS)) else "refused",
        time,
        "",
        text(known, *_KEYS).lower(),
        text(known, *_CALLERS),
        text(known, *_ADDRESSES),
        "" if action else identifier,
        digest(text(known, _HASH)),
        identifier,
    )


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by their bare names; those of an object inside carry its name in front."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            found |= {_bare(name) + _bare(inner): item for inner, item in value.items()}
        else:
            found[_bare(name)] = value
    return found


def _bare(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())
