"""Keys of each kind from PKCS#12 files with each digest: the peer accepts what they sign."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.embedded.timestamp_server import TimestampServer
from support.certificates import PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.formats.peimages import build_pe, digest
from support.pki import Key
from support.samples import kspsign, kspsign_at, osslsigncode_verify

KEYS: dict[str, Callable[[], Key]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA-2048": lambda: rsa_key(2048),
    "RSA-4096": lambda: rsa_key(4096),
}


@pytest.fixture(scope="module", params=sorted(KEYS))
def key(request: pytest.FixtureRequest) -> Key:
    return KEYS[request.param]()


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_the_peer_accepts_it(
    key: Key,
    algorithm: str,
    tmp_path: Path,
    authority_root: Path,
    timestamp_server: TimestampServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    file, path = signing_file(tmp_path, key=key), tmp_path / "image.dll"
    path.write_bytes(build_pe())
    options = ("--digest", algorithm, "--timestamp-url", timestamp_server.url, "--trust-root", authority_root)
    run = kspsign(
        *("run", path, *file.options, *options, "--description", "Grüße", "--description-url", "https://example.com/x"),
        folder=tmp_path,
    )  # fmt: skip
    assert run.code == 0, run.text
    assert not run.report["test_signing"]
    (signature,) = run.file["signatures"]
    assert (signature["digest"], signature["timestamp"]["digest"]) == (algorithm, algorithm)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(file.root.read_bytes() + authority_root.read_bytes())
    peer = osslsigncode_verify(path, bundle)
    assert peer.accepted, peer.text
    assert peer.calculated_digests == [digest(path.read_bytes(), algorithm)]
    assert "URL description: https://example.com/x" in peer.text


def test_a_known_certificate_is_used_by_thumbprint_alone(tmp_path: Path) -> None:
    """certsync once, then sign by the thumbprint it printed; the password comes anew, and is kept nowhere."""
    file, path = signing_file(tmp_path), tmp_path / "image.dll"
    path.write_bytes(build_pe())
    secret = {PASSWORD_VARIABLE: PASSWORD}
    store = ("--store", str(tmp_path / "store"), "--password-env", PASSWORD_VARIABLE)
    command = ("certsync", "--key-store", "pkcs12", "--pkcs12", str(file.path), *store)
    synced = certsync(command, tmp_path, secret)
    run = kspsign_at(
        *("sign", path, "--thumbprint", synced, *store, "--no-timestamp", "--trust-root", file.root),
        folder=tmp_path, environment=secret,
    )  # fmt: skip
    assert run.code == 0, run.text
    assert run.file["signatures"][0]["thumbprint"] == synced
    kept = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert PASSWORD.encode() not in kept
    assert b"PRIVATE KEY" not in kept


def certsync(command: tuple[str, ...], folder: Path, secret: dict[str, str]) -> str:
    """The thumbprint on the last line of standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", *command],
        cwd=folder,
        env={**os.environ, **secret},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]
