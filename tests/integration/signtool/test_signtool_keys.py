"""Which key signs: a .pfx file, names in the store, KSPs of several services, the dlib; and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.server import ArtifactSigning
from support.artifact_signing.world import ACCOUNT, ENDPOINT, PROFILE
from support.certificates import PASSWORD, rsa_key, signing_file
from support.formats.peimages import build_pe
from support.google.server import Google
from support.google.world import KEY
from support.key_vault.world import CLIENT, TENANT
from support.samples import osslsigncode_verify
from support.signtool.winlab import BEGIN, END, Ran, Winlab

RELEASE = "Contoso-Release"
STORE = ("/fd", "SHA256")


@pytest.fixture
def pfx(lab: Winlab) -> Path:
    """A .pfx file with a password in the working folder; its root is trusted."""
    made = signing_file(lab.folder, key=rsa_key(2048))
    made.path.rename(lab.folder / "signing.pfx")
    config = lab.folder.parent / "pfx.yml"
    config.write_text(f"trust_root: [{made.root}]\n")
    return config


def test_a_pfx_file_with_its_password(lab: Winlab, pfx: Path) -> None:
    """The password is in no output, no report and no file."""
    lab.program("app.exe")
    report = lab.folder.parent / "report.json"
    pfx.write_text(pfx.read_text() + f"report: {report}\n")
    signed = lab.signtool(
        "sign", "/debug", "/v", *STORE, "/f", "signing.pfx", "/p", PASSWORD, "app.exe", KSPSIGN_CONFIG=str(pfx)
    )
    assert signed.code == 0, signed
    assert "    Issued to: Test publisher" in signed.out
    said = "\n".join((*signed.out, *signed.err)) + report.read_text()
    assert PASSWORD not in said
    kept = [path for path in lab.folder.parent.rglob("*") if path.is_file() and path.suffix != ".pfx"]
    assert not [path for path in kept if PASSWORD.encode() in path.read_bytes()]
    wrong = lab.signtool("sign", *STORE, "/f", "signing.pfx", "/p", "guess", "app.exe", KSPSIGN_CONFIG=str(pfx))
    without = lab.signtool("sign", *STORE, "/f", "signing.pfx", "app.exe", KSPSIGN_CONFIG=str(pfx))
    for refused in (wrong, without):
        assert (refused.code, refused.err[0]) == (1, "SignTool Error: The specified PFX password is not correct.")
        assert refused.out == ()


def test_digests_of_file_and_timestamp_may_differ(lab: Winlab) -> None:
    lab.program("app.exe")
    lab.certsync(RELEASE)
    chosen = ("/sha1", lab.thumbprint(RELEASE), "/tr", lab.stamps.url)
    assert lab.signtool("sign", *chosen, "/fd", "SHA512", "/td", "SHA256", "app.exe").code == 0
    inspected = "\n".join(lab.run("inspect", "app.exe", "--trust-root", str(lab.folder.parent / "roots.pem")).out)
    assert "digest      sha512" in inspected
    assert "Winlab Timestamp Responder (sha256)" in inspected
    again = lab.signtool("sign", *chosen, "/fd", "certHash", "/td", "certHash", "app.exe")
    assert again.code == 0
    inspected = "\n".join(lab.run("inspect", "app.exe", "--trust-root", str(lab.folder.parent / "roots.pem")).out)
    assert "digest      sha256" in inspected


def test_names_choose_among_certificates(lab: Winlab) -> None:
    """/n, /i and /r are parts of names, whatever the case; /a takes the one that is valid longest."""
    lab.program("app.exe")
    lab.certsync(RELEASE, "Contoso-EC", "Contoso-Server", "Contoso-Expired")
    for options, subject in (
        (("/n", "ltd ec"), "Contoso Ltd EC"),
        (("/n", "Contoso Ltd EC", "/i", "winlab code", "/r", "Winlab Root"), "Contoso Ltd EC"),
        (("/a", "/s", "my"), "Contoso Ltd"),
        (("/sha1", lab.thumbprint(RELEASE), "/csp", "eSignerKSP"), "Contoso Ltd"),
    ):
        ran = lab.signtool("sign", "/v", *STORE, *options, "app.exe")
        assert ran.code == 0, ran
        assert any(line.startswith(f"    Issued to: {subject}") for line in ran.out)
    for options in (
        ("/n", "Fabrikam"),
        ("/i", "Other CA"),
        ("/r", "Other Root"),
        ("/n", "Web Server"),
        ("/n", "Expired"),
    ):
        ran = lab.signtool("sign", *STORE, *options, "app.exe")
        assert (ran.code, ran.err[0]) == (
            1,
            "SignTool Error: No certificates were found that met all the given criteria.",
        )
        assert "kspsign smctl windows certsync" in ran.err[-1]
    other = lab.signtool("sign", *STORE, "/s", "ROOT", "app.exe")
    assert other.err[0] == 'SignTool Error: The "ROOT" certificate store was not found.'


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("/fd", "SHA1"), "The specified algorithm cannot be used or is invalid."),
        (("/fd", "SHA256", "/t", "http://x/"), "Specify the RFC 3161 timestamp server's URL instead with /tr."),
        (
            ("/fd", "SHA256", "/dlib", "other.dll", "/dmdf", "m.json"),
            "This version of signtool does not support the /dlib other.dll functionality.",
        ),
        (("/fd", "SHA256", "/dlib", "Azure.CodeSigning.Dlib.dll", "/dmdf", "m.json"), "File not found: m.json"),
        (("/fd", "SHA256", "/f", "no.pfx"), "File not found: no.pfx"),
        (("/fd", "SHA256", "/f", "cert.crt"), "No private key is available."),
        (("/fd", "SHA256", "/sha1", "SHA256"), "Invalid SHA1 hash format: SHA256"),
        (("/fd", "SHA256", "/u", "1.2.3"), "Invalid Enhanced Key Usage: 1.2.3"),
        (
            ("/fd", "SHA256", "/sha1", "{release}", "/ac", "other.crt"),
            "The provided cross certificate would not be present in the certificate chain.",
        ),
    ],
)
def test_refused_before_anything_is_asked_of_the_service(lab: Winlab, options: tuple[str, ...], said: str) -> None:
    before = lab.program("app.exe").read_bytes()
    lab.certsync(RELEASE)
    (lab.folder / "cert.crt").write_bytes(lab.pki.leaves[RELEASE].pem)
    (lab.folder / "other.crt").write_bytes(lab.pki.stamp_ca.pem)
    ran = lab.signtool("sign", *(word.format(release=lab.thumbprint(RELEASE)) for word in options), "app.exe")
    assert (ran.code, ran.err[0]) == (1, f"SignTool Error: {said}")
    assert lab.host.world.spent == 0
    assert (lab.folder / "app.exe").read_bytes() == before


def test_a_wrong_url_is_named_as_the_option_that_gave_it(lab: Winlab) -> None:
    lab.program("app.exe")
    lab.certsync(RELEASE)
    ran = lab.signtool("sign", *STORE, "/sha1", lab.thumbprint(RELEASE), "/tr", "", "/td", "SHA256", "app.exe")
    assert ran.code == 1
    assert "/tr" in ran.err[0]
    assert "--timestamp-url" not in "".join(ran.err)


def test_an_additional_certificate_completes_the_chain(lab: Winlab) -> None:
    """A key store that knows the leaf alone gives no chain; with /ac it does."""
    lab.program("app.exe")
    (lab.folder / "ca.crt").write_bytes(lab.pki.code_ca.der)
    held = next(held for held in lab.host.world.certificates if held.alias == RELEASE)
    whole, held.chain = held.chain, ()
    (lab.folder / "cert.crt").write_bytes(lab.pki.leaves[RELEASE].pem)
    chosen = (*STORE, "/csp", "DigiCert Software Trust Manager KSP", "/kc", RELEASE, "/f", "cert.crt")
    assert lab.signtool("sign", *chosen, "app.exe").code == 1
    assert lab.host.world.spent == 0
    assert lab.signtool("sign", *chosen, "/ac", "ca.crt", "app.exe").code == 0
    held.chain = whole
    assert lab.signtool("verify", "/pa", "app.exe").code == 0


def test_a_provider_that_the_configuration_names(lab: Winlab, pfx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.program("app.exe")
    monkeypatch.setenv("PFX_SECRET", PASSWORD)
    settings = f"csp: My HSM KSP\nkey_store: pkcs12\npkcs12: {lab.folder / 'signing.pfx'}\npassword_env: PFX_SECRET\n"
    pfx.write_text(pfx.read_text() + settings)
    chosen = ("sign", *STORE, "/csp", "My HSM KSP", "/kc", "release", "app.exe")
    assert lab.signtool(*chosen, KSPSIGN_CONFIG=str(pfx)).code == 0
    refused = lab.signtool(*chosen)
    assert (refused.code, refused.err[0]) == (1, "SignTool Error: No private key is available.")
    assert "KSPSIGN_CONFIG" in refused.err[-1]


def test_no_file_in_the_working_folder_decides(lab: Winlab) -> None:
    lab.program("app.exe")
    lab.certsync(RELEASE)
    (lab.folder / "kspsign.yml").write_text("digest: sha512\nmax_signatures: 0\ntrust_root: [x.pem]\n")
    assert lab.signtool("sign", *STORE, "/sha1", lab.thumbprint(RELEASE), "app.exe").code == 0


def test_the_limit_of_the_configuration_holds(lab: Winlab) -> None:
    """max_signatures: what is beyond it fails in SignTool's form, and keeps its bytes."""
    lab.certsync(RELEASE)
    for number in range(3):
        (lab.folder / f"{number}.exe").write_bytes(build_pe(overlay=b"%d" % number))
    limited = lab.folder.parent / "limited.yml"
    limited.write_text(lab.config().read_text() + "max_signatures: 1\n")
    ran = lab.signtool("sign", *STORE, "/sha1", lab.thumbprint(RELEASE), "?.exe", KSPSIGN_CONFIG=str(limited))
    assert ran.code == 1
    assert lab.host.world.spent == 1
    assert [line for line in ran.out if line.startswith("Number of")] == [
        "Number of files successfully Signed: 1",
        "Number of errors: 2",
    ]
    said = f"SignTool Error: this run's limit of 1 signature is used up (`max_signatures:` in {limited})"
    assert ran.err[::3] == (said, said)
    assert "unexpected" not in "".join(ran.err)
    assert sum(b"Winlab" in (lab.folder / f"{number}.exe").read_bytes() for number in range(3)) == 1


def test_the_dlib_of_artifact_signing(tmp_path: Path, authority: EmbeddedAuthority) -> None:
    """/dlib and /dmdf: the account of the metadata file signs, by the AZURE_* variables that the dlib reads."""
    (tmp_path / "azure").mkdir()
    path = tmp_path / "app.exe"
    path.write_bytes(build_pe())
    content = {"Endpoint": ENDPOINT, "CodeSigningAccountName": ACCOUNT, "CertificateProfileName": PROFILE}
    (tmp_path / "metadata.json").write_text(json.dumps(content))
    with ArtifactSigning(tmp_path / "azure", authority) as service:
        config = tmp_path / "azure" / "kspsign.yml"
        config.write_text(f"trust_root: [{service.roots}]\n")
        environment = {
            **service.environment,
            "KSPSIGN_CONFIG": str(config),
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_TENANT_ID": TENANT,
        }
        line = (
            *("sign", "/v", "/fd", "SHA256", "/tr", "http://timestamp.acs.microsoft.com", "/td", "SHA256"),
            *("/dlib", r"C:\Tools\bin\x64\Azure.CodeSigning.Dlib.dll", "/dmdf", "metadata.json", "app.exe"),
        )
        signed = _process(line, tmp_path, environment)
        assert signed.code == 0, signed
        assert "Successfully signed: app.exe" in signed.out
        assert len(service.signing.spent) == 1
        assert osslsigncode_verify(path, service.roots).accepted


def test_the_provider_of_google_cloud_kms(tmp_path: Path) -> None:
    """/csp, /kc with the resource name of the key, and /f."""
    (tmp_path / "google").mkdir()
    (tmp_path / "00.dll").write_bytes(build_pe())
    sides: dict[str, Any] = {"begin": BEGIN, "end": END}
    with Google(tmp_path / "google") as service:
        service.publish(tmp_path, rsa_key(2048), **sides)
        config = tmp_path / "google" / "kspsign.yml"
        config.write_text(f"trust_root: [{tmp_path / 'root.pem'}]\nkms_endpoint: {service.endpoint}\n")
        line = (
            *("sign", "/fd", "SHA256", "/csp", "Google Cloud KMS Provider", "/kc", f"{KEY}/cryptoKeyVersions/1"),
            *("/f", "code.pem", "00.dll"),
        )
        signed = _process(line, tmp_path, {**service.machine, "KSPSIGN_CONFIG": str(config)})
        assert signed.code == 0, signed
        assert len(service.google.signed) == 1
        assert osslsigncode_verify(tmp_path / "00.dll", tmp_path / "root.pem").accepted


def _process(line: tuple[str, ...], folder: Path, environment: dict[str, str]) -> Ran:
    """A call in a process of its own, for services that are reached through variables of the process."""
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", "signtool", *line],
        cwd=folder,
        env={**os.environ, "XDG_DATA_HOME": str(folder / "data"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, tuple(done.stdout.splitlines()), tuple(done.stderr.splitlines()))


def test_a_cancelled_call_leaves_the_file(lab: Winlab) -> None:
    """Ctrl-C while the service is asked: exit code 130, and not a byte changed."""
    before = lab.program("app.exe").read_bytes()
    lab.certsync(RELEASE)
    lab.host.service.latency = 20.0
    command = [sys.executable, "-m", "kspsign", "signtool", "sign", *STORE, "/sha1", lab.thumbprint(RELEASE), "app.exe"]
    try:
        with subprocess.Popen(
            command, cwd=lab.folder, env={**os.environ, **lab.environment}, stdout=subprocess.PIPE, text=True
        ) as process:
            deadline = time.monotonic() + 60
            while not lab.host.service.signing:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert "Successfully" not in process.communicate(timeout=30)[0]
        assert process.returncode == 130
    finally:
        lab.host.service.latency = 0.0
    assert (lab.folder / "app.exe").read_bytes() == before
    assert [path.name for path in lab.folder.iterdir()] == ["app.exe"]
