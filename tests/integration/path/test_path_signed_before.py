"""Files that carry a signature already: kept, refused, replaced, given a second one, or only stamped."""

from __future__ import annotations

from pathlib import Path

import pytest

from kspsign.embedded.timestamp_server import TimestampServer
from support.certificates import PASSWORD, PASSWORD_VARIABLE, SigningFile, signing_file
from support.formats.peimages import digest, flipped, parts
from support.samples import Run, Store, copy_launcher, kspsign, launcher, osslsigncode_verify


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return copy_launcher(folder)


@pytest.fixture
def other(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> SigningFile:
    """Another publisher, whose file of trusted roots holds the embedded root too."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    file = signing_file(tmp_path)
    file.root.write_bytes(file.root.read_bytes() + store.root.read_bytes())
    return file


def sign(path: Path, store: Store, *options: object) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign("sign", path, *chosen, *options, folder=path.parent)


def sign_as_other(path: Path, other: SigningFile, server: TimestampServer, *options: str) -> Run:
    return kspsign("sign", path, *other.options, "--timestamp-url", server.url, *options, folder=path.parent)


def test_a_second_run_skips_what_the_first_signed(store: Store, target: Path) -> None:
    first = sign(target, store)
    before = target.read_bytes()
    second = sign(target, store)
    assert (first.code, first.file["outcome"]) == (0, "signed")
    assert (second.code, second.file["outcome"]) == (0, "skipped")
    assert second.report["totals"]["signatures_used"] == 0
    assert second.file["verdict"]["result"] == "verified"
    assert target.read_bytes() == before


def test_ours_that_does_not_verify_any_more_is_refused(store: Store, target: Path) -> None:
    sign(target, store)
    target.write_bytes(flipped(target.read_bytes(), parts(target.read_bytes()).sections_end - 1))
    before = target.read_bytes()
    run = sign(target, store)
    assert (run.code, run.error_code) == (6, "ALREADY_SIGNED")
    assert "--replace" in run.text
    assert target.read_bytes() == before


def test_another_publishers_is_refused_by_default(
    store: Store, target: Path, other: SigningFile, timestamp_server: TimestampServer
) -> None:
    sign(target, store)
    before = target.read_bytes()
    run = sign_as_other(target, other, timestamp_server, "--trust-root", str(store.root))
    assert (run.code, run.error_code) == (6, "ALREADY_SIGNED")
    assert "publisher" in run.text
    assert all(option in run.text for option in ("--append", "--replace", "--skip-signed"))
    assert run.report["totals"]["signatures_used"] == 0
    assert target.read_bytes() == before


def test_skip_signed_keeps_a_valid_one_and_refuses_a_broken_one(
    store: Store, target: Path, other: SigningFile, timestamp_server: TimestampServer
) -> None:
    sign(target, store)
    before = target.read_bytes()
    assert sign_as_other(target, other, timestamp_server, "--skip-signed").file["outcome"] == "skipped"
    assert target.read_bytes() == before
    target.write_bytes(flipped(before, parts(before).sections_end - 1))
    refused = sign_as_other(target, other, timestamp_server, "--skip-signed")
    assert refused.error_code == "ALREADY_SIGNED"
    assert "only files that verify are skipped" in refused.file["error"]["message"]
    assert "--skip-signed" not in refused.file["error"]["remedy"], "it was given"


def test_replace_leaves_only_the_new_signature(store: Store, target: Path) -> None:
    sign(target, store)
    run = sign(target, store, "--replace", "--description", "second")
    assert (run.code, run.file["outcome"], len(run.file["signatures"])) == (0, "signed", 1)
    peer = osslsigncode_verify(target, store.root)
    assert peer.accepted
    assert "Text description: second" in peer.text
    original = launcher(target.name)
    assert digest(target.read_bytes()) == digest(original.read_bytes())


def test_append_adds_a_signature_and_each_is_verified(
    store: Store, target: Path, other: SigningFile, authority_root: Path, timestamp_server: TimestampServer
) -> None:
    sign(target, store)
    roots = ("--trust-root", str(authority_root))
    run = sign_as_other(target, other, timestamp_server, "--append", "--digest", "sha384", *roots)
    assert run.code == 0, run.text
    assert [signature["digest"] for signature in run.file["signatures"]] == ["sha256", "sha384"]
    assert {signature["subject"].split(",")[0] for signature in run.file["signatures"]} == {
        "CN=kspsign TEST SIGNING publisher - do not trust",
        "CN=Test publisher",
    }
    names = [check["name"] for check in run.file["verdict"]["checks"]]
    assert {"digest", "signature", "timestamp", "digest#2", "signature#2", "timestamp#2"} <= set(names)
    third = sign_as_other(target, other, timestamp_server, "--append", *roots)
    # Nested signatures are values of one SET, whose order is that of their encodings.
    algorithms = [signature["digest"] for signature in third.file["signatures"]]
    assert (algorithms[0], sorted(algorithms[1:])) == ("sha256", ["sha256", "sha384"])
    bundle = authority_root.parent / "bundle.pem"
    bundle.write_bytes(other.root.read_bytes() + authority_root.read_bytes())
    peer = osslsigncode_verify(target, bundle)
    assert peer.accepted, peer.text
    data = target.read_bytes()
    assert peer.calculated_digests == [digest(data, algorithm) for algorithm in algorithms]
    alone = kspsign("verify", target, "--trust-root", store.root, folder=target.parent)
    assert alone.code == 2
    broken = [check["name"] for check in alone.file["verdict"]["checks"] if not check["ok"]]
    assert "certificate-chain" not in broken
    assert "certificate-chain#2" in broken


def test_append_spends_nothing_beside_a_signature_that_does_not_hold(
    store: Store, target: Path, other: SigningFile, authority_root: Path, timestamp_server: TimestampServer
) -> None:
    sign(target, store)
    target.write_bytes(flipped(target.read_bytes(), parts(target.read_bytes()).sections_end - 1))
    before = target.read_bytes()
    run = sign_as_other(target, other, timestamp_server, "--append", "--trust-root", str(authority_root))
    assert (run.code, run.error_code, run.report["totals"]["signatures_used"]) == (6, "ALREADY_SIGNED", 0)
    assert "--replace" in run.file["error"]["remedy"]
    assert target.read_bytes() == before


@pytest.mark.parametrize("option", ["--append", "--skip-signed"])
def test_beside_a_signature_of_an_unnamed_root_the_root_is_what_is_missing(
    option: str,
    store: Store,
    target: Path,
    tmp_path: Path,
    timestamp_server: TimestampServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The present signature is whole: it need not be replaced, and the reason is not dropped."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    sign(target, store)
    before = target.read_bytes()
    run = sign_as_other(target, signing_file(tmp_path), timestamp_server, option)
    assert (run.code, run.error_code, run.report["totals"]["signatures_used"]) == (6, "ALREADY_SIGNED", 0)
    assert "root" in run.file["error"]["message"]
    assert "--trust-root" in run.file["error"]["remedy"]
    assert "original build output" not in run.file["error"]["remedy"]
    assert target.read_bytes() == before


def test_without_a_timestamp_only_who_asks_for_none_is_content(store: Store, target: Path) -> None:
    assert sign(target, store, "--no-timestamp").file["signatures"][0]["timestamp"] is None
    strict = kspsign("verify", target, "--trust-root", store.root, folder=target.parent)
    assert (strict.code, strict.error_code) == (2, "TRUST_E_TIME_STAMP")
    lenient = kspsign("verify", target, "--trust-root", store.root, "--no-timestamp", folder=target.parent)
    assert lenient.code == 0


def test_the_timestamp_command_stamps_once(
    store: Store, target: Path, authority_root: Path, timestamp_server: TimestampServer
) -> None:
    sign(target, store, "--no-timestamp")
    options = ("--trust-root", store.root, "--trust-root", authority_root, "--timestamp-url", timestamp_server.url)
    stamped = kspsign("timestamp", target, *options, folder=target.parent)
    assert (stamped.code, stamped.file["outcome"]) == (0, "signed"), stamped.text
    assert stamped.file["signatures"][0]["timestamp"]["digest"] == "sha256"
    after = target.read_bytes()
    again = kspsign("timestamp", target, *options, folder=target.parent)
    assert (again.code, again.file["outcome"]) == (0, "skipped")
    assert target.read_bytes() == after
    bundle = authority_root.parent / "bundle.pem"
    bundle.write_bytes(store.root.read_bytes() + authority_root.read_bytes())
    assert osslsigncode_verify(target, bundle).accepted


def test_an_unsigned_file_is_not_stamped(store: Store, target: Path, timestamp_server: TimestampServer) -> None:
    before = target.read_bytes()
    run = kspsign(
        *("timestamp", target, "--trust-root", store.root, "--timestamp-url", timestamp_server.url),
        folder=target.parent,
    )  # fmt: skip
    assert run.code == 6
    assert run.error_code == "TRUST_E_NOSIGNATURE"
    assert target.read_bytes() == before
