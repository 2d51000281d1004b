"""Uses of the key in records that are shaped so that they are taken for another use, for none, or for nothing at all.

The ledger has one signature. Whatever the thief's record looks like, its use is unaccounted or the comparison is
incomplete: it never passes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.key_logs.asking import Said, reconcile
from support.key_logs.examples import artifact_signing, cloudtrail, google_cloud, key_vault
from support.ledgers import run_entry, use_entries, write_ledger

OURS = hashlib.sha256(b"app.dll").hexdigest()
THEIRS = hashlib.sha256(b"evil.dll").hexdigest()
ROW = {
    "time": "2026-03-01T10:00:00Z",
    "key": "code-signing",
    "caller": "build",
    "address": "192.0.2.7",
    "request_id": "r-1",
    "digest": OURS,
    "result": "success",
}
REQUEST = key_vault()["correlationId"]


def compared(folder: Path, *contents: str, **options: Any) -> Said:
    """Compare logs of that content with the ledger of one signature."""
    ledger = folder / "ledger.jsonl"
    if not ledger.exists():
        write_ledger(ledger, [run_entry(), *use_entries(1, "app.dll", request=REQUEST)])
    logs = tuple(folder / f"log{number}" for number in range(len(contents)))
    for log, content in zip(logs, contents, strict=True):
        log.write_text(content, encoding="utf-8")
    return reconcile(folder, ledger=(ledger,), key_log=logs, **options)


def rows(*records: Mapping[str, object]) -> str:
    """Records as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*records[0]])
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def lines(*records: object) -> str:
    """Records as JSON lines."""
    return "".join(f"{json.dumps(record)}\n" for record in records)


def totals(said: Said) -> tuple[int, int, int]:
    """Uses, those that are unaccounted, and records that were there twice."""
    assert said.report is not None
    counts = said.report["totals"]
    return counts["uses"], counts["unaccounted"], counts["repeated"]


def test_the_use_of_the_build_alone_passes(tmp_path: Path) -> None:
    for content in (rows(ROW), lines(ROW), lines(key_vault())):
        assert compared(tmp_path, content).code == 0
    assert totals(compared(tmp_path, rows(ROW), rows(ROW))) == (1, 0, 1), "two exports overlap"


@pytest.mark.parametrize(
    ("column", "other"), [("digest", THEIRS), ("key", "other"), ("caller", "thief"), ("address", "203.0.113.9")]
)
def test_a_record_that_differs_in_anything_is_a_use_of_its_own(tmp_path: Path, column: str, other: str) -> None:
    """Though time and request id are those of the build's use."""
    said = compared(tmp_path, rows(ROW, {**ROW, column: other}))
    assert (said.code, totals(said)) == (8, (2, 1, 0))


@pytest.mark.parametrize("theirs", [OURS, THEIRS, ""], ids=["same-digest", "other-digest", "audit"])
def test_records_without_an_id_are_never_taken_for_one(tmp_path: Path, theirs: str) -> None:
    """Two signatures within one second, in a log of DigiCert ONE that was exported without its column of ids."""
    row = {"Date": ROW["time"], "Status": "SUCCESS", "Signer": "build", "Keypair alias": "code-signing", "Hash": OURS}
    said = compared(tmp_path, rows(row, {**row, "Hash": theirs}))
    assert (said.code, totals(said)) == (8, (2, 1, 0))


@pytest.mark.parametrize("size", [20, 32, 48, 64])
def test_a_digest_of_zeros_is_a_digest(tmp_path: Path, size: int) -> None:
    """The time of a signature does not match it: its digest is in no ledger."""
    said = compared(tmp_path, rows({**ROW, "digest": "00" * size, "request_id": ""}))
    assert (said.code, totals(said)) == (8, (1, 1, 0))


@pytest.mark.parametrize(("result", "code"), [("201", 8), ("204", 8), ("100", 2), ("999", 2), ("404", 0), ("503", 0)])
def test_every_success_of_http_is_a_use(tmp_path: Path, result: str, code: int) -> None:
    assert compared(tmp_path, rows(ROW, {**ROW, "digest": THEIRS, "result": result})).code == code


@pytest.mark.parametrize("key", ["code-signing", "contosokeyvault.vault.azure.net"])
@pytest.mark.parametrize(
    "path", ["/keys/code%2Dsigning/v/sign", "//keys//code-signing/v/sign", "/%6beys/code-signing/v/sign", "/", "?x"]
)
def test_a_filter_of_keys_leaves_out_no_use_whose_record_hides_the_key(tmp_path: Path, path: str, key: str) -> None:
    theirs = key_vault("b" * 32)
    theirs["properties"] |= {"requestUri": f"https://contosokeyvault.vault.azure.net{path}", "id": ""}
    said = compared(tmp_path, lines(key_vault(), theirs), key=(key,))
    assert (said.code, totals(said)) == (8, (2, 1, 0))


FOREIGN: dict[str, Callable[[], dict[str, Any]]] = {
    "vault": lambda: key_vault("b" * 32),
    "artifact-signing": lambda: artifact_signing("b" * 32),
    "cloudtrail": cloudtrail,
    "google": lambda: google_cloud(THEIRS),
}


@pytest.mark.parametrize("second", FOREIGN)
@pytest.mark.parametrize("first", FOREIGN)
def test_a_record_of_another_service_is_not_taken_for_no_use(tmp_path: Path, first: str, second: str) -> None:
    """A workspace may export the tables of several services into one file."""
    said = compared(tmp_path, lines(FOREIGN[first](), FOREIGN[second]()))
    assert said.report is not None
    log = said.report["logs"][0]
    assert log["uses"] + log["unreadable"] == 2
    assert bool(log["unreadable"]) is (first != second)
    assert said.code in {2, 8}


@pytest.mark.parametrize("name", ["KEYSIGN", "keySign"])
def test_the_spelling_of_an_operation_hides_nothing(tmp_path: Path, name: str) -> None:
    theirs = {**key_vault("b" * 32), "operationName": name}
    assert compared(tmp_path, lines(key_vault(), theirs)).code == 8


@pytest.mark.parametrize("name", ["value", "items", "entries", "total", "limit", "nextLink", "NextToken"])
@pytest.mark.parametrize("at_first", [False, True])
def test_a_field_with_the_name_of_a_list_hides_no_record(tmp_path: Path, name: str, *, at_first: bool) -> None:
    theirs = {name: 0, **ROW, "digest": THEIRS}
    both: Sequence[object] = (theirs, ROW) if at_first else (ROW, theirs)
    assert totals(compared(tmp_path, lines(*both))) == (2, 1, 0)


def test_a_second_list_in_a_document_is_not_left_out(tmp_path: Path) -> None:
    for name, code in (("Records", 8), ("more", 2)):
        said = compared(tmp_path, json.dumps({"records": [ROW], name: [{**ROW, "digest": THEIRS}]}))
        assert said.code == code
    assert compared(tmp_path, json.dumps({"records": [ROW], "tags": ["a"], "context": "b"})).code == 0


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\u2028", "=cmd|' /C calc'!A0"])
def test_no_text_of_a_caller_stops_the_comparison(tmp_path: Path, text: str) -> None:
    theirs = {**ROW, "request_id": text, "caller": text, "key": text, "digest": THEIRS}
    assert totals(compared(tmp_path, lines(ROW, theirs))) == (2, 1, 0)
    vault = {**key_vault(text), "callerIpAddress": text}
    assert compared(tmp_path, lines(key_vault(), vault)).code == 8
