"""Services that throttle, fail and refuse: no file is lost, no signature is spent twice, and the report says it all."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.values import COPY_PREFIX
from kspsign.signing.circuit_breaker import THRESHOLD
from support.digicert_one import wire
from support.digicert_one.answers import Request, Response
from support.digicert_one.server import Fault
from support.keylocker_bench import Bench, of_another_digest, open_bench
from support.samples import Run, assert_no_leftovers, kspsign, osslsigncode_verify
from support.timestamping.server import Stamping, Trouble, every_other, never

REFUSED = Response(403, wire.error("access_denied", "Signature quota exceeded for this certificate"))


@pytest.fixture
def bench(tmp_path: Path, authority: EmbeddedAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with open_bench(tmp_path, authority, latency=0.005) as bench:
        for name, value in bench.host.environment.items():
            monkeypatch.setenv(name, value)
        yield bench


def sign(bench: Bench, *more: object, urls: tuple[str, ...] = ()) -> Run:
    return kspsign(*bench.arguments(*urls), *more, folder=bench.folder)


def totals(run: Run, *names: str) -> tuple[int, ...]:
    return tuple(run.report["totals"][name] for name in names)


def test_a_key_store_that_throttles_loses_no_file(bench: Bench) -> None:
    bench.files(60)
    bench.host.service.latency, bench.host.service.most = 0.2, 6  # long enough that requests overlap on any machine
    run = sign(bench)
    assert run.code == 0, run.text
    assert totals(run, "signed", "verified", "signatures_used") == (60, 60, 60)
    assert bench.spent == 60
    limit = run.report["limits"]["key_store"]
    assert limit["throttled"] == bench.host.service.throttled > 0
    assert limit["in_flight"] < 8 <= limit["peak"]
    assert limit["per_second"] > 0


def test_dead_failing_and_slow_timestamp_servers_are_lived_with(bench: Bench, authority: EmbeddedAuthority) -> None:
    bench.files(40)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with Stamping(authority, trouble=every_other) as failing, Stamping(authority, latency=0.05) as slow:
        run = sign(bench, urls=(dead, failing.url, slow.url))
        assert run.code == 0, run.text
        assert (bench.spent, failing.stamped + slow.stamped) == (40, 41), "one for the preflight"
        assert all(file["signatures"][0]["timestamp"] for file in run.report["files"])
        stamped_by = [file["timestamp_server"] for file in run.report["files"]]
        assert {stamped_by.count(failing.url), stamped_by.count(slow.url)} == {failing.stamped, slow.stamped - 1}
        servers = {server["url"]: server for server in run.report["limits"]["timestamp"]}
        assert list(servers) == [dead, failing.url, slow.url]
        assert servers[dead]["tokens"] == 0
        assert 0 < servers[dead]["failures"] < 40, "who fails is left alone"
        assert servers[slow.url]["tokens"] == slow.stamped > 0


def test_a_server_that_asks_to_wait_is_left_alone_and_another_one_asked(
    bench: Bench, authority: EmbeddedAuthority
) -> None:
    bench.files(30)
    with (
        Stamping(authority, trouble=lambda _number: Trouble(429, {"Retry-After": "30"})) as busy,
        Stamping(authority) as good,
    ):
        started = time.monotonic()
        run = sign(bench, urls=(busy.url, good.url))
        assert time.monotonic() - started < 25, "no file waits for the server that is busy"
    assert (run.code, good.stamped) == (0, 31), run.text
    assert busy.asked <= 8


def test_what_could_not_be_stamped_is_not_signed_again(bench: Bench, authority: EmbeddedAuthority) -> None:
    before = bench.files(8)
    with Stamping(authority, trouble=never) as down:
        run = sign(bench, urls=(down.url,))
    assert (run.code, {file["error"]["code"] for file in run.report["files"]}) == (6, {"TIMESTAMP_UNAVAILABLE"})
    assert all(path.read_bytes() == content for path, content in before.items())
    assert (bench.spent, totals(run, "signatures_used")) == (8, (8,))
    with Stamping(authority) as up:
        again = sign(bench, urls=(up.url,))
    assert again.code == 0, again.text
    assert (bench.spent, totals(again, "signed", "signatures_used")) == (8, (8, 0))
    assert list((bench.store / "journal").iterdir()) == [], "every signature is in its file"
    assert osslsigncode_verify(next(iter(before)), bench.roots).accepted


def test_what_was_kept_for_a_file_that_has_it_is_forgotten(bench: Bench, authority: EmbeddedAuthority) -> None:
    """As a run leaves it that is killed when its files are replaced and its journal does not know yet."""
    bench.files(8)
    with Stamping(authority, trouble=never) as failing:
        assert sign(bench, urls=(failing.url,)).code == 6
    (journal,) = (bench.store / "journal").iterdir()
    kept = journal.read_bytes()
    assert sign(bench).code == 0
    assert not journal.exists()
    journal.write_bytes(kept)
    run = sign(bench)
    assert (run.code, totals(run, "skipped"), bench.spent) == (0, (8,), 8)
    assert list(journal.parent.iterdir()) == []


def test_a_signature_of_the_journal_that_does_not_hold_is_not_taken(bench: Bench, authority: EmbeddedAuthority) -> None:
    bench.files(2)
    with Stamping(authority, trouble=never) as down:
        sign(bench, urls=(down.url,))
    (journal,) = (bench.store / "journal").iterdir()
    lines = map(json.loads, journal.read_text(encoding="ascii").splitlines())
    entries = [line for line in lines if "signature" in line]
    entries[0]["signature"] = entries[1]["signature"]
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="ascii")
    assert totals(sign(bench), "signed", "signatures_used") == (2, 1)
    assert bench.spent == 3


def test_identical_files_cost_one_signature_and_stay_identical(bench: Bench, authority: EmbeddedAuthority) -> None:
    first, second = bench.files(2)
    for number in range(10):
        shutil.copyfile(first, bench.dist / f"copy-{number}.dll")
    (bench.dist / "link.dll").symlink_to(second)
    os.link(second, bench.dist / "hard.dll")
    with Stamping(authority, latency=0.02) as stamping:
        run = sign(bench, urls=(stamping.url,))
    assert run.code == 0, run.text
    assert totals(run, "matched", "signed", "signatures_used") == (13, 13, 2)
    assert (bench.spent, stamping.stamped) == (2, 3), "one for the preflight"
    assert len({path.read_bytes() for path in bench.dist.iterdir()}) == 2
    again = sign(bench)
    assert (totals(again, "skipped", "signatures_used"), bench.spent) == ((13, 0), 2)


@pytest.mark.parametrize("options", [(), ("--jobs", "1")])
def test_a_budget_is_kept_and_the_rest_is_done(bench: Bench, options: tuple[str, ...]) -> None:
    before = bench.files(9)
    dry = sign(bench, "--max-signatures", "5", "--dry-run")
    run = sign(bench, "--max-signatures", "5", *options)
    assert (run.code, dry.code) == (1, 1)
    assert totals(run, "signed", "failed", "signatures_used") == (5, 4, 5)
    assert totals(dry, "signed", "failed", "signatures_needed") == (0, 4, 5)
    assert bench.spent == 5
    assert {file["error"]["code"] for file in run.report["files"] if file["error"]} == {"BUDGET_SPENT"}
    assert sum(path.read_bytes() == content for path, content in before.items()) == 4


def test_slices_share_a_budget(bench: Bench) -> None:
    used: list[int] = []
    for number in (1, 2, 3):
        bench.files(9)  # every agent sees them as they were built: sizes decide which slice a file is in
        used += totals(sign(bench, "--max-signatures", "7", "--slice", f"{number}/3"), "signatures_used")
    assert used == [3, 2, 2]


def test_a_dry_run_counts_exactly_asks_nobody_and_changes_nothing(bench: Bench, authority: EmbeddedAuthority) -> None:
    first, *_others = before = bench.files(6)
    (bench.dist / "broken.dll").write_bytes(first.read_bytes()[:300])
    with Stamping(authority, trouble=never) as down:
        sign(bench, "--max-signatures", "1", urls=(down.url,))
    for number in range(3):
        shutil.copyfile(first, bench.dist / f"copy-{number}.dll")
    thumbprint = next((bench.store / "certificates").iterdir()).name
    asked, state = len(bench.host.service.record.requests), tree(bench.folder)
    options = ("sign", "*.dll", "--folder", bench.dist, "--thumbprint", thumbprint, "--store", bench.store)
    dry = kspsign(*options, "--trust-root", bench.roots, "--dry-run", folder=bench.folder)
    assert (len(bench.host.service.record.requests), tree(bench.folder)) == (asked, state)
    assert (dry.code, dry.report["dry_run"], dry.report["passed"]) == (1, True, False), "one file is damaged"
    assert totals(dry, "matched", "failed", "signatures_needed", "signatures_used") == (10, 1, 5, 0)
    assert {file["outcome"] for file in dry.report["files"]} == {"planned", "failed"}
    assert "5 signatures would be asked for" in dry.text
    run = sign(bench)
    assert (run.code, totals(run, "signed", "signatures_used")) == (1, (9, 5))
    assert all(path.read_bytes() != content for path, content in before.items())


def tree(folder: Path) -> dict[str, bytes]:
    """Every file but the report."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "report.json"}


def test_a_key_store_that_refuses_everything_is_not_asked_any_more(bench: Bench) -> None:
    before = bench.files(100)
    bench.host.service.faults.append(Fault("POST", "/sign", REFUSED, times=1000))
    run = sign(bench)
    asked = len(bench.host.service.record.of("POST"))
    assert THRESHOLD <= asked <= THRESHOLD + 4
    assert (run.code, run.report["error"]["code"]) == (6, "KEY_STORE_REFUSES")
    assert "quota exceeded" in run.report["error"]["message"]
    left = run.report["totals"]["left"]
    assert left == 100 - asked
    assert f"files that were not tried: {left}" in run.report["error"]["message"]
    assert f"not tried: {left} files" in run.text.splitlines()
    assert totals(run, "failed", "signatures_used") == (100, 0)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_the_progress_of_a_run_that_stopped_does_not_count_what_was_not_tried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_BUILD", "True")
    monkeypatch.setenv("AGENT_TEMPDIRECTORY", str(bench.folder / "temp"))
    bench.files(100)
    bench.host.service.faults.append(Fault("POST", "/sign", REFUSED, times=1000))
    run = sign(bench)
    told = re.findall(r"##vso\[task\.setprogress value=(\d+);\]", run.text)
    assert told
    assert all(int(percent) <= len(bench.host.service.record.of("POST")) for percent in told)


def test_refusals_with_successes_in_between_stop_nothing(bench: Bench) -> None:
    bench.files(30)
    refused: list[int] = []

    def some(request: Request) -> Request:
        if request.method == "POST" and len(refused) < 12:
            refused.append(1)
            return replace(request, body=b"{}") if len(refused) % 3 else request
        return request

    bench.host.service.spoil = some
    run = sign(bench, "--jobs", "1")
    assert (run.code, totals(run, "signed", "failed", "left")) == (1, (22, 8, 0))


@pytest.mark.parametrize("damaged", [True, False])
def test_fail_fast_begins_nothing_after_the_first_failure(bench: Bench, damaged: bool) -> None:
    bench.files(50)
    if damaged:
        (bench.dist / "zzz.dll").write_bytes(b"MZ" + bytes(100))
    else:
        bench.host.service.faults.append(Fault("POST", "/sign", REFUSED))
    run = sign(bench, "--fail-fast")
    assert run.report["error"]["code"] == "FAIL_FAST"
    assert run.report["totals"]["left"] > 30
    assert sum(totals(run, "signed", "failed")) == len(run.report["files"]) == 50 + damaged
    if damaged:
        assert bench.spent == 0, "formats are checked before the first signature is spent"


def test_a_damaged_file_among_many_stops_no_other(bench: Bench) -> None:
    bench.files(20)
    (bench.dist / "0010.dll").write_bytes(b"MZ" + bytes(100))
    run = sign(bench)
    assert (run.code, totals(run, "signed", "failed", "signatures_used", "left")) == (1, (19, 1, 19, 0))


def test_a_signature_for_another_digest_is_never_embedded(bench: Bench) -> None:
    before = bench.files(6)

    def another_digest(request: Request) -> Request:
        return of_another_digest(request) if request.method == "POST" else request

    bench.host.service.spoil = another_digest
    run = sign(bench)
    assert run.code == 6
    assert all(path.read_bytes() == content for path, content in before.items())
    assert {file["error"]["code"] for file in run.report["files"]} <= {"KEY_MISMATCH", "NOT_TRIED"}
    assert "is of another file" in run.text
    assert_no_leftovers(bench.dist)
    assert not (bench.store / "journal").exists() or not list((bench.store / "journal").iterdir())


def test_copies_that_a_killed_run_left_are_removed_and_those_in_work_are_not(bench: Bench) -> None:
    import fcntl  # noqa: PLC0415 - of POSIX

    bench.files(2)
    left, in_work = (bench.dist / f"{COPY_PREFIX}{name}.dll" for name in ("0a1b2c3d.0000", "4e5f6a7b.0001"))
    left.write_bytes(b"left")
    with in_work.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = sign(bench)
        assert (run.code, left.exists(), in_work.exists()) == (0, False, True)
    assert sign(bench).code == 0
    assert_no_leftovers(bench.dist)
