"""Native signatures before Microsoft's SignTool, SignTool's before the strict verification; tampered twins of both."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from support.formats.burn_samples import BUNDLE, cached_engine
from windows_lab.issuing import write_pkcs12
from windows_lab.machine import LAB_VARIABLES, Ended, Windows
from windows_lab.twins import TWINS, with_data_behind

PASSWORD = "lab ünd password"  # noqa: S105 -- of a throw-away file
TOOL_ENV = [part for name in LAB_VARIABLES for part in ("--tool-env", name)]
KIT = "C:/Program Files (x86)/Windows Kits/10/bin/10.0.26100.0/x64"

SIGNTOOL_SAYS = {
    "section": r"0x80096010\s+The digital signature of the object did not verify",
    "header": r"0x80096010\s+The digital signature of the object did not verify",
    "overlay": r"0x80096010\s+The digital signature of the object did not verify",
    "value": r"SignTool Error: Signature did not pass crypto policy",
    "stripped": r"SignTool Error: No signature found",
}
WE_SAY = {
    "section": "0x80096010",
    "header": "0x80096010",
    "overlay": "0x80096010",
    "value": "0x80096004",
    "stripped": "0x800B0100",
}


def signtool_verify(windows: Windows, *files: str) -> Ended:
    """Every signature, with a warning for a missing timestamp."""
    return windows.signtool("verify", "/pa", "/all", "/tw", "/v", *files)


def sign_by_signtool(windows: Windows, thumbprint: str, timestamp_url: str, *files: str) -> None:
    """Sign as a Windows agent does without us."""
    servers = ("/tr", timestamp_url, "/td", "SHA256")
    signed = windows.signtool("sign", "/sha1", thumbprint, "/fd", "SHA256", *servers, *files)
    assert signed.exit_code == 0, signed.output


def our_verdicts(windows: Windows, *arguments: str | Path) -> tuple[int, dict[str, str | None]]:
    """The exit code of the strict verification, and the HRESULT of each file (None: verified)."""
    ended = windows.kspsign("verify", *arguments, "--report", "verdicts.json")
    files = json.loads((windows.folder / "verdicts.json").read_text(encoding="utf-8"))["files"]
    assert all((file["verdict"]["result"] == "verified") == (file["error"] is None) for file in files)
    return ended.exit_code, {file["path"]: file["error"] and file["error"]["hresult"] for file in files}


def write_twins(windows: Windows, name: str) -> dict[str, str]:
    """The tampered twins of a file: their names by what was done."""
    content = (windows.folder / name).read_bytes()
    named = {done: f"{done}-{name}" for done in TWINS}
    for done, tamper in TWINS.items():
        (windows.folder / named[done]).write_bytes(tamper(content))
    return named


def check_twins(windows: Windows, name: str) -> None:
    """Both verifiers accept the file, and both refuse each twin for the right reason."""
    twins = write_twins(windows, name)
    accepted = signtool_verify(windows, name)
    assert accepted.exit_code == 0, accepted.output
    for done, twin in twins.items():
        refused = signtool_verify(windows, twin)
        assert refused.exit_code == 1, refused.output
        assert re.search(SIGNTOOL_SAYS[done], refused.stderr), refused.output
    exit_code, verdicts = our_verdicts(windows, name, *twins.values(), "--trust-root", windows.trust_root)
    assert exit_code == 2
    assert verdicts == {name: None, **{twins[done]: hresult for done, hresult in WE_SAY.items()}}


@pytest.mark.parametrize("digest", ["sha256", "sha384"])
def test_signtool_accepts_native_signatures_and_refuses_their_twins(
    windows: Windows, timestamp_url: str, digest: str
) -> None:
    key = rsa.generate_private_key(65537, 3072) if digest == "sha256" else ec.generate_private_key(ec.SECP384R1())
    write_pkcs12(windows.lab, windows.folder / "fabrikam.p12", key, PASSWORD.encode())
    windows.program("app.exe")
    launchers = find_spec("setuptools")
    assert launchers is not None
    assert launchers.origin is not None
    for name in ("cli-32.exe", "gui-arm64.exe"):
        shutil.copyfile(Path(launchers.origin).with_name(name), windows.folder / name)
    arguments = [
        "*.exe",
        "--key-store",
        "pkcs12",
        "--pkcs12",
        "fabrikam.p12",
        "--password-env",
        "PFX",
        "--store",
        "store",
    ]
    arguments += [
        "--digest",
        digest,
        "--timestamp-url",
        timestamp_url,
        "--description",
        "Größe",
        "--report",
        "run.json",
    ]
    arguments += ["--engine", "native"]
    signed = windows.kspsign("run", *arguments, "--trust-root", windows.trust_root, env={"PFX": PASSWORD})
    assert signed.exit_code == 0, signed.output
    assert PASSWORD not in signed.output + (windows.folder / "run.json").read_text(encoding="utf-8")
    accepted = signtool_verify(windows, "app.exe", "cli-32.exe", "gui-arm64.exe")
    assert accepted.exit_code == 0, accepted.output
    assert accepted.stdout.count(f"Hash of file ({digest}): ") == 3
    assert accepted.stdout.count("Issued to: Winlab Timestamp Responder") == 3
    if digest == "sha256":
        check_twins(windows, "app.exe")


def test_a_second_native_signature_leaves_the_first_valid(windows: Windows, timestamp_url: str) -> None:
    windows.program("app.exe")
    sign_by_signtool(windows, windows.certsync("Contoso-Release").thumbprint, timestamp_url, "app.exe")
    write_pkcs12(windows.lab, windows.folder / "f.p12", rsa.generate_private_key(65537, 2048), PASSWORD.encode())
    arguments = ["--key-store", "pkcs12", "--pkcs12", "f.p12", "--password-env", "PFX", "--store", "store", "--append"]
    arguments += ["--engine", "native", "--timestamp-url", timestamp_url]
    ended = windows.kspsign("run", "app.exe", *arguments, "--trust-root", windows.trust_root, env={"PFX": PASSWORD})
    assert ended.exit_code == 0, ended.output
    checked = signtool_verify(windows, "app.exe")
    assert checked.exit_code == 0, checked.output
    assert "Number of signatures successfully Verified: 2" in checked.stdout


def test_both_signatures_of_a_wix_bundle(windows: Windows, timestamp_url: str) -> None:
    """SignTool accepts bundle and engine; what SignTool signs without the engine it accepts too, and we do not."""
    for name in ("setup.exe", "wrong.exe"):
        (windows.folder / name).write_bytes(BUNDLE)
    write_pkcs12(windows.lab, windows.folder / "f.p12", rsa.generate_private_key(65537, 2048), PASSWORD.encode())
    arguments = ["--key-store", "pkcs12", "--pkcs12", "f.p12", "--password-env", "PFX", "--store", "store"]
    arguments += ["--engine", "native", "--timestamp-url", timestamp_url]
    ended = windows.kspsign("run", "setup.exe", *arguments, "--trust-root", windows.trust_root, env={"PFX": PASSWORD})
    assert ended.exit_code == 0, ended.output
    (windows.folder / "engine.exe").write_bytes(cached_engine((windows.folder / "setup.exe").read_bytes()))
    sign_by_signtool(windows, windows.certsync("Contoso-Release").thumbprint, timestamp_url, "wrong.exe")
    accepted = signtool_verify(windows, "setup.exe", "engine.exe", "wrong.exe")
    assert accepted.exit_code == 0, accepted.output
    verdicts = our_verdicts(windows, "setup.exe", "engine.exe", "wrong.exe", "--trust-root", windows.trust_root)
    assert verdicts == (2, {"engine.exe": None, "setup.exe": None, "wrong.exe": "0x8007000B"})
    (windows.folder / "plain.exe").write_bytes(BUNDLE)
    key = ("--key-store", "windows", "--keypair-alias", "Contoso-Release", "--store", "store", *TOOL_ENV)
    by_tool = windows.kspsign(
        *("run", "plain.exe", *key, "--timestamp-url", timestamp_url, "--report", "tool.json"),
        *("--trust-root", windows.trust_root),
    )
    (file,) = json.loads((windows.folder / "tool.json").read_text(encoding="utf-8"))["files"]
    assert (by_tool.exit_code, file["error"]["code"]) == (6, "TRUST_E_NOSIGNATURE"), by_tool.output
    assert "wix burn reattach" in file["error"]["remedy"]
    assert (windows.folder / "plain.exe").read_bytes() == BUNDLE


def test_signtools_signatures_verify_strictly_and_their_twins_do_not(windows: Windows, timestamp_url: str) -> None:
    for alias, name in (("Contoso-Release", "rsa.exe"), ("Contoso-EC", "ec.exe")):
        windows.program(name)
        sign_by_signtool(windows, windows.certsync(alias).thumbprint, timestamp_url, name)
    check_twins(windows, "rsa.exe")
    verified = our_verdicts(windows, "rsa.exe", "ec.exe", "--trust-root", windows.trust_root)
    assert verified == (0, {"ec.exe": None, "rsa.exe": None})
    # Without the lab's root it is signed, but by nobody that the Microsoft root program knows.
    assert our_verdicts(windows, "rsa.exe") == (2, {"rsa.exe": "0x800B010A"})
    # What hides behind the signature's DER is seen by the strict verification only.
    (windows.folder / "padded.exe").write_bytes(with_data_behind((windows.folder / "rsa.exe").read_bytes()))
    accepted = signtool_verify(windows, "padded.exe")
    assert accepted.exit_code == 0, accepted.output
    refused = our_verdicts(windows, "padded.exe", "--trust-root", windows.trust_root)
    assert refused == (2, {"padded.exe": "0x80096011"})


def test_both_verifiers_refuse_what_a_wrong_certificate_signed(windows: Windows) -> None:
    expected = {
        "Contoso-Server": (r"SignTool Error: ", "0x800B0110"),
        "Contoso-Expired": (r"0x800B0101 A required certificate is not within its validity period", "0x800B0101"),
        "Contoso-SelfSigned": (r"root certificate which is not trusted", "0x800B0109"),
    }
    for alias, (signtool_says, _hresult) in expected.items():
        windows.sign_elsewhere(alias, f"{alias}.exe")
        refused = signtool_verify(windows, f"{alias}.exe")
        assert refused.exit_code == 1, refused.output
        assert re.search(signtool_says, " ".join(refused.stderr.split())), refused.output
    verdicts = our_verdicts(windows, "*.exe", "--no-timestamp", "--trust-root", windows.trust_root)
    assert verdicts == (2, {f"{alias}.exe": hresult for alias, (_says, hresult) in expected.items()})


def test_signatures_that_others_released_verify_against_the_microsoft_roots(windows: Windows) -> None:
    files = (f"{KIT}/signtool.exe", "C:/Python311/python311.dll", "C:/Program Files/nodejs/node.exe")
    exit_code, verdicts = our_verdicts(windows, *files)
    assert exit_code == 0
    # Folders of this drive C: are links: what they lead to is judged by its own name too.
    assert {name: verdicts[name] for name in files} == dict.fromkeys(files)
    assert set(verdicts.values()) == {None}
