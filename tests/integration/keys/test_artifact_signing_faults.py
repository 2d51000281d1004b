"""What a run makes of every way in which Artifact Signing can fail: outcome, signatures spent, journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.answers import CHAIN_TYPE, error_detail
from support.artifact_signing.server import ArtifactSigning
from support.artifact_signing.world import STRANGER
from support.key_vault.answers import Request, Response
from support.samples import Run, kspsign
from support.service_faults import (
    AT_ONCE,
    Case,
    Set,
    answering,
    check_outcome,
    environment_of,
    fill,
    hanging_up,
    ways_of,
)
from support.service_faults import PAGE as HTML

PAGE = Response(200, HTML, {"Content-Type": "text/html"})
having = ways_of("signing")


@pytest.fixture
def service(tmp_path: Path, authority: EmbeddedAuthority) -> Iterator[ArtifactSigning]:
    (tmp_path / "azure").mkdir()
    with ArtifactSigning(tmp_path / "azure", authority) as running:
        yield running


def is_begin(request: Request) -> bool:
    return request.method == "POST" and request.path.endswith("/sign")


def is_poll(request: Request) -> bool:
    return request.method == "GET" and "/sign/" in request.path and not request.path.endswith("/certchain")


def is_chain(request: Request) -> bool:
    return request.path.endswith("/certchain")


def garbled(name: str, value: Any) -> Set:
    """What the service answers when it is done, with one field changed."""

    def set_up(service: ArtifactSigning) -> None:
        def interfere(request: Request) -> Response | None:
            if not is_poll(request):
                return None
            answer = service.services["codesigning.azure.net"](request)
            return Response(answer.status, {**answer.content, name: value})

        service.interfere = interfere

    return set_up


def stranger(service: ArtifactSigning) -> None:
    """Another subscriber's certificate signs, from the first signature on."""

    def interfere(request: Request) -> Response | None:
        if is_begin(request) and service.signing.durable != STRANGER:
            service.signing.subject, service.signing.durable = "Another publisher", STRANGER
            service.signing.rotate()
        return None

    service.interfere = interfere


def rotated_after_certsync(service: ArtifactSigning) -> None:
    service.signing.restless = 1


CASES: dict[str, Case] = {
    "rotated between certsync and signing": Case(rotated_after_certsync, 0, spent=1),
    "out of order before": Case(answering(is_begin, Response(503, b"", {"x-ms-retry-after-ms": "1"}), 2), 0, spent=1),
    "busy while fetching": Case(answering(is_poll, Response(429, b"", AT_ONCE), 3), 0, spent=1),
    "busy for ever": Case(answering(is_begin, Response(429, b"", AT_ONCE)), 6, "ARTIFACT_SIGNING_THROTTLED"),
    "asked to wait too long": Case(
        answering(is_begin, Response(503, b"", {"Retry-After": "3600"})), 6, "ARTIFACT_SIGNING_UNAVAILABLE"
    ),
    "lost while it was fetched": Case(hanging_up(is_poll, 1), 0, spent=1),
    "a gateway answers": Case(
        answering(is_begin, Response(502, PAGE.content)), 6, "SIGNATURE_MAY_BE_SPENT", used=1, words=("HTTP 502",)
    ),
    "fetching fails for ever": Case(
        answering(is_poll, Response(503, b"", AT_ONCE)), 6, "SIGNATURE_PENDING", spent=1, kept=1, words=("paid for",)
    ),
    "not allowed while fetching": Case(answering(is_poll, Response(403, b"")), 6, "SIGNATURE_PENDING", spent=1, kept=1),
    "refused without a word": Case(
        answering(is_begin, Response(403, b"")),
        6,
        "ARTIFACT_SIGNING_FORBIDDEN",
        words=("HTTP 403 Forbidden (empty body)",),
    ),
    "refused by a page": Case(
        answering(is_begin, Response(403, b"<html><body><h1>Blocked</h1> by policy</body></html>")),
        6,
        "ARTIFACT_SIGNING_FORBIDDEN",
        words=("Blocked by policy",),
    ),
    "refused with details": Case(
        answering(is_begin, Response(400, {"title": "Invalid", "errors": {"digest": ["too short"]}})),
        6,
        "ARTIFACT_SIGNING_REFUSED",
        words=("Invalid: digest (too short)",),
    ),
    "no token of Entra's": Case(
        answering(is_begin, error_detail(500, "InternalError", "ClaimsPrincipal TenantId is null.")),
        6,
        "ARTIFACT_SIGNING_TOKEN",
    ),
    "another audience": Case(answering(is_begin, Response(401, b"")), 6, "ARTIFACT_SIGNING_TOKEN"),
    "account unknown": Case(
        answering(is_begin, error_detail(404, "NotFound", "... 403 (Forbidden).")), 6, "ARTIFACT_SIGNING_NOT_FOUND"
    ),
    "the operation fails": Case(having(outcome="Failed"), 6, "ARTIFACT_SIGNING_FAILED"),
    "the operation is cancelled": Case(having(outcome="Canceled"), 6, "ARTIFACT_SIGNING_FAILED"),
    "the operation is forgotten": Case(
        answering(is_poll, Response(404, b"", AT_ONCE)), 6, "ARTIFACT_SIGNING_FAILED", spent=1
    ),
    "a state of a later version": Case(having(outcome="Paused"), 6, "SIGNATURE_PENDING", used=1, kept=1),
    "another subscriber's certificate": Case(stranger, 6, "KEY_MISMATCH", spent=1, words=("another publisher's",)),
    "a page in the place of a state": Case(
        answering(is_poll, Response(200, PAGE.content, AT_ONCE)), 6, "SIGNATURE_PENDING", spent=1, kept=1
    ),
    "an operation without a name": Case(
        answering(is_begin, Response(202, {"status": "InProgress"})), 6, "SIGNATURE_MAY_BE_SPENT", used=1
    ),
    "no base64": Case(garbled("signature", "%%%"), 6, "ARTIFACT_SIGNING_ANSWER", spent=1),
    "no signature": Case(garbled("signature", None), 6, "ARTIFACT_SIGNING_ANSWER", spent=1),
    "no certificate": Case(garbled("signingCertificate", "AAAA"), 6, "ARTIFACT_SIGNING_ANSWER", spent=1),
    "bits turned": Case(garbled("signature", "QUJD" * 128), 6, "KEY_MISMATCH", spent=1),
    "a page in the place of the certificates": Case(answering(is_chain, PAGE), 5, "ARTIFACT_SIGNING_ANSWER"),
    "no leaf among the certificates": Case(
        answering(is_chain, Response(200, b"", {"Content-Type": CHAIN_TYPE})), 5, "ARTIFACT_SIGNING_ANSWER"
    ),
}


def run_in(service: ArtifactSigning, folder: Path, *more: object) -> Run:
    with environment_of(service.environment):
        return kspsign(
            *("run", "*.dll", "--folder", folder, *service.options, "--store", folder / "store", "--jobs", "4", *more),
            folder=folder,
        )


def operations_kept(folder: Path) -> int:
    """Operations that the journal still holds."""
    held: dict[str, bool] = {}
    for path in (folder / "store").rglob("*.journal"):
        for entry in map(json.loads, path.read_text("ascii").splitlines()):
            held[entry["digest"]] = "operation" in entry
    return sum(held.values())


@pytest.mark.parametrize("name", CASES)
def test_outcome_signatures_and_journal(name: str, service: ArtifactSigning, tmp_path: Path) -> None:
    case = CASES[name]
    before = fill(tmp_path, case.files)
    case.set_up(service)
    run = run_in(service, tmp_path)
    check_outcome(case, run, tmp_path, before, len(service.signing.spent))
    assert operations_kept(tmp_path) == case.kept
    assert not any(token in run.text for token in service.world.tokens)


def test_what_could_not_be_fetched_is_fetched_by_the_next_run(service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path, 3)
    answering(is_poll, Response(403, b""))(service)
    first = run_in(service, tmp_path)
    assert (first.code, operations_kept(tmp_path)) == (6, 3), first.text
    planned = run_in(service, tmp_path, "--dry-run")
    assert planned.report["totals"]["signatures_needed"] == 0, planned.text
    service.interfere = lambda _request: None
    service.signing.rotate()
    again = run_in(service, tmp_path)
    assert (again.code, again.report["totals"]["signatures_used"]) == (0, 0), again.text
    assert len(service.signing.spent) == len(service.of_profile("POST")) == 3
    assert list((tmp_path / "store").rglob("*.journal")) == []


@pytest.mark.parametrize("outcome", ["Failed", "gone", "wrong key"])
def test_what_gives_no_signature_after_all_is_asked_for_again(
    outcome: str, service: ArtifactSigning, tmp_path: Path
) -> None:
    fill(tmp_path)
    service.signing.wrong_key = outcome == "wrong key"
    answering(is_poll, Response(403, b""))(service)
    assert run_in(service, tmp_path).code == 6
    service.interfere = lambda _request: None
    service.signing.wrong_key = False
    for operation in service.signing.operations.values():
        operation.status = "Failed" if outcome == "Failed" else operation.status
    if outcome == "gone":
        service.signing.operations.clear()
    again = run_in(service, tmp_path)
    assert (again.code, again.report["totals"]["signatures_used"]) == (0, 1), again.text
    assert len(service.of_profile("POST")) == 2
    assert list((tmp_path / "store").rglob("*.journal")) == []


def test_a_journal_leads_the_token_nowhere_else(service: ArtifactSigning, tmp_path: Path) -> None:
    """Whoever can write the journal can't choose who is asked."""
    fill(tmp_path)
    answering(is_poll, Response(403, b""))(service)
    assert run_in(service, tmp_path).code == 6
    service.interfere = lambda _request: None
    (journal,) = (tmp_path / "store").rglob("*.journal")
    journal.write_text(journal.read_text("ascii").replace("weu.codesigning.azure.net", "unit-tests.vault.azure.net"))
    again = run_in(service, tmp_path)
    assert (again.code, again.report["totals"]["signatures_used"]) == (0, 1), again.text
    assert service.record.of("vault.azure.net") == []


def test_a_cancelled_run_leaves_what_it_paid_for_to_the_next(service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path, 4)
    service.signing.seconds = 60
    given = ("run", "*.dll", *service.options, "--store", tmp_path / "store", "--jobs", "4")
    process = subprocess.Popen(
        [sys.executable, "-m", "kspsign", *map(str, given)],
        cwd=tmp_path,
        env={**os.environ, **service.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(service.signing.spent) < 4:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    assert operations_kept(tmp_path) == 4
    for operation in service.signing.operations.values():
        operation.ready = 0.0
    again = run_in(service, tmp_path)
    assert (again.code, again.report["totals"]["signatures_used"]) == (0, 0), again.text
    assert len(service.signing.spent) == 4
