"""Key store azure-artifact-signing against a loopback service: what signs, what stays the same, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kspsign.certificates.parse import thumbprint_of
from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.server import PROFILE_OPTIONS, ArtifactSigning
from support.artifact_signing.world import ACCOUNT, DURABLE, ENDPOINT, HOST, PROFILE, STRANGER
from support.formats.nuget_samples import package
from support.formats.peimages import build_pe
from support.key_vault.answers import Request
from support.key_vault.machine import Az
from support.key_vault.world import CLIENT, CONNECTION
from support.samples import Run, assert_found_in_log, kspsign_at, osslsigncode_verify


@pytest.fixture
def service(tmp_path: Path, authority: EmbeddedAuthority) -> Iterator[ArtifactSigning]:
    (tmp_path / "azure").mkdir()
    with ArtifactSigning(tmp_path / "azure", authority) as running:
        yield running


def fill(folder: Path, count: int = 1) -> None:
    for number in range(count):
        (folder / f"{number:02}.dll").write_bytes(build_pe(overlay=b"image %d" % number))


def run_in(
    service: ArtifactSigning,
    folder: Path,
    *options: object,
    files: str = "*.dll",
    environment: dict[str, str] | None = None,
) -> Run:
    return kspsign_at(
        *("run", files, *service.options, "--store", folder / "store", *options),
        folder=folder,
        environment=service.environment if environment is None else environment,
    )


def shown(service: ArtifactSigning, folder: Path, command: str, *options: object) -> tuple[int, str]:
    """Exit code and output of a command that writes no report."""
    own = service.options[:-2] if command == "certsync" else service.options  # which needs no roots
    given = (command, *own, *options)
    done = subprocess.run(
        [sys.executable, "-m", "kspsign", *map(str, given)],
        cwd=folder,
        env={**os.environ, **service.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_files_are_signed_stamped_by_microsoft_and_accepted_by_a_peer(service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path, 6)
    build = {"BUILD_DEFINITIONNAME": "Contoso häppy", "BUILD_BUILDNUMBER": "20261129.4"}
    run = run_in(service, tmp_path, "--verbose", environment={**service.environment, **build})
    assert run.code == 0, run.text
    assert len(service.signing.spent) == run.report["totals"]["signatures_used"] == 6
    assert_found_in_log(run, list(service.signing.operations))
    assert len(service.of_profile("GET", "/certchain")) == 1
    assert len(service.record.of("microsoftonline.com", "/token")) == 1
    assert service.stamped == 1 + 6  # asked once before anything is spent
    assert service.signing.correlations == {"build Contoso h?ppy/20261129.4"}
    assert "x-correlation-id build Contoso h?ppy/20261129.4, x-ms-request-id " in run.text
    assert "renew" not in run.text
    assert run.report["certificate"]["durable_identity"] == DURABLE.dotted_string
    peer = osslsigncode_verify(tmp_path / "00.dll", service.roots)
    assert peer.accepted, peer.text
    assert list((tmp_path / "store").rglob("*.journal")) == []


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_each_digest_has_its_algorithm(algorithm: str, service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path)
    run = run_in(service, tmp_path, "--digest", algorithm)
    assert run.code == 0, run.text
    (asked,) = service.of_profile("POST")
    assert json.loads(asked.body)["signatureAlgorithm"] == f"RS{algorithm.removeprefix('sha')}"


@pytest.mark.parametrize(
    "ways",
    [
        {"double": False},
        {"result": True},
        {"root_first": True},
        {"at_once": True},
        {"without_certificates": True},
        {"running": "Running", "seconds": 0.4},
        {"running": "NotStarted", "seconds": 0.2},
    ],
    ids=lambda ways: next(iter(ways)) if isinstance(ways, dict) else None,
)
def test_every_shape_of_the_answer_is_read(ways: dict[str, Any], service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path)
    for name, value in ways.items():
        setattr(service.signing, name, value)
    run = run_in(service, tmp_path)
    assert (run.code, len(service.signing.spent)) == (0, 1), run.text


def test_the_metadata_file_of_the_dlib_is_enough(service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path)
    content = {
        "Endpoint": f"{ENDPOINT}//",
        "CodeSigningAccountName": ACCOUNT,
        "CertificateProfileName": PROFILE,
        "CorrelationId": "release 7",
        "ExcludeCredentials": ["ManagedIdentityCredential", "AzurePowerShellCredential"],
    }
    (tmp_path / "metadata.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    options = [*service.options]
    at = options.index("--signing-endpoint")
    options[at : at + len(PROFILE_OPTIONS)] = ["--signing-metadata", "metadata.json"]
    run = kspsign_at(
        "run", "*.dll", *options, "--store", tmp_path / "store", folder=tmp_path, environment=service.environment
    )
    assert run.code == 0, run.text
    assert service.signing.correlations == {"release 7"}
    assert {request.host for request in service.of_profile("POST")} == {HOST}


def test_an_http_endpoint_of_this_machine_works_as_for_other_clients(service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path)
    options = [service.endpoint if option == ENDPOINT else option for option in service.options]
    run = kspsign_at(
        *("run", "*.dll", *options, "--store", tmp_path / "store"), folder=tmp_path, environment=service.environment
    )
    assert run.code == 0, run.text
    assert len(service.signing.spent) == 1


@pytest.mark.parametrize("credential", ["pipelines", "cli", "managed-identity"])
def test_every_credential_signs_in_for_the_service(credential: str, service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path)
    token = "token-of-az-71"  # noqa: S105 - made in the test
    service.world.tokens[token] = "https://codesigning.azure.net"
    az = Az(tmp_path / "agent", token=token)
    path = {"PATH": f"{az.bin}{os.pathsep}{os.environ['PATH']}", "AZURE_CONFIG_DIR": str(az.home)}
    identity = {"IDENTITY_ENDPOINT": f"{service.url}/msi/token", "IDENTITY_HEADER": "identity-header-planted-c7d1"}
    options: tuple[str, ...] = ("--azure-credential", credential, "--azure-connection-id", CONNECTION)
    options += ("--azure-client-id", "") if credential == "managed-identity" else ()
    run = run_in(service, tmp_path, *options, environment={**service.pipeline_environment, **path, **identity})
    assert (run.code, len(service.signing.spent)) == (0, 1), run.text


def test_an_earlier_certificate_s_files_are_ours_and_a_stranger_s_are_not(
    service: ArtifactSigning, tmp_path: Path
) -> None:
    fill(tmp_path, 2)
    assert run_in(service, tmp_path).code == 0
    service.signing.rotate()
    again = run_in(service, tmp_path)
    assert (again.code, {file["outcome"] for file in again.report["files"]}) == (0, {"skipped"}), again.text
    service.signing.subject, service.signing.durable = "Another publisher", STRANGER
    service.signing.rotate()
    stranger = run_in(service, tmp_path)
    assert {file["error"]["code"] for file in stranger.report["files"]} == {"ALREADY_SIGNED"}, stranger.text
    assert len(service.signing.spent) == 2


def test_a_policy_holds_the_signer_by_its_durable_identity(service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path)
    policy = tmp_path / "policy.yml"
    policy.write_text(f"publisher:\n- eku: {DURABLE.dotted_string}\nvalidity_days: 30\n", encoding="utf-8")
    run = run_in(service, tmp_path, "--policy", policy)
    assert run.code == 0, run.text
    policy.write_text(f"publisher:\n- eku: {STRANGER.dotted_string}\n", encoding="utf-8")
    refused = kspsign_at("verify", "*.dll", "--trust-root", service.roots, "--policy", policy, folder=tmp_path)
    assert refused.code == 2, refused.text
    assert f"the policy wants eku {STRANGER.dotted_string}" in refused.text


def test_a_thumbprint_leads_to_the_profile_days_later(service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path)
    common = ("--store", tmp_path / "store")
    code, text = shown(service, tmp_path, "certsync", *common)
    assert code == 0, text
    thumbprint = thumbprint_of(service.signing.leaf.der)
    assert thumbprint in text.splitlines()
    assert "renew" not in text
    assert service.signing.spent == []
    service.signing.rotate()
    who = service.options[service.options.index("--azure-tenant-id") :]
    run = kspsign_at(
        *("sign", "*.dll", "--thumbprint", thumbprint, *who, *common), folder=tmp_path, environment=service.environment
    )
    assert run.code == 0, run.text
    assert f"certificate {thumbprint} was renewed" in run.text
    assert run.file["certificate"] == thumbprint_of(service.signing.leaf.der)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--thumbprint", "AB" * 20), "a thumbprint does not name it"),
        (("--no-timestamp",), "a signature without timestamp ends with it"),
        (("--signing-endpoint", "https://weu.codesigning.azure.net.example.org"), "is not an endpoint of Azure"),
        (("--signing-endpoint", "http://weu.codesigning.azure.net"), "is not an endpoint of Azure"),
        (("--signing-endpoint", "https://a@weu.codesigning.azure.net"), "is not an endpoint of Azure"),
        (("--signing-endpoint", "https://weu.codesigning.azure.net/codesigningaccounts"), "is not an endpoint"),
        (("--signing-account", "contoso/../x"), "is not a name in Azure Artifact Signing (--signing-account)"),
        (("--signing-metadata", "no.json"), "can't be read"),
    ],
    ids=["thumbprint", "no timestamp", "host", "http", "login", "path", "account", "metadata"],
)
def test_what_can_t_be_meant_is_refused_before_anybody_is_asked(
    options: tuple[str, ...], words: str, service: ArtifactSigning, tmp_path: Path
) -> None:
    fill(tmp_path)
    run = run_in(service, tmp_path, *options)
    assert run.code == 3, run.text
    assert words in run.text
    if "--thumbprint" not in options:
        assert not service.record.requests


def test_an_incomplete_metadata_file_is_refused_before_anybody_is_asked(
    service: ArtifactSigning, tmp_path: Path
) -> None:
    fill(tmp_path)
    (tmp_path / "metadata.json").write_text(json.dumps({"Endpoint": ENDPOINT}))
    options = [*service.options]
    at = options.index("--signing-endpoint")
    options[at : at + len(PROFILE_OPTIONS)] = ["--signing-metadata", "metadata.json"]
    run = kspsign_at("run", "*.dll", *options, folder=tmp_path, environment=service.environment)
    assert (run.code, run.report["error"]["code"]) == (3, "CONFIGURATION"), run.text
    assert "metadata.json: key store azure-artifact-signing needs --signing-account" in run.text
    assert not service.record.requests


def test_no_timestamp_is_refused_for_a_thumbprint_too(service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path)
    common = ("--store", tmp_path / "store")
    assert shown(service, tmp_path, "certsync", *common)[0] == 0
    asked = len(service.record.requests)
    thumbprint = thumbprint_of(service.signing.leaf.der)
    run = kspsign_at(
        *("sign", "*.dll", "--thumbprint", thumbprint, "--no-timestamp", *common),
        folder=tmp_path,
        environment=service.environment,
    )
    assert (run.code, run.report["error"]["code"]) == (3, "TIMESTAMP_NEEDED"), run.text
    assert len(service.record.requests) == asked


def test_a_package_whose_certificate_was_replaced_is_named_anew(service: ArtifactSigning, tmp_path: Path) -> None:
    (tmp_path / "lib.nupkg").write_bytes(package())
    service.signing.restless = 1
    run = run_in(service, tmp_path, files="*.nupkg")
    assert run.code == 0, run.text
    assert (len(service.signing.spent), run.report["totals"]["signatures_used"]) == (2, 2)
    assert run.file["certificate"] == service.signing.spent[1][1]


def test_the_budget_bounds_what_is_asked_for(service: ArtifactSigning, tmp_path: Path) -> None:
    fill(tmp_path, 4)
    run = run_in(service, tmp_path, "--max-signatures", "3")
    assert (run.code, run.report["totals"]["signed"]) == (1, 3), run.text
    assert len(service.signing.spent) == len(service.of_profile("POST")) == 3


def test_an_operation_is_asked_where_the_service_says_and_nowhere_else(
    service: ArtifactSigning, tmp_path: Path
) -> None:
    """A location of another host would get the token."""
    fill(tmp_path)

    def elsewhere(request: Request) -> Any:
        if request.method != "POST" or "/sign" not in request.path:
            return None
        answer = service.services["codesigning.azure.net"](request)
        location = answer.headers["Operation-Location"].replace(HOST, "unit-tests.vault.azure.net")
        return type(answer)(answer.status, answer.content, {"Operation-Location": location})

    service.interfere = elsewhere
    run = run_in(service, tmp_path)
    assert run.code == 0, run.text
    assert service.record.of("vault.azure.net") == []


@pytest.mark.parametrize(
    ("options", "enrolled", "words"),
    [
        ((), True, "profile contoso-signing/release: RSA 3072 bits"),
        ((), False, "Artifact Signing Certificate Profile Signer"),
        (
            ("--signing-endpoint", "https://neu.codesigning.azure.net"),
            True,
            "the endpoint is that of the account's region",
        ),
        (("--certificate-profile", "Release"), True, "capitals included"),
        (("--azure-client-id", CLIENT.replace("a", "b")), True, "AADSTS"),
        (("--azure-client-id", "another"), True, "is not a GUID"),
    ],
    ids=["all is well", "no role", "another region", "another profile", "another client", "no client"],
)
def test_the_doctor_proves_the_profile_without_a_signature(
    options: tuple[str, ...], enrolled: bool, words: str, service: ArtifactSigning, tmp_path: Path
) -> None:
    service.signing.enrolled = enrolled
    code, text = shown(service, tmp_path, "doctor", *options)
    assert code == (0 if not options and enrolled else 5), text
    assert words in text
    assert "renew it in time" not in text.lower()
    assert service.of_profile("POST") == []
