"""What a test needs of a token, whosever software it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.pki import Issued, Key, ca, signer

PIN_VARIABLE = "TEST_TOKEN_PIN"
_NOW = datetime.now(UTC)
_VALID: dict[str, Any] = {"begin": _NOW - timedelta(days=10), "end": _NOW + timedelta(days=300)}


def installed(library: str, package: str) -> Path:
    """A library of the system; where it is missing, the test fails and says what to install."""
    found = sorted(Path("/usr/lib").glob(f"*/{library}"))
    assert found, f"{library} is missing: run tools/install_peers.sh (Debian's package {package})"
    return found[0]


def _anywhere(_folder: Path) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class TokenUnderTest:
    """A token with a key and its certificate.

    `entering(folder)` is what begins a command that is to reach the token. `wrong_pins` is how many wrong PINs the
    token has counted, None where it counts none; `signed` how many signatures it has made, where it counts them.
    """

    module: Path
    label: str
    key: tuple[str, ...]
    pin: str
    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    entering: Callable[[Path], tuple[str, ...]] = _anywhere
    wrong_pins: Callable[[], int | None] = lambda: None
    signed: Callable[[], int] | None = None

    def options(self, module: Path) -> tuple[str, ...]:
        """What makes kspsign sign with the key through `module`, its own or one in front of it."""
        return (
            *("--key-store", "pkcs11", "--pkcs11-module", str(module), "--pkcs11-token", self.label),
            *(*self.key, "--pkcs11-pin-env", PIN_VARIABLE, *self.more),
        )


@dataclass(frozen=True)
class Publisher:
    """A key with its certificate, the root to trust, and both as files in `folder`."""

    folder: Path
    issued: Issued

    @classmethod
    def create(cls, folder: Path, key: Key) -> Publisher:
        """Issue the certificate and write everything."""
        folder.mkdir(parents=True, exist_ok=True)
        root = ca("Token root", **_VALID)
        made = cls(folder, signer("Token publisher", root, key=key, **_VALID))
        made.root.write_bytes(root.pem)
        made.certificate.write_bytes(made.issued.der)
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    @property
    def certificate(self) -> Path:
        """DER."""
        return self.folder / "certificate.der"

    @property
    def key(self) -> Path:
        """PKCS#8, PEM, not encrypted."""
        return self.folder / "key.pem"


def administer(*command: object, environment: Mapping[str, str] | None = None, stdin: str = "") -> str:
    """Run one of the administrator's tools; what it prints."""
    done = subprocess.run(
        [*map(str, command)],
        env={**os.environ, **(environment or {})},
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}"
    return done.stdout
