"""The KeyLocker client behind a proxy: the tunnel, its password, what the proxy never sees, and a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kspsign.keys.keylocker.client import KeyLockerClient
from kspsign.keys.keylocker.credentials import read_credentials
from kspsign.keys.open import open_key_store
from kspsign.model.errors import LostSignatureError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm
from support.digicert_one.fixture import Host, running
from support.digicert_one.server import Fault
from support.keylocker import settings
from support.network.proxy import LOGIN, Proxy


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with running(tmp_path) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code")
        yield host


def test_everything_goes_through_one_tunnel_that_hides_the_key(host: Host) -> None:
    with Proxy(login=True) as server:
        through = f"http://{LOGIN}@127.0.0.1:{server.port}"
        open_key_store(settings(host, "release", HTTPS_PROXY=through)).close()
    (asked,) = server.lines
    assert asked.startswith(f"CONNECT {host.service.url.removeprefix('https://')} ")
    assert b"api-key" not in bytes(server.seen).lower()
    assert host.world.user.api_key.encode() not in server.seen
    assert host.service.record.connections == 1


def test_a_tunnel_that_breaks_later_is_a_lost_answer(host: Host) -> None:
    """urllib3 calls it an error of the proxy, as if nothing had been sent: a second signature would be paid."""
    with Proxy(login=True) as server:
        through = f"http://{LOGIN}@127.0.0.1:{server.port}"
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
    with Proxy(login=True) as server:
        given = settings(host, None, HTTPS_PROXY=f"http://agent:wrong-pass@127.0.0.1:{server.port}")
        asking = KeyLockerClient(read_credentials(given.credentials), lambda _seconds: False, network=given.network)
        with pytest.raises(PrerequisiteError) as caught:
            asking.get("keypairs", asked="the list")
        asking.close()
    assert caught.value.code == "KEYLOCKER_UNREACHABLE"
    assert "proxy" in caught.value.message
    assert "wrong-pass" not in caught.value.message + caught.value.remedy
    assert host.service.record.connections == 0
