"""What a run makes of every way in which Artifact Signing can fail: outcome, signatures spent, journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.answers import CHAIN_TYPE, error_detail
from support.artifact_signing.server import ArtifactSigning
from support.artifact_signing.world import STRANGER
from support.formats.peimages import build_pe
from support.key_vault.answers import Request, Response
from support.samples import Run, assert_no_leftovers, kspsign_process

PAGE = Response(200, b"<html><head><title>Sign in</title></head>Proxy</html>", {"Content-Type": "text/html"})
NOW = {"Retry-After": "0"}
Set = Callable[[ArtifactSigning], None]


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


def answering(which: Callable[[Request], bool], response: Response, times: int = 1 << 30) -> Set:
    """The service answers so, the first `times` times."""

    def set_up(service: ArtifactSigning) -> None:
        left = [times]

        def interfere(request: Request) -> Response | None:
            if not which(request) or left[0] == 0:
                return None
            left[0] -= 1
            return response

        service.interfere = interfere

    return set_up


def hanging_up(which: Callable[[Request], bool], times: int) -> Set:
    """The service acts, and its answer is lost."""

    def set_up(service: ArtifactSigning) -> None:
        left = [times]

        def hang_up(request: Request) -> bool:
            left[0] -= which(request)
            return which(request) and left[0] >= 0

        service.hang_up = hang_up

    return set_up


def having(**ways: Any) -> Set:
    """The service has these ways; see SigningWorld."""

    def set_up(service: ArtifactSigning) -> None:
        for name, value in ways.items():
            setattr(service.signing, name, value)

    return set_up


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


@dataclass(frozen=True)
class Case:
    """`files` are asked for; `spent` is what the service counts, `used` what the run says, None: the same.

    `kept` is how many operations the journal still holds.
    """

    set_up: Set
    code: int
    error: str | None = None
    spent: int = 0
    used: int | None = None
    kept: int = 0
    files: int = 1
    words: tuple[str, ...] = field(default=())


CASES: dict[str, Case] = {
    "rotated between certsync and signing": Case(rotated_after_certsync, 0, spent=1),
    "out of order before": Case(answering(is_begin, Response(503, b"", {"x-ms-retry-after-ms": "1"}), 2), 0, spent=1),
    "busy while fetching": Case(answering(is_poll, Response(429, b"", NOW), 3), 0, spent=1),
    "busy for ever": Case(answering(is_begin, Response(429, b"", NOW)), 6, "ARTIFACT_SIGNING_THROTTLED"),
    "asked to wait too long": Case(
        answering(is_begin, Response(503, b"", {"Retry-After": "3600"})), 6, "ARTIFACT_SIGNING_UNAVAILABLE"
    ),
    "lost while it was fetched": Case(hanging_up(is_poll, 1), 0, spent=1),
    "a gateway answers": Case(
        answering(is_begin, Response(502, PAGE.content)), 6, "SIGNATURE_MAY_BE_SPENT", used=1, words=("HTTP 502",)
    ),
    "fetching fails for ever": Case(
        answering(is_poll, Response(503, b"", NOW)), 6, "SIGNATURE_PENDING", spent=1, kept=1, words=("paid for",)
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
        answering(is_poll, Response(404, b"", NOW)), 6, "ARTIFACT_SIGNING_FAILED", spent=1
    ),
    "a state of a later version": Case(having(outcome="Paused"), 6, "SIGNATURE_PENDING", used=1, kept=1),
    "another subscriber's certificate": Case(stranger, 6, "KEY_MISMATCH", spent=1, words=("another publisher's",)),
    "a page in the place of a state": Case(
        answering(is_poll, Response(200, PAGE.content, NOW)), 6, "SIGNATURE_PENDING", spent=1, kept=1
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


def run_in(service: ArtifactSigning, folder: Path) -> Run:
    return kspsign_process(
        *("run", "*.dll", *service.options, "--store", folder / "store", "--jobs", "4"),
        folder=folder,
        environment=service.environment,
        timeout=120,
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
    for number in range(case.files):
        (tmp_path / f"{number}.dll").write_bytes(build_pe(overlay=b"image %d" % number))
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.dll")}
    case.set_up(service)
    run = run_in(service, tmp_path)
    assert run.code == case.code, run.text
    assert len(service.signing.spent) == case.spent
    assert all(word in run.text for word in case.words), run.text
    if case.code == 5:
        assert run.report["error"]["code"] == case.error, run.text
    else:
        assert {each["error"] and each["error"]["code"] for each in run.report["files"]} == {case.error}, run.text
        used = case.spent if case.used is None else case.used
        assert run.report["totals"]["signatures_used"] == used
    assert operations_kept(tmp_path) == case.kept
    assert_no_leftovers(tmp_path)
    if case.code:
        assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.dll")}
    assert not any(token in run.text for token in service.world.tokens)


def test_what_could_not_be_fetched_is_fetched_by_the_next_run(service: ArtifactSigning, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.dll").write_bytes(build_pe(overlay=b"image %d" % number))
    answering(is_poll, Response(403, b""))(service)
    first = run_in(service, tmp_path)
    assert (first.code, operations_kept(tmp_path)) == (6, 3), first.text
    planned = kspsign_process(
        *("run", "*.dll", *service.options, "--store", tmp_path / "store", "--dry-run"),
        folder=tmp_path,
        environment=service.environment,
    )
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
    (tmp_path / "0.dll").write_bytes(build_pe())
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
    (tmp_path / "0.dll").write_bytes(build_pe())
    answering(is_poll, Response(403, b""))(service)
    assert run_in(service, tmp_path).code == 6
    service.interfere = lambda _request: None
    (journal,) = (tmp_path / "store").rglob("*.journal")
    journal.write_text(journal.read_text("ascii").replace("weu.codesigning.azure.net", "unit-tests.vault.azure.net"))
    again = run_in(service, tmp_path)
    assert (again.code, again.report["totals"]["signatures_used"]) == (0, 1), again.text
    assert service.record.of("vault.azure.net") == []


def test_a_cancelled_run_leaves_what_it_paid_for_to_the_next(service: ArtifactSigning, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.dll").write_bytes(build_pe(overlay=b"image %d" % number))
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
