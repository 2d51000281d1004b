"""Signing and verifying through the front door with a publisher's own certificate, stamped on loopback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from support.certificates import SigningFile
from support.samples import PeerVerdict, Run, kspsign, osslsigncode_verify


@dataclass(frozen=True)
class Publisher:
    """A publisher's PKCS#12 file, the timestamp server to ask, and all roots in one PEM file."""

    file: SigningFile
    timestamp_url: str
    roots: Path

    def sign(self, path: Path, *options: object, stamped: bool = True) -> Run:
        """Sign the file; `options` come last."""
        stamp = ("--timestamp-url", self.timestamp_url) if stamped else ("--no-timestamp",)
        chosen = (*self.file.options, *stamp, "--trust-root", self.roots, *options)
        return kspsign("sign", path, *chosen, folder=self.file.path.parent)

    def stamp(self, path: Path) -> Run:
        """Add a timestamp to the signature that is there."""
        chosen = ("--timestamp-url", self.timestamp_url, "--trust-root", self.roots)
        return kspsign("timestamp", path, *chosen, folder=self.file.path.parent)

    def verify(self, path: Path, *options: object) -> Run:
        """Verify the file under the roots."""
        return kspsign("verify", path, "--trust-root", self.roots, *options, folder=self.file.path.parent)

    def refusal(self, path: Path, data: bytes) -> str | None:
        """The code with which `data`, written to `path`, does not verify; None when it does."""
        path.write_bytes(data)
        run = self.verify(path)
        assert run.code == (0 if run.error_code is None else 2), run.text
        return run.error_code

    def failed_checks(self, path: Path, data: bytes) -> set[str]:
        """The checks of `data`, written to `path`, that do not hold."""
        path.write_bytes(data)
        return {check["name"] for check in self.verify(path).file["verdict"]["checks"] if not check["ok"]}

    def peer(self, path: Path) -> PeerVerdict:
        """What osslsigncode says of the file."""
        return osslsigncode_verify(path, self.roots)
