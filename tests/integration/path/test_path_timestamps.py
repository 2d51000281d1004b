"""Timestamp servers that fail in every way: nothing is embedded unchecked, and the file stays as it was."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import tsp

from kspsign.embedded.authority import EmbeddedAuthority, load_authority
from kspsign.embedded.timestamp_reply import respond
from kspsign.embedded.timestamp_server import REPLY_TYPE, TimestampServer
from support.formats.peimages import build_pe
from support.loopback import LoopbackServer, SilentHandler
from support.samples import Run, Store, assert_no_leftovers, copy_launcher, kspsign, osslsigncode_verify

HANG_UP = 0
"""In place of a status: the connection ends without an answer."""

Answer = Callable[[bytes], tuple[int, bytes]]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """A server on loopback that answers each query as told; its URL."""

    class Handler(SilentHandler):
        protocol_version = "HTTP/1.0"

        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answer(query)
            if status == HANG_UP:
                return
            self.send_response(status)
            self.send_header("Content-Type", REPLY_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with LoopbackServer(Handler) as http:
        yield f"{http.url}/"


@pytest.fixture
def own(store: Store) -> EmbeddedAuthority:
    """The store's own authority: what it stamps would be trusted."""
    return load_authority(store.folder / "embedded")


def changed(query: bytes, **fields: object) -> bytes:
    """The query with some fields replaced."""
    request = tsp.TimeStampReq.load(query)
    for name, value in fields.items():
        request[name] = value
    return bytes(request.dump(force=True))


def genuine(own: EmbeddedAuthority, query: bytes) -> bytes:
    return respond(query, own, datetime.now(UTC))


def sign(path: Path, store: Store, *urls: str) -> Run:
    chosen = [option for url in urls for option in ("--timestamp-url", url)]
    return kspsign("sign", path, "--thumbprint", store.thumbprint, "--store", store.folder, *chosen, folder=path.parent)


def assert_refused(path: Path, store: Store, url: str, words: str) -> None:
    before = path.read_bytes()
    run = sign(path, store, url)
    assert (run.code, run.error_code) == (6, "TIMESTAMP_UNAVAILABLE")
    assert words in run.text
    assert url in run.text
    assert "--timestamp-url" in run.file["error"]["remedy"]
    assert run.report["totals"]["signatures_used"] == 1
    assert path.read_bytes() == before
    assert_no_leftovers(path.parent)


def test_nobody_listens(store: Store, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    assert_refused(copy_launcher(tmp_path), store, url, "connection refused")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>please log in</html>", "a web page in place of a timestamp"),
        (200, b"", "unusable answer"),
        (200, b"\x30\x03\x02\x01\x00", "unusable answer"),
        (200, b"\x30\x80" * 5000, "unusable answer"),
        (200, bytes(2 << 20), "more than"),
        (HANG_UP, b"", "no answer"),
        (404, b"", "HTTP 404"),
        (301, b"", "HTTP 301"),
    ],
    ids=["page", "nothing", "no token", "nesting", "endless", "hang-up", "404", "redirect"],
)
def test_rubbish(store: Store, tmp_path: Path, status: int, body: bytes, words: str) -> None:
    with server(lambda _query: (status, body)) as url:
        assert_refused(copy_launcher(tmp_path), store, url, words)


def test_a_token_for_another_digest(store: Store, tmp_path: Path, own: EmbeddedAuthority) -> None:
    def answer(query: bytes) -> tuple[int, bytes]:
        imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": b"\x11" * 32}
        return 200, genuine(own, changed(query, message_imprint=imprint))

    with server(answer) as url:
        assert_refused(copy_launcher(tmp_path), store, url, "is for another signature")


def test_a_token_with_another_digest_algorithm(store: Store, tmp_path: Path, own: EmbeddedAuthority) -> None:
    def answer(query: bytes) -> tuple[int, bytes]:
        imprint = {"hash_algorithm": {"algorithm": "sha384"}, "hashed_message": b"\x11" * 48}
        return 200, genuine(own, changed(query, message_imprint=imprint))

    with server(answer) as url:
        assert_refused(copy_launcher(tmp_path), store, url, "another digest algorithm")


def test_a_token_with_another_nonce(store: Store, tmp_path: Path, own: EmbeddedAuthority) -> None:
    with server(lambda query: (200, genuine(own, changed(query, nonce=7)))) as url:
        assert_refused(copy_launcher(tmp_path), store, url, "does not repeat the nonce")


def test_a_token_without_the_authoritys_certificate(store: Store, tmp_path: Path, own: EmbeddedAuthority) -> None:
    with server(lambda query: (200, genuine(own, changed(query, cert_req=False)))) as url:
        assert_refused(copy_launcher(tmp_path), store, url, "certificate")


def test_a_token_whose_signature_is_broken(store: Store, tmp_path: Path, own: EmbeddedAuthority) -> None:
    def answer(query: bytes) -> tuple[int, bytes]:
        reply = bytearray(genuine(own, query))
        reply[-1] ^= 1
        return 200, bytes(reply)

    with server(answer) as url:
        assert_refused(copy_launcher(tmp_path), store, url, "does not match")


def test_a_refusal_is_told_in_the_servers_words(store: Store, tmp_path: Path, own: EmbeddedAuthority) -> None:
    with server(lambda query: (200, genuine(own, changed(query, req_policy="1.2.3.4")))) as url:
        assert_refused(copy_launcher(tmp_path), store, url, "the only policy is")


def test_a_stranger_is_not_trusted_even_when_all_else_is_right(
    store: Store, tmp_path: Path, timestamp_server: TimestampServer
) -> None:
    path = copy_launcher(tmp_path)
    before = path.read_bytes()
    run = sign(path, store, timestamp_server.url)
    assert (run.code, run.error_code, run.report["error"]["code"]) == (6, *["TIMESTAMP_UNAVAILABLE"] * 2)
    assert f"{timestamp_server.url}: its token would not verify (timestamp-certificate-chain: " in run.text
    assert "--trust-root" in run.file["error"]["remedy"]
    assert run.report["totals"]["signatures_used"] == 0
    assert path.read_bytes() == before
    assert_no_leftovers(tmp_path)


def test_an_overloaded_server_is_asked_again(store: Store, tmp_path: Path, own: EmbeddedAuthority) -> None:
    asked: list[bytes] = []

    def answer(query: bytes) -> tuple[int, bytes]:
        asked.append(query)
        return (200, genuine(own, query)) if len(asked) == 2 else (503, b"")

    path = copy_launcher(tmp_path)
    with server(answer) as url:
        run = sign(path, store, url)
    assert run.code == 0, run.text
    assert len(asked) == 2
    assert asked[0] != asked[1], "each query has its own nonce"
    assert osslsigncode_verify(path, store.root).accepted


def test_the_next_server_is_asked_when_one_fails(store: Store, tmp_path: Path, own: EmbeddedAuthority) -> None:
    path = copy_launcher(tmp_path)
    with server(lambda _query: (404, b"")) as bad, server(lambda query: (200, genuine(own, query))) as good:
        run = sign(path, store, bad, good)
    assert run.code == 0
    assert run.report["totals"]["signatures_used"] == 1


def test_a_server_that_always_fails_is_not_asked_for_ever(store: Store, tmp_path: Path) -> None:
    asked: list[bytes] = []

    def answer(query: bytes) -> tuple[int, bytes]:
        asked.append(query)
        return 500, b""

    with server(answer) as url:
        assert_refused(copy_launcher(tmp_path), store, url, "HTTP 500")
    assert len(asked) == 3


def test_a_server_that_wants_time_between_requests_gets_it(
    own: EmbeddedAuthority, store: Store, tmp_path: Path
) -> None:
    begun: list[float] = []

    def answer(query: bytes) -> tuple[int, bytes]:
        begun.append(time.monotonic())
        return 200, genuine(own, query)

    for number in range(3):
        (tmp_path / f"{number}.exe").write_bytes(build_pe(overlay=bytes([number])))
    with server(answer) as url:
        run = kspsign(
            *("sign", tmp_path / "*.exe", "--thumbprint", store.thumbprint, "--store", store.folder),
            *("--timestamp-url", url, "--timestamp-limit", "127.0.0.1=1/1"),
            folder=tmp_path,
        )
    assert run.code == 0, run.text
    assert [entry["outcome"] for entry in run.report["files"]] == ["signed"] * 3
    assert len(begun) == 4, "one before the first signature is spent, one for each file"
    assert all(later - earlier > 0.5 for earlier, later in itertools.pairwise(begun))
