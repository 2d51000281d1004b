"""One host of DigiCert ONE, and an agent for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_server import TimestampServer
from support.certificates import rsa_key
from support.digicert_one.fixture import Host, running
from support.drop_in import ALIAS, BuildAgent


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with one key pair that signs, and one that is another user's."""
    with running(tmp_path_factory.mktemp("host")) as host:
        world = host.world
        world.add_certificate(world.add_keypair(ALIAS, rsa_key(2048)), "contoso-certificate")
        others = world.add_keypair("Fabrikam")
        others.signers = frozenset({"somebody.else"})
        world.add_certificate(others, "fabrikam-certificate")
        yield host


@pytest.fixture
def agent(
    host: Host, authority: EmbeddedAuthority, timestamp_server: TimestampServer, tmp_path: Path
) -> Iterator[BuildAgent]:
    """An agent with an empty store; the host's faults end with the test."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(host.world.root.pem + authority.root.certificate.public_bytes(Encoding.PEM))
    yield BuildAgent(host, tmp_path, timestamp_server.url, roots)
    host.service.faults.clear()
