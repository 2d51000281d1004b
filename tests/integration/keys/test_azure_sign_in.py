"""Who signs in to Azure for key store azure-key-vault: managed identities, Azure CLI, and what each is given."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from integration.keys.test_path_key_vault import ROOT, VAULT, held
from kspsign.keys.azure_identity.cli import AzureCli
from kspsign.keys.open import options_for, surroundings_of
from kspsign.keys.protocol import Surroundings, no_notice
from kspsign.keys.table import STORES
from kspsign.model.errors import CancelledError, PrerequisiteError
from kspsign.settings.resolve import resolve
from support.certificates import rsa_key
from support.formats.peimages import build_pe
from support.key_vault.machine import APP_SERVICE, Az
from support.key_vault.server import Azure
from support.key_vault.world import (
    ACCESS_TOKEN,
    CLIENT,
    IDENTITY_HEADER,
    JOB_TOKEN,
    SYSTEM_ASSIGNED,
    TENANT,
    USER_ASSIGNED,
    World,
)
from support.pki import ca, signer
from support.samples import Run, kspsign_at

SCOPE = "https://vault.azure.net/.default"
AZ_TOKEN = "az-token-planted-3e91"  # noqa: S105 - made in the test
PLANTED = {
    "SYSTEM_ACCESSTOKEN": ACCESS_TOKEN,
    "AZURE_CLIENT_SECRET": "",
    "SM_API_KEY": "sm-api-key-planted",
    "TOKEN_PIN": "pin-planted",
    "IDENTITY_HEADER": IDENTITY_HEADER,
}


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[Azure]:
    folder = tmp_path / "azure"
    folder.mkdir()
    (folder / "root.pem").write_bytes(ROOT.pem)
    with Azure(World({VAULT: {"rsa": [held("rsa")]}}), folder) as running:
        running.world.tokens[AZ_TOKEN] = "https://vault.azure.net"
        yield running


def sign(azure: Azure, folder: Path, *options: object, **environment: str) -> Run:
    (folder / "work").mkdir(exist_ok=True)
    for number in range(3):
        (folder / "work" / f"{number}.dll").write_bytes(build_pe(overlay=b"%d" % number))
    return kspsign_at(
        *("run", "*.dll", "--key-store", "azure-key-vault", "--key-identifier", f"https://{VAULT}/certificates/rsa"),
        *("--no-timestamp", "--trust-root", folder / "azure" / "root.pem", "--store", folder / "store", *options),
        folder=folder / "work",
        environment={**azure.environment, "AZURE_CLIENT_SECRET": "", **environment},
    )


@pytest.mark.parametrize(("client", "signed_in"), [(None, SYSTEM_ASSIGNED), (USER_ASSIGNED, USER_ASSIGNED)])
@pytest.mark.parametrize("place", ["virtual machine", "app service"])
def test_a_managed_identity_signs_past_the_proxy(
    place: str, client: str | None, signed_in: str, azure: Azure, tmp_path: Path
) -> None:
    where = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": azure.url}
    if place == "app service":
        where = {"IDENTITY_ENDPOINT": azure.url + APP_SERVICE, "IDENTITY_HEADER": IDENTITY_HEADER}
    chosen = ("--azure-client-id", client) if client else ()
    run = sign(azure, tmp_path, "--azure-credential", "managed-identity", *chosen, "--verbose", **where)
    assert run.code == 0, run.text
    assert set(azure.world.signed_in) == {signed_in}
    assert len(azure.record.of("127.0.0.1", "/token")) <= 2  # one for certsync, one for signing
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for secret in (IDENTITY_HEADER, *azure.world.tokens):
        assert secret not in run.text
        assert not any(secret.encode() in content for content in written)


def test_an_identity_that_the_machine_does_not_have_is_told(azure: Azure, tmp_path: Path) -> None:
    run = sign(
        *(azure, tmp_path, "--azure-credential", "managed-identity", "--azure-client-id", "nobody"),
        AZURE_POD_IDENTITY_AUTHORITY_HOST=azure.url,
    )
    assert (run.code, run.report["error"]["code"]) == (5, "AZURE_SIGN_IN"), run.text
    assert "Identity not found" in run.text


@pytest.fixture
def az(tmp_path: Path) -> Az:
    return Az(tmp_path / "agent", token=AZ_TOKEN)


def with_az(az: Az) -> dict[str, str]:
    """A step's environment with that `az` on PATH, and secrets that are none of its business."""
    path = os.pathsep.join((str(az.bin), os.environ["PATH"]))
    return {**PLANTED, "PATH": path, "AZURE_CONFIG_DIR": str(az.home)}


@pytest.mark.parametrize("who", [("--azure-credential", "cli"), ("--azure-tenant-id", TENANT), ()])
def test_azure_cli_signs_in_once_and_gets_nothing_but_what_it_needs(
    who: tuple[str, ...], azure: Azure, az: Az, tmp_path: Path
) -> None:
    run = sign(azure, tmp_path, "--verbose", "--junit", "junit.xml", *who, **with_az(az))
    assert run.code == 0, run.text
    assert len(az.calls) == 1  # certsync's, and signing goes on with its token
    for call in az.calls:
        asked = ["account", "get-access-token", "--output", "json", "--resource", "https://vault.azure.net"]
        assert call["arguments"] == [*asked, "--tenant", TENANT]  # the vault's, where none is named
        assert not set(PLANTED) & set(call["environment"])
        assert not any(secret in str(call) for secret in PLANTED.values() if secret)
        assert {"PATH", "AZURE_CONFIG_DIR", "HTTPS_PROXY"} <= set(call["environment"])
        assert Path(call["folder"]) == az.bin
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and az.home not in path.parents]
    assert AZ_TOKEN not in run.text
    assert not any(AZ_TOKEN.encode() in content for content in written)


@pytest.mark.parametrize(
    ("plan", "code", "words"),
    [
        ({"error": "Please run 'az login' to setup account."}, "AZURE_CLI_NOT_SIGNED_IN", "az login"),
        ({"error": "AADSTS70043: The refresh token has expired. Run: az login"}, "AZURE_CLI_NOT_SIGNED_IN", "AADSTS"),
        ({"error": "The command failed with an unexpected error."}, "AZURE_CLI_FAILED", "unexpected error"),
        ({"output": f'{{"accessToken": "{AZ_TOKEN}"}}'}, "AZURE_CLI_FAILED", "without accessToken and expires_on"),
        ({"output": f"{AZ_TOKEN} is not JSON"}, "AZURE_CLI_FAILED", "without accessToken and expires_on"),
    ],
)
def test_an_azure_cli_that_gives_no_token_is_told(
    plan: dict[str, str], code: str, words: str, azure: Azure, az: Az, tmp_path: Path
) -> None:
    az.plan(**plan)
    run = sign(azure, tmp_path, "--azure-credential", "cli", **with_az(az))
    assert (run.code, run.report["error"]["code"]) == (5, code), run.text
    assert words in run.text
    assert AZ_TOKEN not in run.text
    assert len(az.calls) == 1


def surroundings(az: Az | None, cancelled: threading.Event | None = None) -> Surroundings:
    found = {"PATH": str(az.bin), "AZURE_CONFIG_DIR": str(az.home)} if az else {"PATH": ""}
    given = resolve("sign", {"key_store": "azure-key-vault"}, environment={**os.environ, **found}, stores=STORES)
    options = options_for(given, STORES.find("azure-key-vault"))
    return surroundings_of(given, options, cancelled or threading.Event(), no_notice)


def test_an_agent_without_azure_cli_is_told() -> None:
    with pytest.raises(PrerequisiteError) as refused:
        AzureCli(surroundings(None), None).get_token(SCOPE)
    assert (refused.value.code, "not found on PATH" in refused.value.message) == ("AZURE_CLI_MISSING", True)


@pytest.mark.parametrize("tenant", ["a&calc", "x y", "%PATH%", '"', "^"])
def test_what_a_batch_file_would_take_for_a_command_never_reaches_it(tenant: str, az: Az) -> None:
    with pytest.raises(PrerequisiteError, match="is not a tenant"):
        AzureCli(surroundings(az), tenant).get_token(SCOPE)
    assert az.calls == []


def test_a_cancelled_run_does_not_wait_for_azure_cli(az: Az) -> None:
    az.plan(seconds=600)
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    with pytest.raises(CancelledError):
        AzureCli(surroundings(az, cancelled), None).get_token(SCOPE)


def test_a_claims_challenge_is_a_new_sign_in(az: Az) -> None:
    with pytest.raises(PrerequisiteError, match="claims challenge"):
        AzureCli(surroundings(az), None).get_token(SCOPE, claims="{}")


def test_auto_says_what_each_of_them_lacks(azure: Azure, az: Az, tmp_path: Path) -> None:
    az.plan(error="Please run 'az login' to setup account.")
    broken = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": azure.url}
    run = sign(azure, tmp_path, "--azure-client-id", "nobody", **with_az(az) | {"IDENTITY_HEADER": ""} | broken)
    assert (run.code, run.report["error"]["code"]) == (5, "AZURE_SIGN_IN"), run.text
    assert "az login" in run.text
    assert "Identity not found" in run.text
    run = sign(azure, tmp_path, "--azure-client-id", USER_ASSIGNED, **with_az(az) | {"IDENTITY_HEADER": ""} | broken)
    assert run.code == 0, run.text


APPLICATION = ("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT)


def certificate_of(folder: Path, *, password: bytes | None = None) -> tuple[Path, x509.Certificate]:
    """The application's certificate and key in one file: PKCS#12 where it has a password, else PEM."""
    key = rsa_key(2048)
    made = signer("Application", ca("Any"), key=key, begin=datetime.now(UTC) - timedelta(days=1))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.pem
    path = folder / ("application.pem" if password is None else "application.pfx")
    packed = password and pkcs12.serialize_key_and_certificates(
        b"application", key, made.certificate, None, BestAvailableEncryption(password)
    )
    path.write_bytes(packed or pem)
    return path, made.certificate


@pytest.mark.parametrize("chosen", [(), ("--azure-credential", "client-certificate")])
@pytest.mark.parametrize("password", [None, b"certificate-password-planted"])
def test_an_application_signs_in_by_its_certificate(
    chosen: tuple[str, ...], password: bytes | None, azure: Azure, tmp_path: Path
) -> None:
    path, certificate = certificate_of(tmp_path, password=password)
    azure.world.certificates.append(certificate)
    secret = {} if password is None else {"AZURE_CLIENT_CERTIFICATE_PASSWORD": password.decode()}
    run = sign(azure, tmp_path, *APPLICATION, *chosen, AZURE_CLIENT_CERTIFICATE_PATH=str(path), **secret)
    assert run.code == 0, run.text
    assert password is None or password.decode() not in run.text


def test_a_certificate_that_the_application_does_not_have_is_refused(azure: Azure, tmp_path: Path) -> None:
    path, _ = certificate_of(tmp_path)
    run = sign(azure, tmp_path, *APPLICATION, "--azure-client-certificate", path)
    assert (run.code, run.report["error"]["code"]) == (5, "AZURE_SIGN_IN"), run.text


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "can't be read"), (b"no certificate", "can't be used"), (ROOT.pem, "can't be used")],
    ids=["missing", "nonsense", "without key"],
)
def test_a_certificate_file_that_is_none_is_named(
    content: bytes | None, words: str, azure: Azure, tmp_path: Path
) -> None:
    path = tmp_path / "application.pem"
    if content is not None:
        path.write_bytes(content)
    run = sign(azure, tmp_path, *APPLICATION, "--azure-client-certificate", path)
    assert run.code == 3, run.text
    assert words in run.text
    assert azure.record.of("microsoftonline.com", "/token") == []


@pytest.mark.parametrize("chosen", [(), ("--azure-credential", "workload-identity")])
def test_the_token_that_a_host_keeps_in_a_file_signs_in(chosen: tuple[str, ...], azure: Azure, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token-of-the-cluster-planted\n", encoding="ascii")
    given = {
        "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token"),
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_TENANT_ID": TENANT,
    }
    refused = sign(azure, tmp_path, *chosen, **given)
    assert (refused.code, refused.report["error"]["code"]) == (5, "AZURE_SIGN_IN"), refused.text
    azure.world.oidc_tokens.add("token-of-the-cluster-planted")
    run = sign(azure, tmp_path, *chosen, "--verbose", **given)
    assert run.code == 0, run.text
    assert "token-of-the-cluster-planted" not in refused.text + run.text


@pytest.mark.parametrize(("content", "words"), [(None, "can't be read"), ("", "is empty")])
def test_a_token_file_without_token_is_named(content: str | None, words: str, azure: Azure, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content, encoding="ascii")
    run = sign(azure, tmp_path, *APPLICATION, AZURE_FEDERATED_TOKEN_FILE=str(tmp_path / "token"))
    assert (run.code, run.report["error"]["code"]) == (5, "AZURE_SIGN_IN"), run.text
    assert words in run.text
    assert str(tmp_path / "token") in run.text


@pytest.mark.parametrize("chosen", [(), ("--azure-credential", "github")])
def test_githubs_token_of_the_job_signs_in(chosen: tuple[str, ...], azure: Azure, tmp_path: Path) -> None:
    run = sign(azure, tmp_path, *APPLICATION, *chosen, "--verbose", **azure.github_environment)
    assert run.code == 0, run.text
    assert azure.world.oidc_tokens
    for secret in (JOB_TOKEN, *azure.world.oidc_tokens):
        assert secret not in run.text


def test_a_job_that_may_not_ask_github_for_a_token_is_told(azure: Azure, tmp_path: Path) -> None:
    run = sign(azure, tmp_path, *APPLICATION, "--azure-credential", "github")
    assert run.code == 3, run.text
    assert "id-token: write" in run.text
    given = {**azure.github_environment, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "expired"}
    run = sign(azure, tmp_path, *APPLICATION, **given)
    assert (run.code, run.report["error"]["code"]) == (5, "AZURE_SIGN_IN"), run.text
    assert "gave this job no token: HTTP 401" in run.text
