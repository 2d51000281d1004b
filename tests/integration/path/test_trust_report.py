"""Log and report name the roots of trust, and warn of certificates that Windows may not honour."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from support.certificates import PASSWORD, PASSWORD_VARIABLE, SigningFile, rsa_key, signing_file
from support.formats.peimages import build_pe
from support.pki import CODE_SIGNING, new_key
from support.samples import corpus, kspsign
from support.signing import Publisher

LIFETIME = x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.13")
ECDSA, ENDS = "ECDSA_CERTIFICATE", "LIFETIME_SIGNING"


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)


def certsync(made: SigningFile) -> str:
    """What certsync prints; its last line is the thumbprint."""
    root = made.options.index("--trust-root")
    options = made.options[:root] + made.options[root + 2 :]
    command = [sys.executable, "-m", "kspsign", "certsync", *options]
    done = subprocess.run(command, capture_output=True, check=True, text=True, cwd=made.path.parent, timeout=60)
    assert re.fullmatch(r"[0-9A-F]{40}", done.stdout.splitlines()[-1])
    return done.stdout


def image(folder: Path) -> Path:
    path = folder / "app.exe"
    path.write_bytes(build_pe())
    return path


def test_the_roots_are_named_and_those_that_chains_ended_in(publisher: Publisher, tmp_path: Path) -> None:
    path = image(tmp_path)
    signed = publisher.sign(path)
    assert signed.code == 0, signed.text
    for run in (signed, publisher.verify(path)):
        trust, signature = run.report["trust"], run.file["signatures"][0]
        named = {anchor["thumbprint"]: anchor["subject"] for anchor in trust["named"]}
        assert signature["root"]["thumbprint"] in named
        assert signature["timestamp"]["root"]["thumbprint"] in named
        assert trust["used"] == [signature["root"], signature["timestamp"]["root"]]
        assert trust["program_date"].startswith("20")
        for thumbprint, subject in named.items():
            assert f"trust root {thumbprint} ({subject})" in run.text
        assert "chains end in" not in run.text
        assert f"trust: the Microsoft root program of {trust['program_date'][:10]}" in run.text
        assert run.report["warnings"] == []
    other = kspsign("verify", path, folder=tmp_path)
    assert other.report["trust"]["named"] == other.report["trust"]["used"] == []
    assert other.file["signatures"][0]["root"] is None


def test_roots_of_the_program_that_chains_ended_in_are_named(tmp_path: Path) -> None:
    run = kspsign("verify", corpus("signtool.exe"), folder=tmp_path)
    assert run.code == 0, run.text
    for anchor in run.report["trust"]["used"]:
        assert f"chains end in {anchor['thumbprint']} ({anchor['subject']})" in run.text


@pytest.mark.parametrize("kind", ["EC P-256", "RSA 2048"])
def test_ecdsa_is_warned_of_at_certsync_sign_and_verify(kind: str, tmp_path: Path) -> None:
    made = signing_file(tmp_path, key=rsa_key(2048) if kind.startswith("RSA") else new_key())
    path = image(tmp_path)
    assert (f"warning: {ECDSA}: " in certsync(made)) is kind.startswith("EC")
    signed = kspsign("sign", path, *made.options, "--no-timestamp", folder=tmp_path)
    verified = kspsign("verify", path, "--trust-root", made.root, "--no-timestamp", folder=tmp_path)
    assert verified.file["signatures"][0]["key"] == kind
    for run, others in ((signed, ["NO_TIMESTAMP"]), (verified, [])):
        assert run.code == 0, run.text
        warned = [warning["code"] for warning in run.report["warnings"]]
        assert warned == [*([ECDSA] if kind.startswith("EC") else []), *others]
        assert (f"warning: {ECDSA}: " in run.text) is kind.startswith("EC")


def test_a_lifetime_certificate_is_warned_of_before_it_signs(tmp_path: Path) -> None:
    made = signing_file(tmp_path, key=rsa_key(2048), usages=(CODE_SIGNING, LIFETIME))
    assert f"warning: {ENDS}: " in certsync(made)
    run = kspsign("sign", image(tmp_path), "--no-timestamp", *made.options, folder=tmp_path)
    assert run.code == 0, run.text
    warning, _no_timestamp = run.report["warnings"]
    assert warning["code"] == ENDS
    assert "timestamped or not" in warning["message"]
    assert f"warning: {ENDS}: " in run.text


def test_in_a_pipeline_it_is_a_warning_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = signing_file(tmp_path, key=new_key())
    monkeypatch.setenv("TF_BUILD", "True")
    assert f"##vso[task.logissue type=warning;code={ECDSA};]" in certsync(made)
