"""Every use of the key is in the ledger, in the report and in the build's attachment, whatever became of it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kspsign.ledger.chain import LedgerAnchor
from kspsign.ledger.entries import Entry, ReusedEntry, RotatedEntry, RunEntry
from kspsign.ledger.read import KeyUse, key_uses, ledger_of, read_ledger
from support.azure_devops.uploads import step_variables, uploads
from support.digicert_one import wire
from support.digicert_one.answers import Response
from support.digicert_one.fixture import Host, running
from support.digicert_one.server import Fault
from support.digicert_one.world import DAY, NOW
from support.formats.peimages import build_pe
from support.samples import Run, kspsign_at

KEY = ("--key-store", "keylocker", "--keypair-alias", "release", "--no-timestamp", "--jobs", "2")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """KeyLocker with one key."""
    folder = tmp_path / "host"
    folder.mkdir()
    with running(folder) as service:
        service.world.add_certificate(service.world.add_keypair("release"), "code")
        yield service


def files(folder: Path, *contents: str) -> list[str]:
    """Images with these contents, named in order."""
    names = [f"{number}.dll" for number in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (folder / name).write_bytes(build_pe(overlay=content.encode()))
    return names


def sign(host: Host, folder: Path, *options: object, environment: dict[str, str] | None = None) -> Run:
    """A run as a step of a job has it."""
    common = ("--trust-root", host.root, "--store", folder / "store", "--ledger", folder / "ledger.jsonl")
    given = {**host.environment, **(environment or {})}
    return kspsign_at("run", "*.dll", *KEY, *common, *options, folder=folder, environment=given)


def ledger(folder: Path) -> tuple[list[KeyUse], tuple[Entry, ...]]:
    """The uses and the entries of the ledger, whose chain holds."""
    read = read_ledger(folder / "ledger.jsonl")
    assert read.faults == ()
    return key_uses(read.entries), read.entries


def test_each_signature_is_matched_with_its_file(host: Host, tmp_path: Path) -> None:
    names = files(tmp_path, "one", "two", "two")
    done = sign(host, tmp_path)
    assert done.code == 0, done.text
    uses, entries = ledger(tmp_path)
    assert [use.outcome for use in uses] == ["embedded"] * 2
    assert sorted(file for use in uses for file in use.files) == names
    requests = {request for file in done.report["files"] for request in file["request_ids"]}
    assert {use.request_id for use in uses} == requests
    assert {use.certificate for use in uses} == {done.report["certificate"]["thumbprint"]}
    facts = done.report["ledger"]
    assert (facts["asked"], facts["outcomes"]) == (2, {"embedded": 2})
    assert [use["digest"] for use in facts["uses"]] == [use.digest for use in uses]
    assert (
        LedgerAnchor(facts["anchor"]["number"], facts["anchor"]["sha256"])
        == read_ledger(tmp_path / "ledger.jsonl").anchor
    )
    begun, end = entries[0], entries[-1]
    assert isinstance(begun, RunEntry)
    assert (begun.key.store, begun.key.alias, end.kind) == ("keylocker", "release", "end")


def test_the_lines_of_a_run_are_attached_to_its_build(host: Host, tmp_path: Path) -> None:
    files(tmp_path, "one", "two")
    facts = {
        "BUILD_SOURCEBRANCH": "refs/heads/main",
        "BUILD_REQUESTEDFOR": "Ada",
        "BUILD_DEFINITIONNAME": "rel\udcffease",
    }
    variables = {**step_variables("https://dev.azure.com/acme", tmp_path / "temp"), **facts}
    done = sign(host, tmp_path, environment=variables)
    assert done.code == 0, done.text
    (attached,) = [upload for upload in uploads(done.text) if upload.kind == "kspsign.ledger"]
    own = ledger_of(attached.name, attached.content.splitlines(keepends=True))
    assert own.faults == ()
    shared, _entries = ledger(tmp_path)
    assert key_uses(own.entries) == shared
    begun = own.entries[0]
    assert isinstance(begun, RunEntry)
    assert begun.build is not None
    assert (begun.branch, begun.requested_for, begun.build.id) == ("refs/heads/main", "Ada", "4711")
    assert attached.name == f"ledger-{done.report['ledger']['run']}.jsonl"


def test_a_large_ledger_is_attached_compressed(tmp_path: Path) -> None:
    from kspsign.publishing.records import LARGE_LEDGER, _ledger_command  # noqa: PLC0415 - too large for a run

    path = tmp_path / "ledger-1.jsonl"
    path.write_bytes(b"x" * (LARGE_LEDGER + 1))
    (upload,) = uploads(_ledger_command(path))
    assert (upload.name, gzip.decompress(upload.content)) == ("ledger-1.jsonl.gz", path.read_bytes())


def test_what_the_service_refuses_or_loses_is_no_signature_or_may_be_one(host: Host, tmp_path: Path) -> None:
    files(tmp_path, "one")
    host.service.faults += [
        Fault("POST", "/sign", Response(429, wire.error("busy", "later"), {"Retry-After": "0"})),
        Fault("POST", "/sign", Response(403, wire.error("access_denied", "User is not the signer"))),
    ]
    refused = sign(host, tmp_path)
    assert refused.code == 6, refused.text
    uses, _entries = ledger(tmp_path)
    assert [(use.outcome, use.attempt) for use in uses] == [("refused", 1), ("refused", 2)]
    assert not any(use.spent for use in uses)
    assert refused.report["totals"]["signatures_used"] == 0


def test_a_signature_of_the_cache_is_no_use_of_the_key(host: Host, tmp_path: Path) -> None:
    cache = ("--signature-cache", tmp_path / "cache")
    files(tmp_path, "same")
    assert sign(host, tmp_path, *cache).code == 0
    files(tmp_path, "same")
    assert sign(host, tmp_path, *cache).code == 0
    uses, entries = ledger(tmp_path)
    assert [use.outcome for use in uses] == ["embedded"]
    (reused,) = [entry for entry in entries if isinstance(entry, ReusedEntry)]
    assert (reused.origin, reused.digest, reused.file) == ("cache", uses[0].digest, "0.dll")


def test_no_signature_without_its_line(host: Host, tmp_path: Path) -> None:
    files(tmp_path, "one")
    (tmp_path / "ledger.jsonl").write_text("not a ledger\n")
    done = sign(host, tmp_path)
    assert done.code == 5, done.text
    assert done.report["error"]["code"] == "LEDGER_DAMAGED"
    assert not [request for request in host.service.record.requests if request.target.endswith("/sign")]


def test_what_a_killed_run_may_have_lost_the_next_one_records(host: Host, tmp_path: Path) -> None:
    names = files(tmp_path, "one", "two", "three")
    host.service.latency = 5.0
    common = ("--trust-root", host.root, "--store", tmp_path / "store", "--ledger", tmp_path / "ledger.jsonl")
    command = [sys.executable, "-m", "kspsign", "run", "*.dll", *map(str, (*KEY, *common))]
    killed = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **host.environment}, stdout=subprocess.DEVNULL)
    path = tmp_path / "ledger.jsonl"
    while not path.exists() or path.read_bytes().count(b'"kind":"asked"') < 2:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    host.service.latency = 0.0
    before, _entries = ledger(tmp_path)
    assert {use.outcome for use in before} == {"asked"}
    done = sign(host, tmp_path)
    assert done.code == 0, done.text
    uses, entries = ledger(tmp_path)
    lost = [use for use in uses if use.outcome == "lost"]
    assert {use.use for use in lost} == {use.use for use in before}
    assert all(use.spent for use in lost)
    assert sorted(file for use in uses if use.outcome == "embedded" for file in use.files) == names
    assert len({entry.run for entry in entries}) == 2
    assert json.dumps(done.report["warnings"]).count("SIGNATURES_MAY_BE_SPENT") == 1


def test_a_month_has_so_many_signatures_for_all_runs(host: Host, tmp_path: Path) -> None:
    monthly = ("--max-signatures-per-month", 3)
    files(tmp_path, "one", "two")
    assert sign(host, tmp_path, *monthly).code == 0
    files(tmp_path, "three", "four")
    done = sign(host, tmp_path, *monthly)
    assert done.code == 1, done.text
    assert {file["error"]["code"] for file in done.report["files"] if file["error"]} == {"BUDGET_SPENT"}
    assert (done.report["totals"]["signatures_used"], done.report["ledger"]["asked"]) == (1, 1)
    month = done.report["ledger"]["month"]
    assert (month["spent"], month["limit"], month["forecast"] >= 3) == (3, 3, True)
    assert len(ledger(tmp_path)[0]) == 3


def test_a_new_certificate_is_said_once(host: Host, tmp_path: Path) -> None:
    olds: list[str] = []
    for number in range(3):
        if number == 1:
            (keypair,) = host.world.keypairs
            host.world.add_certificate(keypair, "renewed", begin=NOW - DAY)
        files(tmp_path, f"content {number}")
        done = sign(host, tmp_path, "--summary", tmp_path / "summary.md")
        assert done.code == 0, done.text
        rotation, thumbprint = done.report["ledger"]["rotation"], done.report["certificate"]["thumbprint"]
        assert (rotation is not None) is (number == 1)
        assert ("certificate changed since the run before" in done.text) is (number == 1)
        if rotation is not None:
            assert (rotation["old"], rotation["new"]) == (olds[0], thumbprint)
            assert thumbprint in (tmp_path / "summary.md").read_text()
        olds.append(thumbprint)
    rotated = [entry for entry in ledger(tmp_path)[1] if isinstance(entry, RotatedEntry)]
    assert [(entry.old.thumbprint, entry.new.thumbprint) for entry in rotated] == [(olds[0], olds[1])]
