"""Packages that carry signatures: verified, appended to, replaced, stamped; MsiDigitalSignatureEx kept right."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.formats.test_msi_signing import checks, sign, unsigned_tree
from kspsign.embedded.timestamp_server import TimestampServer
from support.certificates import PASSWORD, PASSWORD_VARIABLE, SigningFile, signing_file
from support.formats.compound_builder import Folder, write_compound
from support.formats.msi_samples import msitools_package, patch_tree, peer_digests
from support.samples import Store, kspsign, osslsigncode_verify


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SigningFile:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    return signing_file(tmp_path)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "setup.msi"
    path.write_bytes(msitools_package())
    return path


@pytest.mark.parametrize("extended", [(), ("-add-msi-dse",)], ids=["plain", "with MsiDigitalSignatureEx"])
@pytest.mark.parametrize(
    "make",
    [lambda path: path.write_bytes(msitools_package()), lambda path: write_compound(path, patch_tree(), major=4)],
    ids=["made by msitools", "version 4 patch with storages"],
)
def test_what_the_peer_signs_is_verified(
    extended: tuple[str, ...],
    make: Callable[[Path], object],
    other: SigningFile,
    tmp_path: Path,
    authority_root: Path,
    timestamp_server: TimestampServer,
) -> None:
    unsigned, path = tmp_path / "unsigned.msi", tmp_path / "setup.msi"
    make(unsigned)
    peer_signs(other, unsigned, path, "sha384", *extended, "-ts", timestamp_server.url)
    run = kspsign("verify", path, "--trust-root", other.root, "--trust-root", authority_root, folder=tmp_path)
    assert run.code == 0, run.text
    assert run.file["signatures"][0]["digest"] == "sha384"
    assert checks(run)["metadata-digest"].startswith("absent") is not bool(extended)


def test_what_the_peer_breaks_is_refused(other: SigningFile, tmp_path: Path) -> None:
    """Behind an empty storage that is the last of its own, osslsigncode 2.9 links what comes next as its child."""
    unsigned, path = tmp_path / "unsigned.msi", tmp_path / "setup.msi"
    write_compound(unsigned, patch_tree(none=Folder({"empty": Folder({})})))
    peer_signs(other, unsigned, path, "sha256")
    run = kspsign("verify", path, "--trust-root", other.root, "--no-timestamp", folder=tmp_path)
    assert (run.code, run.error_code) == (2, "ERROR_BAD_FORMAT")
    assert not osslsigncode_verify(path, other.root).accepted


def peer_signs(file: SigningFile, path: Path, target: Path, algorithm: str, *options: str) -> None:
    """Let osslsigncode sign `path` to `target`."""
    key = ("-pkcs12", str(file.path), "-pass", PASSWORD, "-h", algorithm)
    command = ["osslsigncode", "sign", *key, *options, "-in", str(path), "-out", str(target)]
    subprocess.run(command, check=True, capture_output=True)


def test_appending_gives_each_its_own_verdict_and_timestamp(
    store: Store, package: Path, other: SigningFile, authority_root: Path, timestamp_server: TimestampServer
) -> None:
    """A package without MsiDigitalSignatureEx, as osslsigncode makes them, takes signatures of several digests."""
    unsigned = package.rename(package.with_name("unsigned.msi"))
    peer_signs(other, unsigned, package, "sha256", "-ts", timestamp_server.url)
    options = ("--append", "--digest", "sha512", "--timestamp-url", timestamp_server.url)
    roots = ("--trust-root", str(store.root), "--trust-root", str(authority_root))
    run = kspsign("run", package, *other.options, *options, *roots, folder=package.parent)
    assert run.code == 0, run.text
    assert [signature["digest"] for signature in run.file["signatures"]] == ["sha256", "sha512"]
    assert all(signature["timestamp"] for signature in run.file["signatures"])
    assert checks(run)["metadata-digest"].startswith("absent")
    assert {"digest", "sip", "timestamp", "digest#2", "sip#2", "timestamp#2"} <= checks(run).keys()
    bundle = package.parent / "bundle.pem"
    bundle.write_bytes(other.root.read_bytes() + authority_root.read_bytes() + store.root.read_bytes())
    peer = osslsigncode_verify(package, bundle)
    assert peer.accepted, peer.text
    assert peer_digests(peer) == [checks(run)[name].upper() for name in ("digest", "digest#2")]


@pytest.mark.parametrize(("present", "algorithm"), [("sha1", "sha256"), ("sha256", "sha384"), ("sha512", "sha256")])
def test_replacing_computes_the_digest_of_the_metadata_anew(
    present: str, algorithm: str, store: Store, package: Path, other: SigningFile
) -> None:
    """A SHA-1 MsiDigitalSignatureEx left in place would make a SHA-256 signature wrong for every verifier."""
    path = package.with_name("signed.msi")
    peer_signs(other, package, path, present, "-add-msi-dse")
    run = sign(path, store, "--replace", "--digest", algorithm)
    assert run.code == 0, run.text
    assert "metadata-digest" in checks(run)
    peer = osslsigncode_verify(path, store.root)
    assert peer.accepted, peer.text
    assert "Calculated MsiDigitalSignatureEx" in peer.text


def test_appending_another_digest_than_that_of_the_metadata_is_refused(
    store: Store, package: Path, other: SigningFile
) -> None:
    path = package.with_name("signed.msi")
    peer_signs(other, package, path, "sha256", "-add-msi-dse")
    before = path.read_bytes()
    run = sign(path, store, "--append", "--digest", "sha384")
    assert (run.code, run.error_code) == (6, "NTE_BAD_ALGID")
    assert "MsiDigitalSignatureEx" in run.text
    assert run.report["totals"]["signatures_used"] == 0
    assert path.read_bytes() == before
    bundle = path.with_name("bundle.pem")
    bundle.write_bytes(other.root.read_bytes() + store.root.read_bytes())
    same = sign(path, store, "--append", "--no-timestamp", "--trust-root", str(bundle))
    assert same.code == 0, same.text
    assert osslsigncode_verify(path, bundle).accepted


def test_the_timestamp_command_changes_nothing_else(store: Store, package: Path, timestamp_server: TimestampServer,
    authority_root: Path,
) -> None:  # fmt: skip
    sign(package, store, "--no-timestamp")
    before = unsigned_tree(package)
    roots = ("--trust-root", store.root, "--trust-root", authority_root)
    run = kspsign("timestamp", package, "--timestamp-url", timestamp_server.url, *roots, folder=package.parent)
    assert run.code == 0, run.text
    assert run.file["signatures"][0]["timestamp"]
    assert unsigned_tree(package) == before


def test_signed_already(store: Store, package: Path, other: SigningFile) -> None:
    sign(package, store)
    before = package.read_bytes()
    assert sign(package, store).file["outcome"] == "skipped"
    refused = kspsign("run", package, *other.options, "--no-timestamp", folder=package.parent)
    assert refused.error_code == "ALREADY_SIGNED"
    assert package.read_bytes() == before
