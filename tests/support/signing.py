"""Signing and verifying through the front door with a publisher's own certificate, stamped on loopback."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from support.certificates import PASSWORD, SigningFile
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


def signed_by_peer(publisher: Publisher, path: Path, algorithm: str = "sha256") -> Path:
    """A copy that osslsigncode signed in the publisher's name."""
    signed = path.with_name(f"by-peer-{path.name}")
    signed.unlink(missing_ok=True)  # the peer overwrites nothing
    store = pkcs12.load_pkcs12(publisher.file.path.read_bytes(), PASSWORD.encode())
    assert store.key is not None
    assert store.cert is not None
    key, chain = signed.with_suffix(".key"), signed.with_suffix(".pem")
    key.write_bytes(store.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    others = b"".join(certificate.certificate.public_bytes(Encoding.PEM) for certificate in store.additional_certs)
    chain.write_bytes(store.cert.certificate.public_bytes(Encoding.PEM) + others)
    names = ("-certs", chain, "-key", key, "-h", algorithm, "-in", path, "-out", signed)
    subprocess.run(["osslsigncode", "sign", *map(str, names)], check=True, capture_output=True, timeout=60)
    return signed
