"""What people should act on though nothing failed: in the log, the report, the summary, JUnit and the pipeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support.certificates import PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.formats.peimages import build_pe
from support.samples import Run, kspsign
from support.signing import Publisher

KEY = rsa_key(3072)
CLICKONCE = """<?xml version="1.0" encoding="utf-8"?>
<asmv1:assembly xmlns="urn:schemas-microsoft-com:asm.v2" xmlns:asmv1="urn:schemas-microsoft-com:asm.v1">
  <dependency><dependentAssembly dependencyType="install" codebase="App.exe" size="1024">
    <hash><dsig:DigestValue xmlns:dsig="http://www.w3.org/2000/09/xmldsig#">AAAA</dsig:DigestValue></hash>
  </dependentAssembly></dependency>
  <file name="lib\\helper.dll" size="1"><hash><DigestValue>AAAA</DigestValue></hash></file>
</asmv1:assembly>
"""


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build_pe())
    return path


def codes(run: Run) -> list[str]:
    assert run.code == 0, run.text
    return [warning["code"] for warning in run.report["warnings"]]


def test_every_surface_shows_them(tmp_path: Path) -> None:
    made = signing_file(tmp_path, key=KEY, end=datetime.now(UTC) + timedelta(days=20))
    image(tmp_path / "app.exe")
    outputs = ("--summary", tmp_path / "s.md", "--junit", tmp_path / "j.xml")
    patterns = ("*.exe", "gone/*.dll", "!*.sys")
    run = kspsign("sign", "--folder", tmp_path, *patterns, *made.options, "--no-timestamp", *outputs, folder=tmp_path)
    expected = ["PATTERN_UNMATCHED", "EXCLUSION_UNMATCHED", "CERTIFICATE_ENDS", "NO_TIMESTAMP"]
    assert codes(run) == expected
    summary = (tmp_path / "s.md").read_text(encoding="utf-8")
    junit = ET.parse(tmp_path / "j.xml").getroot()  # noqa: S314 - our own
    properties = {element.get("name"): element.get("value", "") for element in junit.iter("property")}
    for warning in run.report["warnings"]:
        assert f"warning: {warning['code']}: " in run.text
        assert warning["code"] in summary.replace("\\", "")
        assert warning["remedy"] in properties[f"warning.{warning['code']}"]
    assert "gone/*.dll" in run.text
    assert "there is no folder" in run.report["warnings"][0]["message"]
    assert "in 19 days" in run.report["warnings"][2]["message"]


def test_an_end_is_told_by_thumbprint_too(tmp_path: Path) -> None:
    made = signing_file(tmp_path, key=KEY, end=datetime.now(UTC) + timedelta(days=20))
    image(tmp_path / "app.exe")
    first = kspsign("sign", "--folder", tmp_path, "app.exe", *made.options, "--no-timestamp", folder=tmp_path)
    image(tmp_path / "app.exe")
    thumbprint = first.report["certificate"]["thumbprint"]
    options = ("--thumbprint", thumbprint, "--trust-root", made.root, "--store", tmp_path / "store")
    more = ("--password-env", PASSWORD_VARIABLE, "--key-store", "pkcs12")
    run = kspsign("sign", "--folder", tmp_path, "app.exe", *options, *more, "--no-timestamp", folder=tmp_path)
    assert codes(first) == codes(run) == ["CERTIFICATE_ENDS", "NO_TIMESTAMP"]


def test_a_run_without_cause_has_none(publisher: Publisher, tmp_path: Path) -> None:
    run = publisher.sign(image(tmp_path / "app.exe"))
    assert codes(run) == []


def test_in_a_pipeline_they_are_issues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = signing_file(tmp_path, key=KEY)
    image(tmp_path / "app.exe")
    monkeypatch.setenv("TF_BUILD", "True")
    run = kspsign("sign", "--folder", tmp_path, "*.exe", "*.dll", *made.options, "--no-timestamp", folder=tmp_path)
    assert codes(run) == ["PATTERN_UNMATCHED", "NO_TIMESTAMP"]
    for code in codes(run):
        assert f"##vso[task.logissue type=warning;code={code};]" in run.text


def test_a_program_under_its_clickonce_manifest(publisher: Publisher, tmp_path: Path) -> None:
    image(tmp_path / "app" / "App.exe")
    image(tmp_path / "app" / "lib" / "helper.dll")
    image(tmp_path / "app" / "other.exe")
    image(tmp_path / "else" / "App.exe")
    (tmp_path / "app" / "App.exe.manifest").write_text(CLICKONCE, encoding="utf-8")
    (tmp_path / "else" / "App.exe.manifest").write_text("<assembly xmlns='urn:schemas-microsoft-com:asm.v1'/>", "utf-8")
    run = publisher.sign(Path("{app,else}/**/*.{exe,dll}"), "--folder", tmp_path)
    assert codes(run) == ["CLICKONCE_MANIFEST"]
    message = run.report["warnings"][0]["message"]
    assert "app/App.exe, app/lib/helper.dll" in message
    assert "other.exe" not in message
    assert "else/" not in message


def test_files_that_others_signed(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    vendor = signing_file(tmp_path / "vendor", key=KEY, subject="Vendor Inc.")
    image(tmp_path / "vendor.dll")
    stamp = ("--timestamp-url", publisher.timestamp_url, "--trust-root", publisher.roots)
    signed = kspsign("sign", "--folder", tmp_path, "vendor.dll", *vendor.options, *stamp, folder=tmp_path)
    assert signed.code == 0, signed.text
    image(tmp_path / "app.exe")
    more = ("--skip-signed", "--trust-root", str(vendor.root))
    run = publisher.sign(Path("*.{dll,exe}"), "--folder", tmp_path, *more)
    assert codes(run) == ["VENDOR_SIGNED"]
    assert "vendor.dll (" in run.report["warnings"][0]["message"]
    assert "Vendor Inc." in run.report["warnings"][0]["message"]
    assert "app.exe" not in run.report["warnings"][0]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("*.exe", "--description", "$(productName)"),
        ("*.exe", "$(out)/**/*.dll"),
        ("*.exe", "--timestamp-url", "timestamp.example"),
        ("*.exe;*.dll",),
    ],
)
def test_nothing_is_signed_under_a_setting_that_can_be_judged_alone(
    publisher: Publisher, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    path = image(tmp_path / "app.exe")
    before = path.read_bytes()
    run = kspsign("sign", *arguments, "--folder", tmp_path, *publisher.file.options, folder=tmp_path)
    assert run.code == 3, run.text
    assert path.read_bytes() == before
