"""SignTool with the dlib of Artifact Signing: Microsoft's SignTool, a stand-in for the DLL, a loopback service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.server import ArtifactSigning
from support.artifact_signing.world import ACCOUNT, DURABLE, ENDPOINT, PROFILE
from support.key_vault.answers import Request, Response
from support.key_vault.world import CLIENT, CLIENT_SECRET, CONNECTION, TENANT
from support.samples import osslsigncode_verify
from windows_lab.machine import LAB_VARIABLES, Ended, Windows

PACKAGE = "AppData/Local/TrustedSigning/Microsoft.Trusted.Signing.Client/Microsoft.Trusted.Signing.Client.1.0.95"
DOTNET = "Program Files/dotnet/shared/Microsoft.NETCore.App"
TOOL_ENV: tuple[str, ...] = tuple(text for name in LAB_VARIABLES for text in ("--tool-env", name))


@pytest.fixture
def service(windows: Windows, authority: EmbeddedAuthority) -> Iterator[ArtifactSigning]:
    """The account, which this Windows reaches through a proxy and whose root it trusts; the dlib is installed."""
    folder = windows.root / "azure"
    folder.mkdir()
    with ArtifactSigning(folder, authority) as running:
        ca = Path(running.environment["REQUESTS_CA_BUNDLE"])
        (windows.root / "state" / "azure-ca.pem").write_bytes(ca.read_bytes())
        root = folder / "root.pem"
        root.write_bytes(running.signing.root.pem)
        windows.trust(root)
        proxy = {"HTTPS_PROXY": running.url, "HTTP_PROXY": running.url, "NO_PROXY": "127.0.0.1"}
        windows.environment.update(
            proxy,
            REQUESTS_CA_BUNDLE=windows.path(ca),
            AZURE_CLIENT_SECRET=CLIENT_SECRET,
            SYSTEM_ACCESSTOKEN="job-token",
        )
        yield running


def options(windows: Windows, service: ArtifactSigning, url: str) -> tuple[str | Path, ...]:
    both = windows.folder / "roots.pem"
    both.write_bytes(service.signing.root.pem + windows.trust_root.read_bytes())
    return (
        *("--key-store", "azure-artifact-signing", "--engine", "signtool", "--signing-endpoint", ENDPOINT),
        *("--signing-account", ACCOUNT, "--certificate-profile", PROFILE, "--store", "store"),
        *("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT, "--timestamp-url", url, "--trust-root", both),
        *("--signing-dlib", windows.lab / "win" / "dlib"),
        *TOOL_ENV,
    )


def sign(windows: Windows, service: ArtifactSigning, url: str, *more: str | Path) -> Ended:
    return windows.kspsign("run", "in", *options(windows, service, url), "--report", "report.json", *more)


def report(windows: Windows) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((windows.folder / "report.json").read_text(encoding="utf-8"))
    return content


def test_signtool_signs_by_the_dlib_and_the_certificate_changes(
    windows: Windows, service: ArtifactSigning, timestamp_url: str
) -> None:
    service.signing.rotate_every = 2
    files = [windows.program(f"in/app{number}.exe") for number in range(5)]
    ended = sign(windows, service, timestamp_url, "--description", "Contoso App", "--correlation-id", "build 7")
    assert ended.exit_code == 0, ended.output
    result = report(windows)
    assert (result["engine"], result["key_store"]) == ("signtool", "azure-artifact-signing")
    assert result["totals"]["verified"] == result["totals"]["signatures_used"] == len(service.signing.spent) == 5
    assert len({file["certificate"] for file in result["files"]}) == 3
    assert sorted(request for file in result["files"] for request in file["request_ids"]) == sorted(
        service.signing.operations
    )
    assert result["certificate"]["durable_identity"] == DURABLE.dotted_string
    assert service.signing.correlations == {"build 7"}
    for path in files:
        verified = windows.signtool("verify", "/pa", "/all", "/tw", path)
        assert verified.exit_code == 0, verified.output
    peer = osslsigncode_verify(files[0], windows.folder / "roots.pem")
    assert peer.accepted, peer.text
    content = bytearray(files[1].read_bytes())
    content[0x200] ^= 1
    files[1].write_bytes(content)
    assert windows.signtool("verify", "/pa", files[1]).exit_code == 1
    assert set(windows.calls("dlib environment")) == {
        "dlib environment AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_TENANT_ID"
    }
    assert CLIENT_SECRET not in ended.output
    assert not any(CLIENT_SECRET in path.read_text(errors="replace") for path in windows.folder.rglob("*.json"))
    again = sign(windows, service, timestamp_url)
    assert again.exit_code == 1, again.output  # the changed one
    assert (report(windows)["totals"]["skipped"], len(service.signing.spent)) == (4, 5)


def test_a_refusal_is_explained_and_what_was_begun_is_not_asked_for_again(
    windows: Windows, service: ArtifactSigning, timestamp_url: str
) -> None:
    for number in range(3):
        windows.program(f"in/app{number}.exe")

    def forbidden(request: Request) -> Response | None:
        return Response(403, b"") if request.method == "POST" and "/sign" in request.path else None

    service.interfere = forbidden
    ended = sign(windows, service, timestamp_url)
    assert ended.exit_code == 6, ended.output
    assert {file["error"]["code"] for file in report(windows)["files"]} == {"ARTIFACT_SIGNING_FORBIDDEN"}, ended.output
    assert "Certificate Profile Signer" in ended.output
    assert len(service.of_profile("POST")) == 3
    assert report(windows)["totals"]["signatures_used"] == 0

    service.interfere = lambda _request: None
    service.signing.outcome = "Failed"
    ended = sign(windows, service, timestamp_url)
    files = report(windows)["files"]
    assert ended.exit_code == 6, ended.output
    assert {file["error"]["code"] for file in files} == {"SIGNATURE_MAY_BE_SPENT"}, ended.output
    assert len(service.signing.operations) == report(windows)["totals"]["signatures_used"] == 3
    assert all(any(begun in file["error"]["message"] for file in files) for begun in service.signing.operations)

    ca, asked = windows.environment["REQUESTS_CA_BUNDLE"], len(windows.calls("dlib"))
    windows.environment.update(service.pipeline_environment, REQUESTS_CA_BUNDLE=ca)
    ended = sign(
        windows, service, timestamp_url, "--azure-credential", "pipelines", "--azure-connection-id", CONNECTION
    )
    assert ended.exit_code == 3, ended.output
    assert "SignTool's dlib can't sign in to Azure by pipelines" in ended.output
    assert len(windows.calls("dlib")) == asked


def test_the_doctor_finds_the_installed_dlib_and_misses_its_runtime(
    windows: Windows, service: ArtifactSigning, timestamp_url: str
) -> None:
    given = list(options(windows, service, timestamp_url))
    at = given.index("--signing-dlib")
    del given[at : at + 2]
    drive = windows.root / "prefix" / "drive_c"
    home = next((drive / "users").glob("[!P]*"))
    package = home / PACKAGE / "bin" / "x64"
    package.mkdir(parents=True)
    for file in (windows.lab / "win" / "dlib").iterdir():
        (package / file.name).write_bytes(file.read_bytes())
    missing = windows.kspsign("doctor", *given)
    assert missing.exit_code == 5, missing.output
    assert "the dlib needs Microsoft.NETCore.App 8.0.0 (x64)" in missing.output, missing.output
    (drive / DOTNET / "8.0.21").mkdir(parents=True)
    ready = windows.kspsign("doctor", *given)
    assert ready.exit_code == 0, ready.output
    assert "Microsoft.NETCore.App 8.0.21" in ready.output
    assert "EnvironmentCredential with AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_TENANT_ID" in ready.output
    assert service.signing.spent == []
