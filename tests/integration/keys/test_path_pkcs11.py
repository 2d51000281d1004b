"""Key store pkcs11 on real tokens (SoftHSM2): what it signs, the peer accepts; what fails, says why."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.keys.open import open_key_store
from kspsign.keys.protocol import KeyStore
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm
from kspsign.settings.resolve import resolve
from support import softhsm
from support.certificates import rsa_key
from support.formats.peimages import build_pe, digest
from support.pki import Key, ca, signer
from support.samples import Run, assert_no_leftovers, kspsign_process, osslsigncode_verify
from support.softhsm import LIBRARY, PIN, PIN_VARIABLE, SoftHsm

NOW = datetime.now(UTC)
VALID: dict[str, Any] = {"begin": NOW - timedelta(days=10), "end": NOW + timedelta(days=300)}
KEYS = {"rsa": "01", "p256": "02", "p521": "03"}


@dataclass(frozen=True)
class Bench:
    """A token with a key and certificate of each kind, the root to trust, and the key without certificate."""

    token: SoftHsm
    root: Path
    bare: Key


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
    bare = rsa_key(2048)
    token.import_key(bare, "bare", "0a")
    path = folder / "root.pem"
    path.write_bytes(root.pem)
    return Bench(token, path, bare)


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
    return open_key_store(resolve("certsync", given, environment=dict(os.environ), stores=STORES))


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
    paths = [tmp_path / f"{number}.dll" for number in range(500)]
    for number, path in enumerate(paths):
        path.write_bytes(image + number.to_bytes(8))
    run = kspsign_process(
        *("run", "*.dll", *bench.token.options(alias), "--trust-root", bench.root, "--no-timestamp", "--jobs", 8),
        folder=tmp_path,
        environment=bench.token.environment,
        timeout=300,
    )
    assert run.code == 0, run.text
    assert run.report["totals"]["verified"] == run.report["totals"]["signatures_used"] == 500
    with ThreadPoolExecutor(2) as pool:
        peers = list(pool.map(lambda path: osslsigncode_verify(path, bench.root), paths))
    assert [peer.text for peer in peers if not peer.accepted] == []


def spied(bench: Bench, folder: Path, count: int, *more: object, pin: str = PIN) -> tuple[Run, Counter[str]]:
    """A run over `count` files, and how often the module was called by each function."""
    for number in range(count):
        (folder / f"{number}.dll").write_bytes(build_pe(overlay=b"%d" % number))
    record = folder / "calls.txt"
    record.unlink(missing_ok=True)
    run = kspsign_process(
        *(
            "run",
            "*.dll",
            *bench.token.options("rsa", softhsm.SPY),
            "--trust-root",
            bench.root,
            "--no-timestamp",
            *more,
        ),
        folder=folder,
        environment={**bench.token.spied(record), PIN_VARIABLE: pin},
    )
    return run, Counter(re.findall(r"^\d+: (C_\w+)", record.read_text("latin-1"), re.MULTILINE))


def test_one_login_holds_for_all_sessions(bench: Bench, tmp_path: Path) -> None:
    run, calls = spied(bench, tmp_path, 40, "--jobs", 4)
    assert run.code == 0, run.text
    assert calls["C_Sign"] == 40
    assert calls["C_Login"] == 1  # certsync's, and signing goes on with it
    assert 1 < calls["C_OpenSession"] == calls["C_CloseSession"] <= 4


def test_a_wrong_pin_is_tried_once_for_all_files_and_the_token_is_not_locked(bench: Bench, tmp_path: Path) -> None:
    run, calls = spied(bench, tmp_path, 20, "--jobs", 8, pin="wrong-PIN-0815")
    assert (run.code, run.report["error"]["code"]) == (5, "PKCS11_PIN"), run.text
    assert (calls["C_Login"], calls["C_SignInit"]) == (1, 0)
    assert "CKR_PIN_INCORRECT" in run.text
    assert "0815" not in run.text
    assert spied(bench, tmp_path, 1)[0].code == 0


def test_a_token_that_is_not_there_stops_before_the_files(bench: Bench, tmp_path: Path) -> None:
    run, calls = spied(bench, tmp_path, 3, "--pkcs11-token", "another")
    assert (run.code, run.report["error"]["code"]) == (5, "PKCS11_NO_TOKEN"), run.text
    assert "available: 'signing token'" in run.text
    assert calls["C_Login"] == 0


def test_a_token_removed_in_mid_run_leaves_no_file_half_written(tmp_path: Path) -> None:
    token, root, key = softhsm.create(tmp_path / "hsm", "removable"), ca("Root", **VALID), rsa_key(3072)
    token.import_key(key, "key", "01")
    token.import_certificate(signer("Publisher", root, key=key, **VALID), "key", "01")
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "dist").mkdir()
    before = {f"dist/{number}.dll": build_pe(overlay=number.to_bytes(8)) for number in range(600)}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    common = ("--no-timestamp", "--trust-root", tmp_path / "root.pem")

    over = threading.Event()

    def pull_out() -> None:
        while (tmp_path / "dist" / "107.dll").read_bytes() == before["dist/107.dll"] and not over.wait(0.01):
            pass
        shutil.rmtree(token.folder / "tokens")

    with ThreadPoolExecutor(1) as hand:
        pulled = hand.submit(pull_out)
        try:
            run = kspsign_process(
                "run", "dist/*.dll", *token.options("key"), *common, folder=tmp_path, environment=token.environment
            )
        finally:
            over.set()
        pulled.result()
    assert run.code == 1, run.text
    assert set(run.files) == set(before)
    failed = {name: file["error"] for name, file in run.files.items() if file["outcome"] == "failed"}
    signed = set(before) - set(failed)
    assert 7 <= len(signed) == run.report["totals"]["signatures_used"]
    assert {fault["code"] for fault in failed.values()} == {"PKCS11_TOKEN_GONE", "NOT_TRIED"}, "nobody asks 500 times"
    assert all("'removable'" in fault["message"] for fault in failed.values())
    gone = [fault for fault in failed.values() if fault["code"] == "PKCS11_TOKEN_GONE"]
    assert all("Connect the token" in fault["remedy"] for fault in gone)
    assert all((tmp_path / name).read_bytes() == before[name] for name in failed)
    assert_no_leftovers(tmp_path)
    checked = kspsign_process("verify", *sorted(signed), *common, folder=tmp_path)
    assert (checked.code, checked.report["totals"]["verified"]) == (0, len(signed)), checked.text


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


def test_a_certificate_from_a_file(bench: Bench, inside: SoftHsm, tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    file.write_bytes(signer("For the bare key", ca("Other root", **VALID), key=bench.bare, **VALID).pem)
    store = opened("bare", inside, certificate=file)
    assert store.key_reference()["certificate"] == str(file)
    assert len(store.certificate_chain()) == 1
    store.close()
    file.write_bytes(signer("For another key", ca("Other root", **VALID), key=rsa_key(3072), **VALID).pem)
    with pytest.raises(PrerequisiteError) as refused:
        opened("bare", inside, certificate=file)
    assert refused.value.code == "KEY_MISMATCH"


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
        ("rsa", {"pkcs11_key_id": "xyz"}, "CONFIGURATION", "not a hex"),
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
