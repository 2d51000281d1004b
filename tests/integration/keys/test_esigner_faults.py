"""What a run makes of every way in which eSigner can fail: outcome, signatures spent, journal; and what is not tried
again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.keys.test_esigner import run_in
from support.certificates import shared_key
from support.esigner.answers import wrong
from support.esigner.server import ESigner
from support.esigner.world import CREDENTIAL, PASSWORD, TOTP
from support.key_vault.answers import Request, Response
from support.service_faults import AT_ONCE, Case, Set, answering, before, check_outcome, fill, garbled, hanging_up
from support.service_faults import PAGE as HTML

OTHER = shared_key(2)
LOST = "SIGNATURE_MAY_BE_SPENT"
PAGE = Response(200, HTML, {"Content-Type": "text/html"})


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ESigner]:
    """Its credential needs no one-time password: a second one would take half a minute."""
    (tmp_path / "ssl").mkdir()
    with ESigner(tmp_path / "ssl") as running:
        running.account.only.otp = False
        yield running


def at(path: str) -> Callable[[Request], bool]:
    return lambda request: request.path.endswith(path)


is_sign, is_authorize, is_info, is_list = (
    at(path) for path in ("/signHash", "/credentials/authorize", "/credentials/info", "/credentials/list")
)
is_token = at("/oauth2/token")


def work(service: ESigner, request: Request) -> Response:
    return service.work(request)


def having(**ways: Any) -> Set:
    """The account, or its credential, has these ways."""

    def set_up(service: ESigner) -> None:
        for name, value in ways.items():
            setattr(service.account if hasattr(service.account, name) else service.account.only, name, value)

    return set_up


def another_key_after(count: int) -> Set:
    """The service has another key for the credential after so many signatures."""

    def set_up(service: ESigner) -> None:
        def change() -> None:
            if len(service.account.signed) >= count:
                service.account.only.wrong_key = OTHER

        service.interfere = before(is_sign, change)

    return set_up


def in_lines(encoded: list[str]) -> list[str]:
    """Base64 in lines of 64 characters (RFC 7468 §2)."""
    return ["".join(f"{text[start : start + 64]}\r\n" for start in range(0, len(text), 64)) for text in encoded]


def certificates_as(change: Callable[[list[str]], list[str]]) -> Set:
    """The credential's certificates are answered so."""

    def set_up(service: ESigner) -> None:
        def interfere(request: Request) -> Response | None:
            if not is_info(request):
                return None
            content = service.work(request).content
            assert isinstance(content, dict)
            return Response(200, {**content, "cert": {"certificates": change(content["cert"]["certificates"])}})

        service.interfere = interfere

    return set_up


def signatures_in_lines(service: ESigner) -> None:
    def interfere(request: Request) -> Response | None:
        if not is_sign(request):
            return None
        content = service.work(request).content
        assert isinstance(content, dict)
        return Response(200, {"signatures": in_lines(content["signatures"])})

    service.interfere = interfere


BUSY = Response(503, b"<html>Busy</html>", AT_ONCE)
CASES: dict[str, Case] = {
    "too many requests before": Case(answering(is_sign, wrong(429, "", "Retry later", **AT_ONCE), 2), 0, spent=1),
    "busy before the authorisation": Case(answering(is_authorize, BUSY, 2), 0, spent=1),
    "the authorisation lost": Case(hanging_up(is_authorize, 1), 0, spent=1),
    "a gateway before the authorisation": Case(answering(is_authorize, Response(502, b"", AT_ONCE), 1), 0, spent=1),
    "busy before the credential is known": Case(answering(is_info, BUSY, 2), 0, spent=1),
    "answer lost before the credential is known": Case(hanging_up(is_list, 1), 0, spent=1),
    "busy for ever": Case(answering(is_sign, BUSY), 6, "ESIGNER_UNAVAILABLE", words=("after 10 attempts",)),
    "lost after it was asked for": Case(hanging_up(is_sign, 1), 6, LOST, spent=3, files=3),
    "internal fault": Case(answering(is_sign, wrong(500, "server_error", "x")), 6, LOST, used=1),
    "a gateway answers": Case(answering(is_sign, Response(504, PAGE.content)), 6, LOST, used=1, words=("HTTP 504",)),
    "fewer signatures than hashes": Case(having(short=1), 6, LOST, spent=3, files=3, words=("2 signatures for 3",)),
    "a refused SAD": Case(
        answering(is_sign, wrong(400, "invalid_request", "Invalid parameter SAD")), 6, "ESIGNER_REFUSED"
    ),
    "quota spent": Case(having(left=0), 6, "ESIGNER_QUOTA", words=("tier exceed the limit",)),
    "disabled after certsync": Case(
        answering(is_authorize, wrong(400, "invalid_request", "key status is disabled")), 6, "ESIGNER_DISABLED"
    ),
    "scan switched on after certsync": Case(
        answering(is_authorize, wrong(400, "invalid_request", "hash needs to be scanned first before submitting")),
        6,
        "ESIGNER_SCAN",
    ),
    "an error of a later version": Case(
        answering(is_authorize, wrong(400, "brand_new", "x")), 6, "ESIGNER_REFUSED", words=("brand_new: x",)
    ),
    "the authorisation fails inside": Case(
        answering(is_authorize, wrong(500, "server_error", "x")), 6, "ESIGNER_UNAVAILABLE"
    ),
    "refused by a page": Case(
        answering(is_authorize, Response(403, b"<h1>Blocked</h1> by policy")), 6, "ESIGNER_ANSWER", words=("Blocked",)
    ),
    "a page in the place of the authorisation": Case(answering(is_authorize, PAGE), 6, "ESIGNER_ANSWER"),
    "no SAD": Case(answering(is_authorize, Response(200, {"expiresIn": 1})), 6, "ESIGNER_ANSWER"),
    "rotated between certsync and signing": Case(another_key_after(0), 6, "KEY_MISMATCH", spent=1),
    "rotated between two files": Case(another_key_after(1), 1, "KEY_MISMATCH", spent=2, files=2),
    "signatures in lines": Case(signatures_in_lines, 0, spent=1),
    "certificates in lines": Case(certificates_as(in_lines), 0, spent=1),
    "certificates in another order": Case(certificates_as(lambda listed: listed[::-1]), 0, spent=1),
    "more signatures than hashes": Case(
        garbled(is_sign, work, signatures=["QUJD", "QUJD"]), 6, LOST, spent=1, words=("2 signatures for 1",)
    ),
    "a SAD with a line break": Case(garbled(is_authorize, work, SAD="a\nb"), 6, "ESIGNER_ANSWER"),
    "a status of any length": Case(
        garbled(is_info, work, key={"status": "x" * 5000}), 5, "ESIGNER_DISABLED", words=("xxx...",)
    ),
    "a token without end": Case(garbled(is_token, work, expires_in=10**400), 0, spent=1),
    "a token that has ended": Case(garbled(is_token, work, expires_in=-5), 5, "ESIGNER_ANSWER"),
    "no base64": Case(garbled(is_sign, work, signatures=["%%%"]), 6, LOST, spent=1),
    "no signatures": Case(garbled(is_sign, work, signatures=None), 6, LOST, spent=1),
    "empty signatures": Case(garbled(is_sign, work, signatures=[""]), 6, LOST, spent=1),
    "a text in the place of signatures": Case(garbled(is_sign, work, signatures="QUJD"), 6, LOST, spent=1),
    "bits turned": Case(garbled(is_sign, work, signatures=["QUJD"]), 6, "KEY_MISMATCH", spent=1),
    "a page in the place of the credentials": Case(answering(is_list, PAGE), 5, "ESIGNER_ANSWER"),
    "garbage in the place of the credentials": Case(garbled(is_list, work, credentialIDs={}), 5, "ESIGNER_ANSWER"),
    "no certificate": Case(garbled(is_info, work, cert=None), 5, "ESIGNER_ANSWER"),
    "a certificate that is none": Case(garbled(is_info, work, cert={"certificates": ["QUJD"]}), 5, "ESIGNER_ANSWER"),
    "revoked": Case(garbled(is_info, work, cert={"status": "revoked", "certificates": []}), 5, "ESIGNER_ANSWER"),
    "a page in the place of the scan's settings": Case(answering(at("/scan/settings"), PAGE), 5, "ESIGNER_ANSWER"),
    "a page in the place of the token": Case(answering(is_token, PAGE), 5, "ESIGNER_ANSWER"),
    "a token with a line break": Case(garbled(is_token, work, access_token="a\nb"), 5, "ESIGNER_ANSWER"),  # noqa: S106
    "busy before the token": Case(answering(is_token, BUSY, 2), 0, spent=1),
    "unknown client": Case(answering(is_token, wrong(401, "invalid_client", "unknown client")), 5, "ESIGNER_CLIENT"),
}


@pytest.mark.parametrize("name", CASES)
def test_outcome_signatures_and_journal(name: str, service: ESigner, tmp_path: Path) -> None:
    case, unsigned = CASES[name], fill(tmp_path, CASES[name].files)
    case.set_up(service)
    more = ("--jobs", "1") if "between" in name else ()
    run = run_in(service, tmp_path, *more)
    check_outcome(case, run, tmp_path, unsigned, len(service.account.signed))
    assert list((tmp_path / "store").rglob("*.journal")) == []
    for secret in (PASSWORD, TOTP, *service.account.sads, *service.account.tokens):
        assert secret not in run.text


def test_a_refused_password_is_tried_once(service: ESigner, tmp_path: Path) -> None:
    service.account.password = "changed since"  # noqa: S105 - made in the test
    fill(tmp_path, 3)
    run = run_in(service, tmp_path)
    assert (run.code, run.report["error"]["code"]) == (5, "ESIGNER_SIGN_IN"), run.text
    assert (service.account.logins, service.account.refused_passwords) == (1, 1)
    assert "locked" in run.text


def test_a_password_that_the_service_repeats_is_not_shown(service: ESigner, tmp_path: Path) -> None:
    """JSON writes it with escapes."""
    given = 'planted"\\/\u00f6'
    answering(is_token, wrong(401, "invalid_grant", f"no user with {given}"))(service)
    fill(tmp_path, 1)
    run = run_in(service, tmp_path, environment={"ESIGNER_PASSWORD": given})
    assert (run.code, "planted" in run.text, "no user with ***" in run.text) == (5, False, True), run.text


def test_a_lost_answer_to_the_sign_in_is_not_repeated(service: ESigner, tmp_path: Path) -> None:
    hanging_up(is_token, 9)(service)
    fill(tmp_path, 1)
    run = run_in(service, tmp_path)
    assert (run.code, run.report["error"]["code"], service.account.logins) == (5, "ESIGNER_UNREACHABLE", 1), run.text


def test_a_refused_one_time_password_is_tried_once(service: ESigner, tmp_path: Path) -> None:
    service.account.only.otp, service.account.totp = True, "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
    fill(tmp_path, 7)
    run = run_in(service, tmp_path, "--jobs", "2")
    assert run.code == 6, run.text
    assert {file["error"]["code"] for file in run.report["files"] if file["error"]} <= {"ESIGNER_OTP", "NOT_TRIED"}
    assert (service.account.refused_otps, service.account.signed) == (1, [])
    assert run.report["totals"]["signatures_used"] == 0
    assert "The OTP is invalid" in run.text


def test_a_machine_s_clock_that_is_wrong_is_said_with_a_refused_password(service: ESigner, tmp_path: Path) -> None:
    service.account.only.otp, service.account.ahead = True, 240.0
    service.account.totp = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
    fill(tmp_path, 1)
    run = run_in(service, tmp_path)
    assert "this machine's clock is 240 s slow by SSL.com's" in run.text


def test_a_locked_account_is_left_alone(service: ESigner, tmp_path: Path) -> None:
    service.account.only.otp, service.account.refused_otps = True, 3
    fill(tmp_path, 2)
    run = run_in(service, tmp_path, "--jobs", "1")
    assert (run.code, len(service.of("/authorize"))) == (6, 1), run.text
    assert {file["error"]["code"] for file in run.report["files"]} == {"ESIGNER_LOCKED"}


def test_the_next_run_asks_for_what_was_lost_and_counts_it_again(service: ESigner, tmp_path: Path) -> None:
    hanging_up(is_sign, 1)(service)
    fill(tmp_path, 2)
    assert run_in(service, tmp_path).code == 6
    again = run_in(service, tmp_path)
    assert (again.code, again.report["totals"]["signatures_used"]) == (0, 2), again.text
    assert len(service.account.signed) == 4
    assert service.account.only.id == CREDENTIAL
