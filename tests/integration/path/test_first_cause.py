"""Of several checks that fail the report names the cause: what explains the others, and what mends the file."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kspsign.model.values import DigestAlgorithm
from support.certificates import rsa_key
from support.forging import Stamp, signed_by
from support.formats.peimages import build_pe
from support.pki import CODE_SIGNING, TIMESTAMPING, Issued, ca, extended, issue, key_usage, write_pem
from support.samples import Run, kspsign
from support.tokens import make_token

NOW = datetime.now(UTC)
STAMPED, ENDED, VALID = NOW - timedelta(days=30), NOW - timedelta(days=1), NOW + timedelta(days=90)


@pytest.fixture(scope="module")
def root() -> Issued:
    return ca("Root", key=rsa_key(2048), end=VALID)


def leaf(issuer: Issued, end: datetime) -> Issued:
    extensions = (extended(CODE_SIGNING), key_usage("digital_signature"))
    return issue("Publisher", issuer, extensions=extensions, key=rsa_key(2048), end=end)


def unit(issuer: Issued) -> Issued:
    extensions = (extended(TIMESTAMPING, critical=True), key_usage("digital_signature"))
    return issue("Authority", issuer, extensions=extensions, key=rsa_key(2048), end=VALID)


def judged(folder: Path, signer: Issued, trusted: Issued, *chain: Issued, stamp: Stamp | None = None) -> Run:
    path = folder / "app.exe"
    path.write_bytes(build_pe())
    signed_by(path, signer, chain, stamp)
    return kspsign("verify", path, "--trust-root", write_pem(folder / "root.pem", trusted), folder=folder)


def said(run: Run) -> tuple[str | None, str, str]:
    """Code, check and remedy of what the report names."""
    assert run.code == 2, run.text
    found = re.search(r"\(([a-z-]+): ", run.file["error"]["message"])
    assert found is not None
    return run.error_code, found[1], run.file["error"]["remedy"]


def test_a_timestamp_that_does_not_count_explains_the_expiry(root: Issued, tmp_path: Path) -> None:
    authority, stranger = unit(root), unit(ca("Stranger", key=rsa_key(2048), end=VALID))
    for make, expected in (
        (lambda value: make_token(authority, value, STAMPED, signed_over=DigestAlgorithm.SHA1), "timestamp-algorithms"),
        (lambda value: make_token(authority, value, STAMPED, imprint=DigestAlgorithm.SHA1), "timestamp-algorithms"),
        (lambda value: make_token(authority, value + b"!", STAMPED), "timestamp-imprint"),
        (lambda value: make_token(stranger, value, STAMPED), "timestamp-certificate-chain"),
    ):
        _code, check, _remedy = said(judged(tmp_path, leaf(root, ENDED), root, stamp=make))
        assert check == expected
    assert (
        judged(tmp_path, leaf(root, ENDED), root, stamp=lambda value: make_token(authority, value, STAMPED)).code == 0
    )


def test_expired_without_a_timestamp_is_not_mended_by_one(root: Issued, tmp_path: Path) -> None:
    code, check, remedy = said(judged(tmp_path, leaf(root, ENDED), root))
    assert (code, check) == ("CERT_E_EXPIRED", "certificate-validity")
    assert "Sign again" in remedy


def test_a_missing_timestamp_is_mended_for_nothing(root: Issued, tmp_path: Path) -> None:
    code, check, remedy = said(judged(tmp_path, leaf(root, VALID), root))
    assert (code, check) == ("TRUST_E_TIME_STAMP", "timestamp")
    assert "kspsign timestamp" in remedy
    assert "ign again" not in remedy


def test_a_root_that_is_not_trusted_is_no_reason_to_sign_again(root: Issued, tmp_path: Path) -> None:
    between = ca("Between", root, key=rsa_key(2048), end=VALID)
    signer, other = leaf(between, VALID), ca("Another root", key=rsa_key(2048), end=VALID)
    chains: tuple[tuple[Issued, ...], ...] = ((between,), ())
    for chain in chains:
        run = judged(tmp_path, signer, other, *chain)
        assert said(run)[:2] == ("CERT_E_CHAINING", "certificate-chain")
        assert "--trust-root" in said(run)[2]
        assert "ign again" not in said(run)[2]
        assert "root" in run.file["error"]["message"]
    assert said(judged(tmp_path, signer, root, between))[0] == "TRUST_E_TIME_STAMP"
