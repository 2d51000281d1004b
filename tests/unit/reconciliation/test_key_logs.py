"""The logs of key services in their documented shapes, and what is not one of them."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kspsign.model.errors import ConfigurationError
from kspsign.reconciliation.key_logs.read import KeyLog
from kspsign.reconciliation.key_logs.record import LogRecord
from support.key_logs.examples import (
    AUDIT_TABLE,
    DIAGNOSTICS,
    HOSTILE,
    SIGNATURE_LOG_COLUMNS,
    VAULT_KEY,
    artifact_signing,
    cloudtrail,
    google_cloud,
    key_vault,
    managed_hsm,
    signature_log_row,
)

DIGEST = bytes(range(32))
NO_COLUMNS: Mapping[str, str] = {}
KEY = VAULT_KEY.partition("://")[2]


def read(folder: Path, content: bytes | str, columns: Mapping[str, str] = NO_COLUMNS) -> tuple[KeyLog, list[LogRecord]]:
    """The log with that content, and its records."""
    path = folder / "log"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    log = KeyLog(path, None, columns)
    return log, [record for _place, record in log.records()]


def lines(*records: object) -> str:
    """Records as JSON lines."""
    return "".join(f"{json.dumps(record)}\n" for record in records)


def as_csv(*rows: Mapping[str, object]) -> str:
    """Rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


ONE = key_vault()
TABLES = {
    "tables": [
        {
            "name": "PrimaryResult",
            "columns": [{"name": name, "type": "string"} for name in AUDIT_TABLE],
            "rows": [[*AUDIT_TABLE.values()]],
        }
    ]
}


@pytest.mark.parametrize(
    ("content", "caller"),
    [
        (json.dumps({"records": [ONE]}, indent=4), "application 00001111-aaaa-2222-bbbb-3333cccc4444"),
        (lines(ONE), "application 00001111-aaaa-2222-bbbb-3333cccc4444"),
        (lines({"records": [ONE]}), "application 00001111-aaaa-2222-bbbb-3333cccc4444"),
        (json.dumps([AUDIT_TABLE]), "application 00001111-aaaa-2222-bbbb-3333cccc4444"),
        (json.dumps(TABLES), "application 00001111-aaaa-2222-bbbb-3333cccc4444"),
        (as_csv(AUDIT_TABLE), "application 00001111-aaaa-2222-bbbb-3333cccc4444"),
        (as_csv(DIAGNOSTICS), "ada@contoso.com"),
    ],
    ids=["storage document", "storage lines", "event hub", "table as JSON", "query API", "table as CSV", "portal CSV"],
)
def test_uses_of_a_key_vault(tmp_path: Path, content: str, caller: str) -> None:
    log, (record,) = read(tmp_path, content)
    assert (log.format, log.uses, log.unreadable) == ("azure-key-vault", 1, 0)
    assert (record.kind, record.scope, record.caller) == ("use", "contosokeyvault", caller)
    assert record.key in {KEY, "contosokeyvault.vault.azure.net/keys/code-signing/78de"}
    assert (record.request_id, record.digest) == ("4e1f2f5c-6a0f-4b0e-9a1d-0f6b5a1c7d11", None)
    assert (record.address, round(record.time, 3)) == ("104.40.82.76", 1772359200.123)


def test_use_of_a_managed_hsm(tmp_path: Path) -> None:
    log, (record,) = read(tmp_path, json.dumps([managed_hsm()], indent=2))
    assert (log.format, record.kind, record.scope) == ("azure-key-vault", "use", "contosomhsm")
    assert (record.key, record.caller) == ("contosomhsm.managedhsm.azure.net/keys/release/0a1b", "admin@contoso.com")
    assert record.request_id == "aaaa0000-bb11-2222-33cc-444444dddddd"


def test_only_signatures_that_were_made_are_uses(tmp_path: Path) -> None:
    log, records = read(
        tmp_path,
        lines(ONE, key_vault(status=403), key_vault(operation="KeyGet"), key_vault(operation="Authentication")),
    )
    assert [record.kind for record in records] == ["use", "refused", "other", "other"]
    assert (log.uses, log.refused, log.records_read) == (1, 1, 4)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_uses_of_aws_kms(tmp_path: Path, packed: bool) -> None:
    other = cloudtrail(eventName="Decrypt")
    denied = cloudtrail(errorCode="AccessDenied")
    content = json.dumps({"Records": [cloudtrail(), other, denied]}).encode()
    log, records = read(tmp_path, gzip.compress(content) if packed else content)
    assert (log.format, [record.kind for record in records]) == ("aws-cloudtrail", ["use", "other", "refused"])
    use = records[0]
    assert use.key == "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321"
    assert (use.scope, use.caller, use.address) == (
        "111122223333/us-west-2",
        "arn:aws:iam::111122223333:user/Alice",
        "192.0.2.0",
    )
    assert (use.request_id, use.digest) == ("8d0b35e0-46cf-48b9-be99-bf2ebc9ab9fb", None)


def test_events_that_were_looked_up(tmp_path: Path) -> None:
    event = {"EventId": "1", "EventName": "Sign", "CloudTrailEvent": json.dumps(cloudtrail())}
    log, (record,) = read(tmp_path, json.dumps({"Events": [event]}))
    assert (log.format, record.kind, record.request_id) == (
        "aws-cloudtrail",
        "use",
        "8d0b35e0-46cf-48b9-be99-bf2ebc9ab9fb",
    )
    log, _records = read(tmp_path, json.dumps({"Events": [event], "NextToken": "more"}))
    assert log.named[0][1] == "it is one page of several: the others are missing"


@pytest.mark.parametrize("digest", [DIGEST.hex(), DIGEST.hex().upper(), base64.b64encode(DIGEST).decode()])
def test_uses_of_google_cloud_kms(tmp_path: Path, digest: str) -> None:
    failed = google_cloud(digest, code=5)
    log, records = read(tmp_path, json.dumps([google_cloud(digest, reason="kspsign-1"), failed]))
    assert (log.format, [record.kind for record in records]) == ("google-cloud", ["use", "refused"])
    assert (records[0].digest, records[0].request_id, records[0].caller) == (DIGEST, "kspsign-1", "signer@example.com")
    assert (records[0].scope, records[0].address) == ("example-project", "203.0.113.7")


def test_signature_logs_of_digicert_one(tmp_path: Path) -> None:
    failed = signature_log_row(DIGEST.hex(), status="FAILED")
    log, records = read(tmp_path, f"{SIGNATURE_LOG_COLUMNS}\n{signature_log_row(DIGEST.hex())}\n{failed}\n")
    assert (log.format, [record.kind for record in records]) == ("digicert-one", ["use", "refused"])
    assert (records[0].digest, records[0].key, records[0].caller) == (DIGEST, "1234-abcd", "build@contoso.com")
    by_api = {
        "id": "6F1C",
        "keypair": {"id": "1234-abcd", "alias": "release"},
        "hash": base64.b64encode(DIGEST).decode(),
        "status": "SUCCESS",
        "created_on": "2026-03-01T10:00:00Z",
        "created_by": "build@contoso.com",
        "client_ip": "192.168.101.1",
    }
    log, (record,) = read(tmp_path, json.dumps({"total": 1, "items": [by_api]}))
    assert (log.format, record.request_id, record.digest) == ("digicert-one", "6f1c", DIGEST)
    assert record.key == "1234-abcd"
    log, records = read(tmp_path, json.dumps({"total": 500, "offset": 0, "limit": 1, "items": [by_api]}))
    assert (len(records), log.named[0][1]) == (1, "it is one page of several: the others are missing")


def test_audit_logs_of_digicert_one_have_no_digest(tmp_path: Path) -> None:
    rows = {"Date": "2026-03-01T10:00:00Z", "Action": "Sign", "Resource type": "KEYPAIR", "Resource ID": "1234-abcd"}
    rows |= {"Status": "Success", "User": "build@contoso.com", "Client IP": "192.168.101.1", "ID": "77"}
    log, records = read(tmp_path, as_csv(rows, {**rows, "Action": "Generate CSR"}))
    assert (log.format, [record.kind for record in records]) == ("digicert-one", ["use", "other"])
    assert (records[0].digest, records[0].request_id, records[0].key) == (None, "", "1234-abcd")


def test_sign_transactions_of_artifact_signing(tmp_path: Path) -> None:
    log, records = read(tmp_path, lines(artifact_signing("A1B2"), artifact_signing("A1B3", digest=DIGEST.hex())))
    assert (log.format, [record.kind for record in records]) == ("azure-artifact-signing", ["use", "use"])
    assert [(record.key, record.request_id, record.digest) for record in records] == [
        ("contoso/release", "a1b2", None),
        ("contoso/release", "a1b3", DIGEST),
    ]


def test_any_log_with_named_columns(tmp_path: Path) -> None:
    log, records = read(tmp_path, f"time,key,digest,caller,result\n2026-03-01T10:00:00,release,{DIGEST.hex()},ada,ok\n")
    assert (log.format, records[0].kind, records[0].digest, records[0].time) == ("csv", "use", DIGEST, 1772359200.0)
    columns = {"time": "When", "request_id": "Ticket", "result": "Done"}
    log, records = read(tmp_path, "When;Ticket\n", columns)
    assert records == []
    log, records = read(tmp_path, "When,Ticket,Done\n2026-03-01,T-1,true\n2026-03-01,T-2,false\n", columns)
    assert [(record.kind, record.request_id) for record in records] == [("use", "t-1"), ("refused", "t-2")]


def test_a_log_as_powershell_writes_it(tmp_path: Path) -> None:
    log, records = read(tmp_path, lines(ONE).encode("utf-16"))
    assert (log.format, len(records), log.unreadable) == ("azure-key-vault", 1, 0)


PACKED = gzip.compress(lines(*[key_vault(str(number)) for number in range(2000)]).encode())
BAD_LINES: Sequence[tuple[str, str]] = [
    ("{", "the line is not JSON"),
    ('{"time": ', "the line is not JSON"),
    ("[1]", "it is list, and not an object"),
    (json.dumps({**ONE, "time": "yesterday"}), "its time is not one: 'yesterday'"),
    (json.dumps({**ONE, "time": "9999-12-31T23:59:59-23:59"}), "its time is not one: '9999"),
    (json.dumps({**ONE, "time": "0001-01-01T00:00:00Z"}), "its time is not one: '0001"),
    (json.dumps({**ONE, "time": None}), "it has no time or no operationName"),
    (json.dumps({**ONE, "operationName": ""}), "it has no time or no operationName"),
    (json.dumps({**ONE, "resultType": "Perhaps", "properties": {}}), "neither a success nor a failure: 'Perhaps'"),
    ("[" * 100_000, "the line is not JSON"),
    ("\x00\xff", "the line is not JSON"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_record_that_cannot_be_read_is_counted_and_named(tmp_path: Path, line: str, reason: str) -> None:
    log, records = read(tmp_path, f"{lines(ONE)}{line}\n{lines(ONE)}")
    assert (len(records), log.unreadable) == (2, 1)
    assert log.named[0][0] == 2
    assert reason in log.named[0][1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (json.dumps({"records": [ONE, ONE]})[:-40], "what comes after it is lost"),
        (json.dumps([ONE, ONE])[:-1], "the file ends within a list: it was cut off"),
        (f'{{"records": [{json.dumps(ONE)}, x]}}', "what comes after it is lost"),
        (PACKED[:-300], "the rest of the file can't be read"),
        (f"{as_csv(AUDIT_TABLE)}1,2,3\r\n", "the row has 3 columns, the header 11"),
        (f'{as_csv(AUDIT_TABLE)}"unended', "the row is not CSV"),
        (json.dumps({"tables": [{"columns": [{"name": "a"}], "rows": [[1, 2]]}]}), "not an answer of Azure Monitor"),
    ],
    ids=["cut object", "cut list", "broken value", "cut gzip", "short row", "open quote", "foreign table"],
)
def test_a_file_that_was_cut_off_is_not_whole(tmp_path: Path, content: bytes | str, reason: str) -> None:
    log, _records = read(tmp_path, content)
    assert log.unreadable == 1
    assert reason in log.named[0][1]


def test_an_unknown_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the first record is of no log that is known; it has a, b") as refused:
        read(tmp_path, lines({"a": 1, "b": 2}))
    assert "--log-column time=Date" in refused.value.remedy
    with pytest.raises(ConfigurationError, match="can't be read"):
        next(KeyLog(tmp_path / "missing", None).records())


def test_hostile_fields_are_texts(tmp_path: Path) -> None:
    nested: dict[str, Any] = {}
    for _level in range(700):
        nested = {"upn": nested}
    hostile: list[dict[str, Any]] = [
        key_vault(HOSTILE, application=HOSTILE),
        {**ONE, "identity": HOSTILE, "callerIpAddress": {"a": 1}, "correlationId": ["x"]},
        {**ONE, "identity": {"claim": []}, "durationMs": float("nan")},
        {**ONE, "properties": {**ONE["properties"], "requestUri": "x" * 100_000, "id": None}},
        {**ONE, "callerIpAddress": nested, "correlationId": nested, "identity": {"claim": nested}},
    ]
    log, records = read(tmp_path, lines(*hostile))
    assert (len(records), log.unreadable) == (5, 0)
    assert records[0].caller == f"application {HOSTILE}"
    assert records[3].key == ""
    assert all(record.kind == "use" for record in records)
