"""The KeyLocker client behind a proxy: the tunnel, its password, what the proxy never sees, and a refusal."""

from __future__ import annotations

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kspsign.keys import open_key_store
from kspsign.keys.keylocker.client import KeyLockerClient
from kspsign.keys.keylocker.credentials import read_credentials
from kspsign.model.errors import LostSignatureError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm
from support.digicert_one.fixture import Host, running
from support.digicert_one.server import Fault
from support.keylocker import settings
from support.loopback import LoopbackServer, SilentHandler

ALLOWED = "Basic " + b64encode(b"agent:p@ss:word").decode()


class _Proxy(LoopbackServer):
    def __init__(self) -> None:
        super().__init__(_Tunnel)
        self.asked: list[str] = []
        self.seen = bytearray()


class _Tunnel(SilentHandler):
    server: _Proxy

    def do_CONNECT(self) -> None:
        self.server.asked.append(f"{self.path} {sorted(self.headers)}")
        self.close_connection = True
        if self.headers.get("Proxy-Authorization") != ALLOWED:
            self.send_error(407)
            return
        host, _, port = self.path.rpartition(":")
        with closing(socket.create_connection((host, int(port)), timeout=30)) as target:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=self._pass, args=(target, self.connection))
            back.start()
            self._pass(self.connection, target)
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.server.seen += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return  # either side hung up


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with running(tmp_path) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code")
        yield host


def test_everything_goes_through_one_tunnel_that_hides_the_key(host: Host) -> None:
    with _Proxy() as server:
        through = f"http://agent:p%40ss%3Aword@127.0.0.1:{server.port}"
        open_key_store(settings(host, "release", HTTPS_PROXY=through)).close()
    (asked,) = server.asked
    assert asked.startswith(host.service.url.removeprefix("https://"))
    assert "api-key" not in asked.lower()
    assert host.world.user.api_key.encode() not in server.seen
    assert host.service.record.connections == 1


def test_a_tunnel_that_breaks_later_is_a_lost_answer(host: Host) -> None:
    """urllib3 calls it an error of the proxy, as if nothing had been sent: a second signature would be paid."""
    with _Proxy() as server:
        through = f"http://agent:p%40ss%3Aword@127.0.0.1:{server.port}"
        store = open_key_store(settings(host, "release", HTTPS_PROXY=through))
        host.service.faults.append(Fault("POST", "/sign", after=True))
        with pytest.raises(LostSignatureError, match="the connection was closed"):
            store.sign(bytes(32), DigestAlgorithm.SHA256)
        store.close()
    assert host.world.spent == 1


def test_a_host_in_no_proxy_is_reached_directly(host: Host) -> None:
    there = settings(host, "release", HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY="localhost")
    open_key_store(there).close()


def test_a_proxy_that_refuses_is_named_and_its_password_is_not(host: Host) -> None:
    with _Proxy() as server:
        given = settings(host, None, HTTPS_PROXY=f"http://agent:wrong-pass@127.0.0.1:{server.port}")
        asking = KeyLockerClient(read_credentials(given.credentials), lambda _seconds: False, network=given.network)
        with pytest.raises(PrerequisiteError) as caught:
            asking.get("keypairs", asked="the list")
        asking.close()
    assert caught.value.code == "KEYLOCKER_UNREACHABLE"
    assert "proxy" in caught.value.message
    assert "wrong-pass" not in caught.value.message + caught.value.remedy
    assert host.service.record.connections == 0
