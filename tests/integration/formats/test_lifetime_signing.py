"""A certificate for lifetime signing: what it signs ends with it in every format, whatever timestamp it has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from support.certificates import rsa_key
from support.forging import signed_by
from support.formats.appx_samples import Package
from support.formats.cab_samples import build_cab
from support.formats.cat_samples import catalogue
from support.formats.msi_samples import msitools_package
from support.formats.navx_samples import build_navx
from support.formats.peimages import build_pe
from support.formats.script_samples import script
from support.pki import CODE_SIGNING, TIMESTAMPING, Issued, ca, extended, issue, key_usage, name, write_pem
from support.samples import Run, kspsign
from support.tokens import make_token

LIFETIME = x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.13")
NOW = datetime.now(UTC)
STAMPED, ENDED, VALID = NOW - timedelta(days=30), NOW - timedelta(days=1), NOW + timedelta(days=90)
PUBLISHER = "Lifetime"
SAMPLES: dict[str, Callable[[], bytes]] = {
    "app.exe": build_pe,
    "data.cab": build_cab,
    "driver.cat": catalogue,
    "setup.msi": msitools_package,
    "app.msix": Package(publisher=f"CN={PUBLISHER}").build,
    "app.app": build_navx,
    "run.ps1": lambda: script("ps1"),
    "run.vbs": lambda: script("vbs"),
}


@pytest.fixture(scope="module")
def root() -> Issued:
    return ca("Root", key=rsa_key(2048), end=VALID)


@pytest.fixture(scope="module")
def unit(root: Issued) -> Issued:
    usages = (extended(TIMESTAMPING, critical=True), key_usage("digital_signature"))
    return issue("Authority", root, extensions=usages, key=rsa_key(2048), end=VALID)


def judged(path: Path, root: Issued, unit: Issued, end: datetime, *usages: x509.ObjectIdentifier) -> Run:
    """The verdict on the file once a certificate with these usages, which ends then, has signed it and `unit` stamped
    it 30 days ago."""
    extensions = (extended(CODE_SIGNING, *usages), key_usage("digital_signature"))
    leaf = issue(name(PUBLISHER), root, extensions=extensions, key=rsa_key(2048), end=end)
    path.write_bytes(SAMPLES[path.name]())
    signed_by(path, leaf, stamp=lambda value: make_token(unit, value, STAMPED))
    return kspsign("verify", path, "--trust-root", write_pem(path.with_suffix(".pem"), root), folder=path.parent)


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_timestamp_extends_it(sample: str, root: Issued, unit: Issued, tmp_path: Path) -> None:
    path = tmp_path / sample
    run = judged(path, root, unit, ENDED, LIFETIME)
    assert (run.code, run.error_code) == (2, "CERT_E_EXPIRED"), run.text
    assert "lifetime signing" in run.file["error"]["message"]
    assert "without lifetime signing" in run.file["error"]["remedy"]
    assert judged(path, root, unit, ENDED).code == 0
    assert judged(path, root, unit, VALID, LIFETIME).code == 0
