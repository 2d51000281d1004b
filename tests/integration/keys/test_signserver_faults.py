"""What a run makes of every way in which a SignServer worker can fail: outcome, signatures spent, journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.keys.test_signserver import run_in
from support.certificates import shared_key
from support.key_vault.answers import Request, Response
from support.service_faults import AT_ONCE, Case, Set, answering, before, check_outcome, fill, garbled
from support.service_faults import PAGE as HTML
from support.signserver.answers import wrong
from support.signserver.server import SignServer
from support.signserver.world import SignServerWorld

OTHER = shared_key(2)
LOST = "SIGNATURE_MAY_BE_SPENT"
PAGE = Response(200, HTML, {"Content-Type": "text/html"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SignServer]:
    (tmp_path / "signserver").mkdir()
    with SignServer(SignServerWorld(), tmp_path / "signserver") as running:
        yield running


def is_process(request: Request) -> bool:
    return request.path.endswith("/process")


def work(server: SignServer, request: Request) -> Response:
    return server.work(request, None)


def having(**ways: Any) -> Set:
    """The server has these ways; see SignServerWorld."""

    def set_up(server: SignServer) -> None:
        for name, value in ways.items():
            setattr(server.world, name, value)

    return set_up


def renewing(times: int, subject: str = "SignServer publisher") -> Set:
    """Another key and certificate before each of the first signatures."""

    def set_up(server: SignServer) -> None:
        left = [times]

        def renew() -> None:
            left[0] -= 1
            if left[0] >= 0:
                server.world.renew(None, subject)

        server.interfere = before(is_process, renew)

    return set_up


def hashing(algorithm: str) -> Set:
    return having(algorithm=algorithm)


def signature_in_lines(server: SignServer) -> None:
    def interfere(request: Request) -> Response | None:
        if not is_process(request):
            return None
        content = work(server, request).content
        assert isinstance(content, dict)
        return Response(200, {**content, "data": content["data"][:64] + "\r\n" + content["data"][64:]})

    server.interfere = interfere


BUSY = Response(503, b"<html>Busy</html>", AT_ONCE)
CASES: dict[str, Case] = {
    "by its number": Case(having(), 0, spent=1),
    "renewed between two files": Case(renewing(3), 0, spent=3, files=3),
    "another publisher's certificate": Case(
        renewing(1, "Someone else"), 6, "KEY_MISMATCH", spent=1, words=("another publisher's",)
    ),
    "certificate not shown": Case(having(shows_certificate=False), 0, spent=1),
    "too many requests before": Case(answering(is_process, Response(429, b"", AT_ONCE), 2), 0, spent=1),
    "busy for ever": Case(answering(is_process, BUSY), 6, "SIGNSERVER_UNAVAILABLE", words=("after 10 attempts",)),
    "internal fault": Case(
        answering(is_process, wrong(500, "Internal server error: Archiving failed")), 6, LOST, used=1
    ),
    "a gateway answers": Case(answering(is_process, Response(502, PAGE.content)), 6, LOST, used=1, words=("HTTP 502",)),
    "a gateway's time is over": Case(answering(is_process, Response(504, b"")), 6, LOST, used=1),
    "wrong password": Case(having(auth="basic"), 6, "SIGNSERVER_SIGN_IN", words=("Authentication denied",)),
    "address refused": Case(
        answering(is_process, wrong(401, "Remote address not authorized")), 6, "SIGNSERVER_FORBIDDEN"
    ),
    "header refused": Case(answering(is_process, wrong(403, "Access is forbidden!")), 6, "SIGNSERVER_FORBIDDEN"),
    "client-side hashing is off": Case(
        having(hashing=False), 6, "SIGNSERVER_HASHING", words=("CLIENTSIDEHASHING=true",)
    ),
    "digest not accepted": Case(having(accepted=frozenset({"SHA-512"})), 6, "SIGNSERVER_DIGEST", words=("--digest",)),
    "no such worker": Case(answering(is_process, wrong(404, "No such worker: x")), 6, "SIGNSERVER_NOT_FOUND"),
    "another path": Case(
        answering(is_process, Response(404, b"<html>404</html>")), 6, "SIGNSERVER_ANSWER", words=("--signserver-url",)
    ),
    "disabled": Case(having(disabled=True), 6, "SIGNSERVER_DISABLED"),
    "offline": Case(having(offline=True), 6, "SIGNSERVER_OFFLINE", words=("crypto token",)),
    "limit reached": Case(having(limit=1), 1, "SIGNSERVER_LIMIT", spent=1, files=2),
    "misconfigured": Case(having(misconfigured=True), 6, "SIGNSERVER_MISCONFIGURED"),
    "signer certificate expired": Case(
        answering(is_process, wrong(503, "Error Signer 7 have a signing certificate that is expired")),
        6,
        "SIGNSERVER_CERTIFICATE",
    ),
    "an error of a later version": Case(
        answering(is_process, wrong(400, "Brand new")), 6, "SIGNSERVER_REFUSED", words=("Brand new",)
    ),
    "hashes the hash": Case(
        hashing("SHA256withRSA"), 6, "SIGNSERVER_ALGORITHM", spent=1, words=("NONEwithRSA", "hashed the hash once more")
    ),
    "pads by PSS": Case(hashing("NONEwithRSAandMGF1"), 6, "SIGNSERVER_ALGORITHM", spent=1, words=("RSASSA-PSS",)),
    "hashes and pads by PSS": Case(
        hashing("SHA256withRSAandMGF1"), 6, "SIGNSERVER_ALGORITHM", spent=1, words=("and used RSASSA-PSS",)
    ),
    "a signature in lines": Case(signature_in_lines, 0, spent=1),
    "a number in the place of the certificate": Case(garbled(is_process, work, signerCertificate=5), 6, LOST, spent=1),
    "no base64": Case(garbled(is_process, work, data="%%%"), 6, LOST, spent=1),
    "no signature": Case(garbled(is_process, work, data=None), 6, LOST, spent=1),
    "an empty signature": Case(garbled(is_process, work, data=""), 6, LOST, spent=1),
    "bits turned": Case(garbled(is_process, work, data="QUJD"), 6, "KEY_MISMATCH", spent=1),
    "a certificate that is none": Case(garbled(is_process, work, signerCertificate="QUJD"), 6, LOST, spent=1),
}


@pytest.mark.parametrize("name", CASES)
def test_outcome_signatures_and_journal(name: str, server: SignServer, tmp_path: Path) -> None:
    case, unsigned = CASES[name], fill(tmp_path, CASES[name].files)
    case.set_up(server)
    more = ("--keypair-alias", "7") if name == "by its number" else ()
    environment = {"SIGNSERVER_USERNAME": "build", "SIGNSERVER_PASSWORD": "stale"} if name == "wrong password" else None
    run = run_in(server, tmp_path, *more, environment=environment)
    check_outcome(case, run, tmp_path, unsigned, len(server.world.signed))
    assert list((tmp_path / "store").rglob("*.journal")) == []


def test_a_password_that_is_a_part_of_the_answer_spoils_no_signature(server: SignServer, tmp_path: Path) -> None:
    """Short ones are in base64 by chance."""
    server.world.auth, server.world.password = "basic", "A"
    fill(tmp_path, 1)
    run = run_in(server, tmp_path, environment={"SIGNSERVER_USERNAME": "build", "SIGNSERVER_PASSWORD": "A"})
    assert (run.code, len(server.world.signed)) == (0, 1), run.text
