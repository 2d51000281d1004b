"""Weak algorithms are refused unless a policy admits them, and each of several signatures must hold."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kspsign.authenticode.cms.write import add_nested
from support.certificates import PASSWORD, PASSWORD_VARIABLE, SigningFile, rsa_key, signing_file
from support.formats.peimages import flipped, parts, with_checksum, with_table
from support.samples import Run, Store, copy_launcher, kspsign

NO_STAMP: dict[str, Any] = {"timestamp": {"required": False}}
BESIDE = {**NO_STAMP, "algorithms": {"sha1_beside_sha256": True}}


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SigningFile:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    return signing_file(tmp_path, key=rsa_key(2048))


def peer_signed(folder: Path, publisher: SigningFile, digest: str) -> Path:
    """A launcher that osslsigncode signed."""
    plain, signed = copy_launcher(folder, to="plain.exe"), folder / "app.exe"
    command = ["osslsigncode", "sign", "-pkcs12", str(publisher.path), "-pass", PASSWORD, "-h", digest]
    subprocess.run([*command, "-in", str(plain), "-out", str(signed)], capture_output=True, check=True)
    return signed


def policy_file(folder: Path, policy: dict[str, Any]) -> Path:
    path = folder / "policy.yml"
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    return path


def verify(path: Path, publisher: SigningFile, policy: dict[str, Any]) -> Run:
    options = ("--trust-root", publisher.root, "--policy", policy_file(path.parent, policy))
    return kspsign("verify", path, *options, folder=path.parent)


def append(path: Path, publisher: SigningFile) -> Run:
    """Give the file a second signature of ours, with SHA-256."""
    options = (*publisher.options, "--append", "--no-timestamp", "--policy", policy_file(path.parent, BESIDE))
    return kspsign("sign", path, *options, folder=path.parent)


def broken(run: Run) -> list[str]:
    return [check["name"] for check in run.file["verdict"]["checks"] if not check["ok"]]


def test_sha1_is_refused_unless_a_policy_admits_it(publisher: SigningFile, tmp_path: Path) -> None:
    path = peer_signed(tmp_path, publisher, "sha1")
    refused = verify(path, publisher, NO_STAMP)
    assert (refused.code, refused.error_code) == (2, "NTE_BAD_ALGID")
    assert broken(refused) == ["algorithms", "policy-algorithms"]
    assert verify(path, publisher, {**NO_STAMP, "algorithms": {"digests": ["sha1", "sha256"]}}).code == 0
    assert broken(verify(path, publisher, BESIDE)) == ["algorithms", "policy-algorithms"]


def test_a_policy_may_tolerate_an_old_signature_beside_a_strong_one(publisher: SigningFile, tmp_path: Path) -> None:
    path = peer_signed(tmp_path, publisher, "sha1")
    run = append(path, publisher)
    assert (run.code, [signature["digest"] for signature in run.file["signatures"]]) == (0, ["sha1", "sha256"]), (
        run.text
    )
    assert verify(path, publisher, BESIDE).code == 0
    assert broken(verify(path, publisher, NO_STAMP)) == ["algorithms", "policy-algorithms"]
    data = path.read_bytes()
    path.write_bytes(with_checksum(flipped(data, parts(data).signature + 40)))
    assert verify(path, publisher, BESIDE).code == 2  # the old one must hold, too


def test_a_short_key_is_refused_unless_a_policy_admits_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    publisher = signing_file(tmp_path, key=rsa_key(1024))
    path = peer_signed(tmp_path, publisher, "sha256")
    refused = verify(path, publisher, NO_STAMP)
    assert (refused.error_code, broken(refused)) == ("NTE_BAD_ALGID", ["certificate-chain", "policy-algorithms"])
    assert verify(path, publisher, {**NO_STAMP, "algorithms": {"rsa_bits": 1024}}).code == 0


class TestSeveralSignatures:
    """One that is good does not make up for one that is not."""

    @pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
    def test_one_whose_value_is_damaged(self, which: int, publisher: SigningFile, tmp_path: Path) -> None:
        path = peer_signed(tmp_path, publisher, "sha256")
        assert append(path, publisher).code == 0
        data = path.read_bytes()
        octets = b"\x04\x82\x01\x00"  # an RSA-2048 value: the first signer's stands before what is nested in it
        values = [at for at in range(parts(data).table, len(data)) if data.startswith(octets, at)]
        assert len(values) == 2
        path.write_bytes(with_checksum(flipped(data, values[which] + 100)))
        assert broken(verify(path, publisher, NO_STAMP)) == ["signature#2" if which else "signature"]

    def test_one_of_another_file(self, publisher: SigningFile, tmp_path: Path) -> None:
        path = peer_signed(tmp_path, publisher, "sha256")
        (tmp_path / "other").mkdir()
        other = copy_launcher(tmp_path / "other", "cli-32.exe")
        assert kspsign("sign", other, *publisher.options, "--no-timestamp", folder=tmp_path).code == 0
        path.write_bytes(nested(path.read_bytes(), message(other.read_bytes())))
        assert broken(verify(path, publisher, NO_STAMP)) == ["digest#2"]

    def test_one_without_timestamp(self, store: Store, signed_launcher: bytes, tmp_path: Path) -> None:
        path = tmp_path / "app.exe"
        path.write_bytes(signed_launcher)
        bare = copy_launcher(tmp_path, "cli-32.exe")
        chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
        assert kspsign("sign", bare, *chosen, "--no-timestamp", folder=tmp_path).code == 0
        path.write_bytes(nested(signed_launcher, message(bare.read_bytes())))
        run = kspsign("verify", path, "--trust-root", store.root, folder=tmp_path)
        assert (run.error_code, broken(run)) == ("TRUST_E_TIME_STAMP", ["timestamp#2"])


def message(data: bytes) -> bytes:
    """The DER of an image's first signature."""
    found = parts(data)
    length = struct.unpack_from(">xxH", data, found.signature)[0]
    return data[found.signature : found.signature + 4 + length]


def nested(data: bytes, second: bytes) -> bytes:
    """The image with `second` as a further signature in its first."""
    whole = add_nested(message(data), second)
    padded = whole + bytes(-len(whole) % 8)
    return with_table(data, struct.pack("<IHH", len(padded) + 8, 0x0200, 2) + padded)
