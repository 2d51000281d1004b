"""The timestamp server's HTTP side: connections, refusals, silence and shutting down."""

from __future__ import annotations

import hashlib
import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest
from asn1crypto import tsp

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_server import MAX_QUERY, QUERY_TYPE, REPLY_TYPE, TimestampServer
from kspsign.model.errors import PrerequisiteError

HEADERS = {"Content-Type": QUERY_TYPE}
QUERY: bytes = tsp.TimeStampReq(
    {
        "version": "v1",
        "message_imprint": {
            "hash_algorithm": {"algorithm": "sha256"},
            "hashed_message": hashlib.sha256(b"content").digest(),
        },
        "cert_req": True,
    }
).dump()


def port_of(server: TimestampServer) -> int:
    return int(server.url.rstrip("/").rpartition(":")[2])


@contextmanager
def connected(server: TimestampServer) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=30)) as connection:
        yield connection


def stamp(connection: http.client.HTTPConnection, headers: dict[str, str] = HEADERS) -> datetime:
    connection.request("POST", "/", QUERY, headers)
    response = connection.getresponse()
    assert (response.status, response.headers["Content-Type"]) == (200, REPLY_TYPE)
    token = tsp.TimeStampResp.load(response.read(), strict=True)["time_stamp_token"]
    time: datetime = token["content"]["encap_content_info"]["content"].parsed["gen_time"].native
    return time


def test_one_connection_serves_many_queries(timestamp_server: TimestampServer) -> None:
    with connected(timestamp_server) as connection:
        stamp(connection)
        first = connection.sock
        for _ in range(5):
            stamp(connection, {"Content-Type": f"{QUERY_TYPE}; charset=binary"})
        assert connection.sock is first
        assert first is not None


def test_many_clients_at_once(timestamp_server: TimestampServer) -> None:
    def client(_: int) -> datetime:
        with connected(timestamp_server) as connection:
            return stamp(connection)

    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(client, range(48)))) == 48


def test_the_clock_is_a_seam(authority: EmbeddedAuthority) -> None:
    fixed = datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC)
    with TimestampServer(authority, now=lambda: fixed) as server, connected(server) as connection:
        assert stamp(connection) == fixed


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        ("GET", {}, None, 405),
        ("HEAD", {}, None, 405),
        ("PUT", HEADERS, QUERY, 405),
        ("DELETE", {}, None, 501),
        ("POST", {"Content-Type": "application/octet-stream"}, QUERY, 415),
        ("POST", HEADERS, b"\0" * (MAX_QUERY + 1), 413),
        ("POST", HEADERS, b"\0" * (1 << 20), 413),
        ("POST", HEADERS | {"Content-Length": "-1"}, QUERY, 400),
        ("POST", HEADERS | {"Content-Length": "9" * 5000}, QUERY, 413),
        ("POST", HEADERS | {"Transfer-Encoding": "chunked"}, None, 411),
    ],
)
def test_what_is_no_timestamp_query_gets_its_http_status(
    timestamp_server: TimestampServer, method: str, headers: dict[str, str], body: bytes | None, status: int
) -> None:
    with connected(timestamp_server) as connection:
        connection.request(method, "/", body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert (response.headers["Allow"] == "POST") == (status == 405)
        stamp(connection)  # http.client connects anew where the server hung up


def test_rubbish_of_the_right_type_gets_a_rejection_not_a_failure(timestamp_server: TimestampServer) -> None:
    with connected(timestamp_server) as connection:
        connection.request("POST", "/", b"rubbish", HEADERS)
        response = connection.getresponse()
        assert response.status == 200
        assert tsp.PKIStatusInfo.load(response.read()[2:])["fail_info"].native == {"bad_data_format"}


def test_nothing_is_said_on_the_run_s_streams(
    timestamp_server: TimestampServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with connected(timestamp_server) as connection:
        stamp(connection)
    with closing(socket.create_connection(("127.0.0.1", port_of(timestamp_server)), timeout=30)) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nContent-Type: application/timestamp-query\r\nContent-Length: 500\r\n\r\nx")
    with closing(socket.create_connection(("127.0.0.1", port_of(timestamp_server)), timeout=30)) as raw:
        raw.sendall(b"\x16\x03\x01 not HTTP at all\r\n\r\n")
        assert raw.recv(4096)
    with connected(timestamp_server) as connection:
        stamp(connection)
    assert capfd.readouterr() == ("", "")


def test_leaving_the_block_ends_kept_connections_and_threads(authority: EmbeddedAuthority) -> None:
    before = set(threading.enumerate())
    with TimestampServer(authority) as server:
        kept = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=30)
        stamp(kept)
    assert set(threading.enumerate()) <= before
    assert kept.sock is not None
    assert kept.sock.recv(1) == b""
    kept.close()
    with pytest.raises(ConnectionRefusedError), connected(server) as connection:
        connection.connect()


def test_a_port_in_use_is_told(authority: EmbeddedAuthority, timestamp_server: TimestampServer) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        TimestampServer(authority, port=port_of(timestamp_server))
    assert caught.value.code == "TIMESTAMP_PORT"
    assert str(port_of(timestamp_server)) in caught.value.message
