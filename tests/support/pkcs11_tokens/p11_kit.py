"""p11-kit: a SoftHSM2 through its proxy module, and one through its server and client module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from support import softhsm
from support.pkcs11_tokens.daemons import running, until
from support.pkcs11_tokens.token import Publisher, TokenUnderTest, installed
from support.softhsm import LIBRARY, PIN

_KEY = ("--keypair-alias", "key")


def proxied(folder: Path) -> TokenUnderTest:
    """A token among those of every module that p11-kit has registered on this machine."""
    publisher, token = _token(folder)
    module = installed("p11-kit-proxy.so", "p11-kit-modules")
    return TokenUnderTest(module, token.label, _KEY, PIN, publisher.root, token.environment)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[TokenUnderTest]:
    """A token that another process offers at a socket (p11-kit server)."""
    publisher, token = _token(folder)
    module, address = installed("pkcs11/p11-kit-client.so", "p11-kit-modules"), folder / "p11-kit.socket"
    offer = ("--name", address, "--provider", LIBRARY, f"pkcs11:token={token.label}")
    with running("p11-kit", "server", "--foreground", *offer, environment=token.environment) as server:
        until(address.exists, server)
        environment = {"P11_KIT_SERVER_ADDRESS": f"unix:path={address}"}
        yield TokenUnderTest(module, token.label, _KEY, PIN, publisher.root, environment)


def _token(folder: Path) -> tuple[Publisher, softhsm.SoftHsm]:
    key = ec.generate_private_key(ec.SECP256R1())
    publisher = Publisher.create(folder, key)
    token = softhsm.create(folder, "served-token")
    token.import_key(key, "key", "01")
    token.import_certificate(publisher.issued, "certificate", "77")
    return publisher, token
