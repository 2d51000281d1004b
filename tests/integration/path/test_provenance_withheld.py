"""A run that can't write its provenance leaves none, not that of an earlier run either, and says which is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.ledger.read import key_uses, read_ledger
from support.digicert_one.fixture import running
from support.formats.peimages import build_pe
from support.provenance.runs import pipeline, sign, signing_options
from support.samples import kspsign_at
from support.signing import Publisher
from support.timestamping.server import Stamping, Trouble

FILES = 2
STATEMENT = FILES + 2
"""The request of the statement's timestamp: one is asked for to try the server, then one for each file."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(FILES):
        (tmp_path / f"{number}.dll").write_bytes(build_pe(overlay=b"%d" % number))
    return tmp_path


def _ways(folder: Path) -> list[tuple[str, ...]]:
    """What became of each use of the key, by file."""
    uses = key_uses(read_ledger(folder / "ledger.jsonl").entries)
    return [(*use.files, str(use.outcome)) for use in uses]


def test_a_timestamp_server_that_fails_for_the_statement(
    publisher: Publisher, authority: EmbeddedAuthority, folder: Path
) -> None:
    assert sign(publisher, folder).code == 0
    (folder / "2.dll").write_bytes(build_pe(overlay=b"2"))
    with Stamping(authority, trouble=lambda number: Trouble(500) if number > 2 else None) as server:
        done = sign(replace(publisher, timestamp_url=server.url), folder)
    assert (done.code, done.report["passed"], done.report["provenance"]) == (1, False, None), done.text
    assert done.report["error"]["code"] == "TIMESTAMP_UNAVAILABLE"
    assert done.report["error"]["message"].startswith("p.json: no timestamp: ")
    assert {file["verdict"]["result"] for file in done.report["files"]} == {"verified"}
    assert "p.json: removed, the provenance of an earlier run" in done.text
    assert "p.json is not written: all files are signed and verified, but it could not be signed" in done.text
    assert not (folder / "p.json").exists()
    assert _ways(folder)[-1] == ("p.json", "discarded")
    again = sign(publisher, folder)
    assert (again.code, again.report["totals"]["signatures_used"]) == (0, 1), again.text
    assert again.report["provenance"]["subjects"] == 3
    assert (
        kspsign_at("verify", "*.dll", "--trust-root", publisher.roots, "--provenance", "p.json", folder=folder).code
        == 0
    )


def test_no_other_run_waits_for_the_statements_signature(
    publisher: Publisher, authority: EmbeddedAuthority, folder: Path
) -> None:
    """The next statement has other times: a journal that kept the signature would keep it for nothing."""
    (folder / "host").mkdir()
    with (
        running(folder / "host") as service,
        Stamping(authority, trouble=lambda number: Trouble(500) if number >= STATEMENT else None) as server,
    ):
        service.world.add_certificate(service.world.add_keypair("release"), "code")
        trust = ("--trust-root", service.root, "--trust-root", publisher.roots)
        more = ("--timestamp-url", server.url, "--provenance", "p.json", "--jobs", "1", "--ledger", "ledger.jsonl")
        options = ("--key-store", "keylocker", "--keypair-alias", "release", *trust, "--store", folder / "store", *more)
        environment = {**service.environment, **pipeline(folder)}
        done = kspsign_at("sign", "*.dll", *options, folder=folder, environment=environment)
    assert (done.code, done.report["error"]["code"]) == (1, "TIMESTAMP_UNAVAILABLE"), done.text
    assert sorted(_ways(folder)) == [("0.dll", "embedded"), ("1.dll", "embedded"), ("p.json", "discarded")]
    assert done.report["ledger"]["outcomes"] == {"discarded": 1, "embedded": 2}
    assert [*folder.rglob("*.journal")] == []


def test_a_file_that_can_not_be_signed(publisher: Publisher, folder: Path) -> None:
    assert sign(publisher, folder).code == 0
    (folder / "bad.dll").write_bytes(b"MZ")
    done = sign(publisher, folder)
    assert done.code == 1, done.text
    assert "p.json is not written: not every file is signed and verified" in done.text
    assert not (folder / "p.json").exists()


def test_a_run_that_is_killed_before_its_statement_is_written(
    publisher: Publisher, authority: EmbeddedAuthority, folder: Path
) -> None:
    (folder / "p.json").write_text('{\n "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}\n')
    with Stamping(authority, latency=lambda number: 60.0 if number >= STATEMENT else 0.0) as server:
        options = signing_options(replace(publisher, timestamp_url=server.url), folder)
        command = [sys.executable, "-m", "kspsign", "sign", "*.dll", *map(str, options), "--jobs", "1"]
        variables = {**os.environ, **pipeline(folder)}
        with subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.DEVNULL) as run:
            ends = time.monotonic() + 60
            while server.asked < STATEMENT and time.monotonic() < ends:
                time.sleep(0.02)
            run.kill()
    assert not (folder / "p.json").exists()
    assert sorted(_ways(folder)) == [("0.dll", "embedded"), ("1.dll", "embedded"), ("p.json", "obtained")]
    again = sign(publisher, folder)
    assert (again.code, again.report["totals"]["signatures_used"]) == (0, 1), again.text
    assert again.report["provenance"]["subjects"] == FILES


def test_a_place_that_is_not_a_file_is_found_out_first(publisher: Publisher, folder: Path) -> None:
    (folder / "p.json").mkdir()
    done = sign(publisher, folder)
    assert (done.code, done.report["totals"]["signatures_used"]) == (3, 0), done.text
    assert done.report["error"]["message"] == "p.json: can't write: this is not a regular file"


def test_only_provenance_is_removed(publisher: Publisher, folder: Path) -> None:
    """What else is at its place stays until there is provenance to replace it; a plan removes nothing at all."""
    assert sign(publisher, folder).code == 0
    assert sign(publisher, folder, "--dry-run").code == 0
    assert "sigstore.bundle" in (folder / "p.json").read_text()
    (folder / "bad.dll").write_bytes(b"MZ")
    (folder / "p.json").write_text("notes")
    assert sign(publisher, folder).code == 1
    assert (folder / "p.json").read_text() == "notes"
    (folder / "bad.dll").unlink()
    assert sign(publisher, folder).code == 0
    assert "sigstore.bundle" in (folder / "p.json").read_text()


def test_two_files_that_would_have_one_name(publisher: Publisher, folder: Path) -> None:
    (folder / "0.dll (before signing)").write_bytes(build_pe(overlay=b"other"))
    chosen = (*signing_options(publisher, folder), "--jobs", "1")
    done = kspsign_at("sign", "0.dll*", *chosen, folder=folder, environment=pipeline(folder))
    assert (done.code, done.report["totals"]["signatures_used"]) == (3, 0), done.text
    assert "would name two files 0.dll (before signing)" in done.report["error"]["message"]
