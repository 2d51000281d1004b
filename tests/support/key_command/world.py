"""The files of a program that is a key store, and what makes kspsign sign with it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.certificates import rsa_key
from support.pki import Issued, ca, signer
from support.places import ROOT

NOW = datetime.now(UTC)
LIVES: dict[str, Any] = {"begin": NOW - timedelta(days=40), "end": NOW + timedelta(days=300)}
PROGRAM = ROOT / "tests" / "support" / "key_command" / "program.py"
PIN = "planted.Pin-77e1"
PIN_VARIABLE = "HSM_PIN"


@dataclass(frozen=True)
class KeyCommand:
    """`folder` is the program's."""

    folder: Path
    root: Issued

    @classmethod
    def create(cls, folder: Path, end: datetime | None = None, **ways: Any) -> Self:
        """A key with its certificate, and a second key with one of the same publisher."""
        folder.mkdir(parents=True, exist_ok=True)
        root = ca("Program root", **LIVES)
        for number in ("", "2"):
            key = rsa_key(2048)
            leaf = signer("Program publisher", root, key=key, begin=LIVES["begin"], end=end or LIVES["end"])
            (folder / f"key{number}.pem").write_bytes(
                key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            )
            (folder / f"chain{number}.pem").write_bytes(leaf.pem + root.pem)
        (folder / "root.pem").write_bytes(root.pem)
        made = cls(folder, root)
        made.behave(**ways)
        return made

    def behave(self, **ways: Any) -> None:
        """From now on so, in every process that is started."""
        (self.folder / "ways.json").write_text(json.dumps(ways), encoding="utf-8")

    @property
    def options(self) -> tuple[object, ...]:
        """What makes kspsign sign with it."""
        program = ("--key-command", sys.executable, "--key-command-arg", PROGRAM, "--key-command-arg", self.folder)
        return ("--key-store", "command", *program, "--key-command-env", PIN_VARIABLE)

    @property
    def trust(self) -> tuple[object, ...]:
        """The root to trust."""
        return ("--trust-root", self.folder / "root.pem")

    @property
    def environment(self) -> dict[str, str]:
        """What the step maps for it."""
        return {PIN_VARIABLE: PIN}

    @property
    def made(self) -> int:
        """Signatures that it made."""
        path = self.folder / "made.txt"
        return len(path.read_text("ascii").splitlines()) if path.exists() else 0
