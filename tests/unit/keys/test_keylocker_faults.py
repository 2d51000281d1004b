"""What the KeyLocker client makes of refusals, silence and broken connections; what it repeats and what never."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from kspsign.keys.keylocker.client import ATTEMPTS, FIRST_PAUSE, KeyLockerClient
from kspsign.keys.keylocker.credentials import read_credentials
from kspsign.keys.keylocker.errors import said_by
from kspsign.keys.open import open_key_store
from kspsign.keys.protocol import KeyStore
from kspsign.model.errors import (
    CancelledError,
    KspSignError,
    LostSignatureError,
    PrerequisiteError,
    SigningError,
    ThrottledError,
)
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import DigestAlgorithm
from kspsign.network.limiter import Limiter
from kspsign.network.retry import LONGEST_PAUSE
from kspsign.signing import source
from kspsign.signing.budget import Budget
from kspsign.signing.circuit_breaker import CircuitBreaker
from kspsign.signing.source import SignatureSource
from kspsign.signing.source_records import SourceRecords
from kspsign.signing.use_recorder import UseRecorder
from support.digicert_one import wire
from support.digicert_one.answers import Response
from support.digicert_one.fixture import Host, running
from support.digicert_one.server import Fault
from support.keylocker import settings

DIGEST = hashlib.sha256(b"content").digest()
NOW = {"Retry-After": "0"}
THROTTLED = Response(429, wire.error("too_many_requests", "slow down"), NOW)
BUSY = Response(503, b"<html><body>Service  Unavailable\n</body></html>", NOW)
GATEWAY = Response(502, b"Bad Gateway", NOW)
SLOW_GATEWAY = Response(504, b"")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with running(tmp_path) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code")
        yield host


@pytest.fixture
def store(host: Host) -> Iterator[KeyStore]:
    store = open_key_store(settings(host, "release"))
    yield store
    store.close()


class Pauses(list[float]):
    """Waits never, remembers the seconds, and has the run cancelled at the pause of that number."""

    def __init__(self, cancelled_at: int | None = None) -> None:
        super().__init__()
        self._cancelled_at = cancelled_at

    def __call__(self, seconds: float) -> bool:
        if seconds > 0:
            self.append(seconds)
        return self._cancelled_at is not None and len(self) >= self._cancelled_at


def client(host: Host, pauses: Pauses, url: str | None = None) -> KeyLockerClient:
    credentials = read_credentials(settings(host, None, SM_HOST=url or host.service.url).credentials)
    return KeyLockerClient(credentials, pauses, network=NetworkOptions())


def failed(action: Callable[[], object]) -> KspSignError:
    with pytest.raises(KspSignError) as caught:
        action()
    return caught.value


def sign(store: KeyStore) -> bytes:
    return store.sign(DIGEST, DigestAlgorithm.SHA256).value


@pytest.mark.parametrize(
    ("response", "code", "words"),
    [
        (Response(400, wire.error("invalid_input_field", "hash is wrong")), "KEYLOCKER_REFUSED", "hash is wrong"),
        (Response(401, wire.error("invalid_api_key", "expired")), "API_KEY_REFUSED", "invalid_api_key: expired"),
        (Response(403, wire.error("access_denied", "no")), "ACCESS_DENIED", "access_denied: no"),
        (Response(403, wire.error("access_denied", "User is not the signer")), "NOT_THE_SIGNER", "signer"),
        (Response(404, wire.error("resource_not_found", "gone")), "KEYLOCKER_NOT_FOUND", "gone"),
        (Response(404, wire.gateway_error("X", "Path not found")), "KEYLOCKER_NOT_FOUND", "X: Path not found"),
        (
            Response(500, wire.framework_error(500, "Internal Server Error", "/x")),
            "KEYLOCKER_UNAVAILABLE",
            "Internal Server Error",
        ),
        (Response(500, b"<h1>Oops</h1>\n\n<p>it broke"), "KEYLOCKER_UNAVAILABLE", "Oops it broke"),
        (Response(302, b"", {"Location": "https://example.com/login"}), "KEYLOCKER_ANSWER", "302 Found"),
        (Response(403, {"unknown": ["shape"]}), "ACCESS_DENIED", "shape"),
        (Response(422, b"[" * 5000), "KEYLOCKER_REFUSED", "[["),
    ],
)
def test_each_shape_of_refusal_is_said_once_with_its_remedy(
    host: Host, store: KeyStore, response: Response, code: str, words: str
) -> None:
    host.service.faults.append(Fault("POST", "/sign", response, times=9))
    error = failed(lambda: sign(store))
    assert isinstance(error, SigningError)
    assert (error.code, words in error.message, bool(error.remedy)) == (code, True, True)
    assert len(host.service.record.of("POST")) == 1
    assert host.world.spent == 0


def test_the_service_s_own_refusals(host: Host, store: KeyStore) -> None:
    """What the stand-in itself answers, through the same door as everything."""
    pair = host.world.keypairs[0]
    for change, back, code in (
        ({"status": "OFFLINE"}, {"status": "ONLINE"}, "KEYPAIR_OFFLINE"),
        ({"team": True}, {"team": False}, "KEYPAIR_RESTRICTED"),
        ({"signers": frozenset({"x"})}, {"signers": None}, "NOT_THE_SIGNER"),
        ({"quota": 0}, {"quota": 5}, "QUOTA_USED_UP"),
    ):
        vars(pair).update(change)
        assert failed(lambda: sign(store)).code == code
        vars(pair).update(back)
    assert host.world.spent == 0
    sign(store)
    assert pair.quota == 4


def ask(store: KeyStore, cancelled: threading.Event | None = None) -> bytes:
    """A signature as the engine asks for it."""
    chain = store.certificate_chain()
    limiter = Limiter(4, cancelled or threading.Event())
    source = SignatureSource(store, chain, limiter, Budget(None), CircuitBreaker(), SourceRecords(UseRecorder()))
    return source.get(DIGEST, DigestAlgorithm.SHA256).value


@pytest.mark.parametrize(
    ("response", "seconds"),
    [(THROTTLED, 0), (BUSY, 0), (Response(429, b"", {"Retry-After": "7"}), 7), (Response(503, b""), None)],
)
def test_a_busy_service_is_told_apart(host: Host, store: KeyStore, response: Response, seconds: float | None) -> None:
    host.service.faults.append(Fault("POST", "/sign", response, times=3))
    error = failed(lambda: sign(store))
    assert isinstance(error, ThrottledError)
    assert (error.retry_after, len(host.service.record.of("POST"))) == (seconds, 1)


@pytest.mark.parametrize("response", [THROTTLED, BUSY])
def test_a_busy_service_is_asked_again_by_the_engine(host: Host, store: KeyStore, response: Response) -> None:
    host.service.faults.append(Fault("POST", "/sign", response, times=3))
    ask(store)
    assert (len(host.service.record.of("POST")), host.world.spent) == (4, 1)


@pytest.mark.parametrize(("header", "asked"), [("0", source.ATTEMPTS), (str(int(LONGEST_PAUSE) + 1), 1)])
def test_it_is_not_asked_for_ever_nor_waited_for_long(host: Host, store: KeyStore, header: str, asked: int) -> None:
    host.service.faults.append(Fault("POST", "/sign", Response(429, b"", {"Retry-After": header}), times=99))
    error = failed(lambda: ask(store))
    assert (error.code, len(host.service.record.of("POST"))) == ("KEYLOCKER_THROTTLED", asked)
    assert f"it asks to wait: {header}" in error.message
    assert (f"after {asked} attempts" in error.message) == (asked > 1)


def test_a_cancelled_run_does_not_wait_for_a_busy_service(host: Host, store: KeyStore) -> None:
    host.service.faults.append(Fault("POST", "/sign", Response(429, b"", {"Retry-After": "100"}), times=9))
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    with pytest.raises(CancelledError):
        ask(store, cancelled)
    assert len(host.service.record.of("POST")) == 1


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("in a minute", 40, 60),
        ("Mon, 01 Jan 2024 00:00:00 GMT", 0, 0),
        ("soon", 0.25, 0.75),
    ],
)
def test_retry_after_is_honoured_in_both_forms(host: Host, header: str, low: float, high: float) -> None:
    pauses = Pauses()
    if header == "in a minute":
        header = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    host.service.faults.append(Fault("GET", "keypairs", Response(429, b"", {"Retry-After": header})))
    lookup = client(host, pauses)
    lookup.get("keypairs", asked="the list")
    lookup.close()
    assert low <= sum(pauses) <= high


def test_pauses_grow_and_a_long_wait_is_not_waited_for(host: Host) -> None:
    pauses = Pauses()
    lookup = client(host, pauses)
    host.service.faults.append(Fault("GET", "keypairs", Response(503, b""), times=ATTEMPTS))
    assert failed(lambda: lookup.get("keypairs", asked="the list")).code == "KEYLOCKER_UNAVAILABLE"
    assert len(pauses) == ATTEMPTS - 1
    for number, seconds in enumerate(pauses):
        assert FIRST_PAUSE * 2**number * 0.5 <= seconds <= FIRST_PAUSE * 2**number * 1.5
    pauses.clear()
    late = Response(429, b"", {"Retry-After": str(int(LONGEST_PAUSE) + 1)})
    host.service.faults.append(Fault("GET", "keypairs", late))
    error = failed(lambda: lookup.get("keypairs", asked="the list"))
    assert (error.code, pauses) == ("KEYLOCKER_THROTTLED", [])
    assert "asks to wait: 121" in error.message
    lookup.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", "/sign"),
        Fault("POST", "/sign", GATEWAY),
        Fault("POST", "/sign", SLOW_GATEWAY),
        Fault("POST", "/sign", Response(200, b"{}")),
        Fault("POST", "/sign", Response(200, b"no JSON")),
        Fault("POST", "/sign", Response(200, b'{"signature": "%%%"}')),
        Fault("POST", "/sign", cut=True),
    ],
    ids=["dropped", "502", "504", "empty", "garbage", "not base64", "cut"],
)
def test_a_lost_answer_may_have_spent_a_signature_and_is_not_asked_for_again(
    host: Host, store: KeyStore, fault: Fault, after: bool
) -> None:
    host.service.faults.append(Fault(**{**vars(fault), "after": after}))
    error = failed(lambda: ask(store))
    assert isinstance(error, LostSignatureError)
    assert (error.code, error.timed_out) == ("SIGNATURE_MAY_BE_SPENT", fault.response == SLOW_GATEWAY)
    assert "may have spent a signature" in error.message
    assert len(host.service.record.of("POST")) == 1
    assert host.world.spent == (1 if after or fault.cut else 0)
    sign(store)


def test_a_signature_whose_id_leads_nowhere_may_be_spent(host: Host, store: KeyStore) -> None:
    host.service.only_ids = True
    host.service.faults.append(Fault("GET", "/signatures/", Response(404, wire.error("resource_not_found", "gone"))))
    assert failed(lambda: sign(store)).code == "SIGNATURE_MAY_BE_SPENT"
    host.service.faults.append(Fault("GET", "/signatures/", GATEWAY))
    sign(store)


def test_a_lookup_is_repeated_whatever_happened_to_its_answer(host: Host) -> None:
    for fault in (
        Fault("GET", "certificates"),
        Fault("GET", "certificates", cut=True),
        Fault("GET", "keypairs", GATEWAY),
    ):
        host.service.faults.append(fault)
    store = open_key_store(settings(host, "release"))
    store.close()
    assert not any(fault.times for fault in host.service.faults)


def test_no_answer_in_time_is_a_lost_one(host: Host) -> None:
    store = open_key_store(settings(host, "release", SM_CONN_TIMEOUT="300"))
    host.service.latency = 0.6
    error = failed(lambda: sign(store))
    assert isinstance(error, LostSignatureError)
    assert (error.timed_out, "no answer in time" in error.message) == (True, True)
    store.close()


def test_a_host_that_refuses_connections_is_tried_again_and_told(host: Host) -> None:
    pauses = Pauses()
    nobody = client(host, pauses, "https://localhost:9")
    error = failed(lambda: nobody.get("keypairs", asked="the list"))
    assert isinstance(error, PrerequisiteError)
    assert (error.code, len(pauses)) == ("KEYLOCKER_UNREACHABLE", ATTEMPTS - 1)
    assert "connection refused" in error.message
    error = failed(lambda: nobody.spend("keypairs/1/sign", {}, asked="a signature"))
    assert (type(error), error.code, len(pauses)) == (SigningError, "KEYLOCKER_UNREACHABLE", 2 * (ATTEMPTS - 1))
    nobody.close()


def test_a_cancelled_run_waits_no_longer(host: Host) -> None:
    waiting = client(host, Pauses(cancelled_at=1))
    host.service.faults.append(Fault("GET", "keypairs", Response(429, b"", {"Retry-After": "100"}), times=9))
    with pytest.raises(CancelledError):
        waiting.get("keypairs", asked="the list")
    assert len(host.service.record.of("GET")) == 1
    waiting.close()


def test_a_host_that_takes_no_connection_in_time_is_a_busy_one(host: Host) -> None:
    """Its queue of connections is full, so that no further one comes about: nothing was asked for yet."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        address = full.getsockname()
        for _ in range(4):
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        credentials = read_credentials(
            settings(host, None, SM_HOST=f"https://localhost:{address[1]}", SM_CONN_TIMEOUT="200").credentials
        )
        asking_it = KeyLockerClient(credentials, Pauses(), network=NetworkOptions())
        with pytest.raises(ThrottledError, match="the connection timed out"):
            asking_it.spend("keypairs/x/sign", {}, asked="a signature")
        asking_it.close()


def test_a_cancelled_run_asks_for_no_signature(host: Host) -> None:
    cancelled = threading.Event()
    store = open_key_store(settings(host, "release"), cancelled)
    cancelled.set()
    with pytest.raises(CancelledError):
        sign(store)
    assert host.service.record.of("POST") == []
    store.close()


def test_what_the_service_says_stays_on_one_line_of_bounded_length() -> None:
    assert (
        said_by(b'{"error": {"status": "a", "message": "b\\n##vso[task.complete]\\u001b"}}')
        == "a: b ##vso[task.complete]"
    )
    assert len(said_by(b"x" * 9999)) < 500
    assert said_by(b"\xff\xfe") != ""
    assert said_by(b"") == ""
