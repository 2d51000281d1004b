"""SoftHSM2 tokens for tests: keys and certificates as an HSM's administrator would put them there."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.pki import Issued, Key

PIN = "PIN-planted-8f3a"
SO_PIN = "security-officer"
PIN_VARIABLE = "TEST_TOKEN_PIN"
MODULE = next(path for path in (Path("/usr/lib/softhsm"), *Path("/usr/lib").glob("*/softhsm")) if path.is_dir())
LIBRARY = MODULE / "libsofthsm2.so"
SPY = next(path for path in (Path("/usr/lib"), *Path("/usr/lib").glob("*")) if (path / "pkcs11-spy.so").exists()) / (
    "pkcs11-spy.so"
)
"""OpenSC's module that hands each call on to another one, and writes it down."""


@dataclass(frozen=True)
class SoftHsm:
    """A SoftHSM2 of its own, with one token."""

    folder: Path
    label: str

    @property
    def environment(self) -> dict[str, str]:
        """What makes the module find its tokens, and kspsign the PIN."""
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf"), PIN_VARIABLE: PIN}

    def spied(self, record: Path) -> dict[str, str]:
        """The environment in which SPY works on the token and writes to `record`."""
        return {**self.environment, "PKCS11SPY": str(LIBRARY), "PKCS11SPY_OUTPUT": str(record)}

    def options(self, alias: str, module: Path = LIBRARY) -> tuple[str, ...]:
        """What makes kspsign sign with the key of that label."""
        return (
            *("--key-store", "pkcs11", "--pkcs11-module", str(module), "--pkcs11-token", self.label),
            *("--keypair-alias", alias, "--pkcs11-pin-env", PIN_VARIABLE, "--store", str(self.folder / "store")),
        )

    def import_key(self, key: Key, label: str, key_id: str) -> None:
        """Put a private key on the token."""
        path = self.folder / "key.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.run(
            "softhsm2-util", "--import", path, "--token", self.label, "--label", label, "--id", key_id, "--pin", PIN
        )
        path.unlink()

    def import_certificate(self, certificate: Issued, label: str, key_id: str | None = None) -> None:
        """Put a certificate on the token."""
        path = self.folder / "certificate.der"
        path.write_bytes(certificate.der)
        options = ["--type", "cert", "--write-object", path, "--label", label, *(["--id", key_id] if key_id else [])]
        self.run(
            *("pkcs11-tool", "--module", LIBRARY, "--token-label", self.label, "--login", "--pin", PIN), *options
        )  # fmt: skip

    def forbid_signing(self, label: str) -> None:
        """Take CKA_SIGN from the private key of that label, as an administrator's tool does it."""
        program = Path(__file__).with_name("forbid_signing.py")
        self.run(sys.executable, program, LIBRARY, self.label, PIN, label)

    def run(self, *command: object) -> None:
        """One of the administrator's tools."""
        environment = {**os.environ, **self.environment}
        subprocess.run([*map(str, command)], env=environment, check=True, capture_output=True, timeout=60)


def create(folder: Path, label: str = "signing token") -> SoftHsm:
    """A SoftHSM2 in `folder` with one empty token."""
    (folder / "tokens").mkdir(parents=True)
    configuration = f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    (folder / "softhsm2.conf").write_text(configuration, encoding="utf-8")
    token = SoftHsm(folder, label)
    token.run("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN)
    return token
