"""Key store pkcs11 on real tokens (SoftHSM2): what it signs, the peer accepts; what fails, says why."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from integration import softhsm
from integration.certificates import rsa_key
from integration.peimages import build_pe, digest
from integration.samples import kspsign_process, osslsigncode_verify
from integration.softhsm import LIBRARY, PIN, PIN_VARIABLE, SoftHsm
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.errors import ConfigurationError, PrerequisiteError, SigningError
from kspsign.keys import KeyStore, open_key_store
from kspsign.model import DigestAlgorithm
from kspsign.resolving import resolve
from unit.pki import Key, ca, signer

NOW = datetime.now(UTC)
VALID: dict[str, Any] = {"begin": NOW - timedelta(days=10), "end": NOW + timedelta(days=300)}
KEYS = {"rsa": "01", "p256": "02", "p521": "03"}


@dataclass(frozen=True)
class Bench:
    """A token with a key and certificate of each kind, and the root to trust."""

    token: SoftHsm
    root: Path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("softhsm")
    token = softhsm.create(folder)
    root = ca("Token root", **VALID)
    middle = ca("Token intermediate", root, **VALID)
    token.import_certificate(middle, "an intermediate")
    keys: dict[str, Key] = {"rsa": rsa_key(3072), "p256": ec.generate_private_key(ec.SECP256R1())}
    keys["p521"] = ec.generate_private_key(ec.SECP521R1())
    for label, key in keys.items():
        token.import_key(key, label, KEYS[label])
        expired = signer(f"{label} before", middle, key=key, begin=NOW - timedelta(days=400), end=NOW)
        token.import_certificate(expired, label, KEYS[label])
        token.import_certificate(signer(f"{label} publisher", middle, key=key, **VALID), label, KEYS[label])
    token.import_key(rsa_key(2048), "bare", "0a")
    path = folder / "root.pem"
    path.write_bytes(root.pem)
    return Bench(token, path)


@pytest.fixture
def inside(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    """The token, in reach of this process."""
    for name, value in bench.token.environment.items():
        monkeypatch.setenv(name, value)
    return bench.token


def opened(alias: str, token: SoftHsm, **changes: object) -> KeyStore:
    given: dict[str, object] = {
        "key_store": "pkcs11",
        "pkcs11_module": LIBRARY,
        "pkcs11_token": token.label,
        "keypair_alias": alias,
        "pkcs11_pin_env": PIN_VARIABLE,
        "store": token.folder / "store",
        **changes,
    }
    return open_key_store(resolve("certsync", given, environment=dict(os.environ)))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("alias", sorted(KEYS))
def test_the_peer_accepts_it(
    alias: str, algorithm: str, bench: Bench, tmp_path: Path, authority_root: Path, timestamp_server: TimestampServer
) -> None:
    path = tmp_path / "image.dll"
    path.write_bytes(build_pe())
    trust = ("--trust-root", bench.root, "--trust-root", authority_root, "--timestamp-url", timestamp_server.url)
    run = kspsign_process(
        *("run", path, *bench.token.options(alias), *trust, "--digest", algorithm),
        folder=tmp_path,
        environment=bench.token.environment,
    )
    assert run.code == 0, run.text
    assert run.report["certificate"]["subject"] == f"CN={alias} publisher"
    assert f"{alias} before" in run.text
    assert PIN not in run.text
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(bench.root.read_bytes() + authority_root.read_bytes())
    peer = osslsigncode_verify(path, bundle)
    assert peer.accepted, peer.text
    assert peer.calculated_digests == [digest(path.read_bytes(), algorithm)]


@pytest.mark.parametrize("alias", ["p256", "rsa"])
def test_hundreds_of_files_in_parallel_sessions(alias: str, bench: Bench, tmp_path: Path) -> None:
    image = build_pe()
    for number in range(250):
        (tmp_path / f"{number}.dll").write_bytes(image + number.to_bytes(8))
    run = kspsign_process(
        *("run", "*.dll", *bench.token.options(alias), "--trust-root", bench.root, "--no-timestamp", "--jobs", 8),
        folder=tmp_path,
        environment=bench.token.environment,
        timeout=300,
    )
    assert run.code == 0, run.text
    assert run.report["totals"]["verified"] == run.report["totals"]["signatures_used"] == 250
    for number in (0, 124, 249):
        peer = osslsigncode_verify(tmp_path / f"{number}.dll", bench.root)
        assert peer.accepted, peer.text


def test_the_thumbprint_alone_suffices_later(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "image.dll").write_bytes(build_pe())
    environment = bench.token.environment
    first = kspsign_process(
        *("run", "image.dll", *bench.token.options("rsa"), "--no-timestamp", "--trust-root", bench.root),
        folder=tmp_path,
        environment=environment,
    )
    thumbprint = first.report["certificate"]["thumbprint"]
    (tmp_path / "image.dll").write_bytes(build_pe())
    later = kspsign_process(
        *("sign", "image.dll", "--thumbprint", thumbprint, "--store", bench.token.folder / "store", "--no-timestamp"),
        *("--pkcs11-pin-env", PIN_VARIABLE, "--trust-root", bench.root),
        folder=tmp_path,
        environment=environment,
    )
    assert later.code == 0, later.text
    kept = b"".join(path.read_bytes() for path in (bench.token.folder / "store").rglob("*") if path.is_file())
    assert PIN.encode() not in kept


def test_many_threads_share_one_login(inside: SoftHsm) -> None:
    store = opened("p256", inside)
    signatures: list[bytes] = []

    def work() -> None:
        signatures.extend(store.sign(bytes(32), DigestAlgorithm.SHA256).value for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert len(set(signatures)) == 320


def test_a_key_by_its_id(inside: SoftHsm) -> None:
    store = opened("p256", inside, keypair_alias=None, pkcs11_key_id="0x02")
    assert store.key_reference()["key_id"] == "02"
    store.close()


def test_a_certificate_from_a_file(inside: SoftHsm, tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    file.write_bytes(signer("For the bare key", ca("Other root", **VALID), **VALID).pem)
    store = opened("bare", inside, certificate=file)
    assert store.key_reference()["certificate"] == str(file)
    assert len(store.certificate_chain()) == 1
    store.close()


@pytest.mark.parametrize(
    ("alias", "changes", "code", "words"),
    [
        ("rsa", {"pkcs11_token": "Signing Token"}, "PKCS11_NO_TOKEN", "'signing token'"),
        ("rsa", {"pkcs11_token": None, "pkcs11_slot": 4711}, "PKCS11_NO_TOKEN", "slot 4711"),
        ("RSA", {}, "PKCS11_NO_KEY", "p256, p521, rsa"),
        ("bare", {}, "PKCS11_NO_CERTIFICATE", "label bare"),
        ("rsa", {"pkcs11_pin_env": None}, "PKCS11_NO_KEY", "none"),
        ("rsa", {"pkcs11_module": Path("/nowhere/libtoken.so")}, "PKCS11_MODULE", "does not exist"),
        ("rsa", {"pkcs11_module": Path(__file__)}, "PKCS11_MODULE", "can't be loaded"),
        ("rsa", {"pkcs11_module": "libc.so.6"}, "PKCS11_MODULE", ""),
        ("rsa", {"pkcs11_module": None}, "CONFIGURATION", "needs its module"),
        ("rsa", {"keypair_alias": None}, "CONFIGURATION", "needs the key pair"),
        ("rsa", {"pkcs11_key_id": "xyz"}, "CONFIGURATION", "no hex"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(
    alias: str, changes: dict[str, object], code: str, words: str, inside: SoftHsm
) -> None:
    with pytest.raises((PrerequisiteError, ConfigurationError)) as refused:
        opened(alias, inside, **changes)
    assert refused.value.code == code
    assert words in str(refused.value)
    assert refused.value.remedy


def test_a_library_that_is_no_module(inside: SoftHsm) -> None:
    library = next(Path("/lib").rglob("libm.so.6"))
    with pytest.raises(PrerequisiteError, match="no PKCS#11 module"):
        opened("rsa", inside, pkcs11_module=library)


def test_a_module_of_another_architecture(inside: SoftHsm, tmp_path: Path) -> None:
    image = bytearray(LIBRARY.read_bytes())
    image[18:20] = (183 if image[18] == 62 else 62).to_bytes(2, "little")  # e_machine: AArch64 or x86-64
    other = tmp_path / "libother.so"
    other.write_bytes(image)
    with pytest.raises(PrerequisiteError) as refused:
        opened("rsa", inside, pkcs11_module=other)
    assert refused.value.code == "PKCS11_MODULE"
    assert "must be a library for" in refused.value.remedy


def test_a_wrong_pin_is_tried_once_and_shown_nowhere(inside: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIN_VARIABLE, "wrong-PIN-0815")
    with pytest.raises(PrerequisiteError) as refused:
        opened("rsa", inside)
    assert refused.value.code == "PKCS11_PIN"
    assert "CKR_PIN_INCORRECT" in refused.value.message
    assert "0815" not in f"{refused.value} {refused.value.remedy}"


def test_a_token_removed_in_mid_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = softhsm.create(tmp_path / "hsm")
    key = ec.generate_private_key(ec.SECP256R1())
    token.import_key(key, "key", "01")
    token.import_certificate(signer("Publisher", ca("Root", **VALID), key=key, **VALID), "key", "01")
    for name, value in token.environment.items():
        monkeypatch.setenv(name, value)
    store = opened("key", token)
    assert store.sign(bytes(32), DigestAlgorithm.SHA256).value
    shutil.rmtree(token.folder / "tokens")
    with pytest.raises(SigningError) as refused:
        store.sign(bytes(32), DigestAlgorithm.SHA256)
    assert refused.value.code == "PKCS11_TOKEN_GONE", refused.value
    store.close()
    store.close()
