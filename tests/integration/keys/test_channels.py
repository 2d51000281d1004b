"""Every credential of a service through every channel: the command line, the task's engine, and the GitHub action."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.keys.test_azure_sign_in import AZ_TOKEN, certificate_of
from integration.keys.test_path_key_vault import ROOT, VAULT, held
from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.server import ArtifactSigning
from support.artifact_signing.world import ACCOUNT, ENDPOINT, PROFILE
from support.channels import NETWORK, Ended, Step, action, command_line, task
from support.esigner.server import ESigner
from support.esigner.world import CREDENTIAL
from support.formats.peimages import build_pe
from support.key_vault.machine import Az
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, CLIENT_SECRET, CONNECTION, JOB_TOKEN, TENANT, World
from support.samples import osslsigncode_verify
from support.signserver.server import SignServer
from support.signserver.world import WORKER, SignServerWorld


@dataclass(frozen=True)
class Bench:
    """A key store of Azure's with a file to sign; `key` are the settings that name the key."""

    azure: Azure
    folder: Path
    root: Path
    key: Mapping[str, str]

    def step(self, credential: str, **variables: str) -> Step:
        """A step that signs with `credential`, which finds what it needs in `variables`."""
        settings = {**self.key, "azure_credential": credential, "store": str(self.folder / "store")}
        secrets = tuple(value for name, value in variables.items() if any(word in name for word in ("SECRET", "TOKEN")))
        network = {name: value for name, value in self.azure.environment.items() if name != "AZURE_CLIENT_SECRET"}
        return Step(settings, {**network, **variables}, self.folder / "work", secrets)


APPLICATION = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}


def by_secret(bench: Bench) -> Step:
    return bench.step("client-secret", **APPLICATION, AZURE_CLIENT_SECRET=CLIENT_SECRET)


def by_certificate(bench: Bench) -> Step:
    path, certificate = certificate_of(bench.folder)
    bench.azure.world.certificates.append(certificate)
    return bench.step("client-certificate", **APPLICATION, AZURE_CLIENT_CERTIFICATE_PATH=str(path))


def by_token_file(bench: Bench) -> Step:
    (bench.folder / "token").write_text("token-of-the-cluster-planted", encoding="ascii")
    bench.azure.world.oidc_tokens.add("token-of-the-cluster-planted")
    return bench.step("workload-identity", **APPLICATION, AZURE_FEDERATED_TOKEN_FILE=str(bench.folder / "token"))


def by_github(bench: Bench) -> Step:
    given = bench.azure.github_environment
    told = {name: given[name] for name in ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")}
    return bench.step("github", **APPLICATION, **told)


def by_connection(bench: Bench) -> Step:
    given = bench.azure.pipeline_environment
    told = {name: given[name] for name in ("SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN")}
    return bench.step("pipelines", **APPLICATION, **told, AZURESUBSCRIPTION_SERVICE_CONNECTION_ID=CONNECTION)


def by_cli(bench: Bench) -> Step:
    az = Az(bench.folder / "agent", token=AZ_TOKEN)
    bench.azure.world.tokens[AZ_TOKEN] = "https://vault.azure.net"
    path = os.pathsep.join((str(az.bin), os.environ["PATH"]))
    return bench.step("cli", PATH=path, AZURE_CONFIG_DIR=str(az.home))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("azure", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "work" / "app.exe").write_bytes(build_pe())
    return tmp_path


@pytest.fixture
def bench(request: pytest.FixtureRequest, folder: Path, authority: EmbeddedAuthority) -> Iterator[Bench]:
    azure: Azure
    if request.param == "azure-key-vault":
        root = folder / "azure" / "root.pem"
        root.write_bytes(ROOT.pem)
        azure = Azure(World({VAULT: {"rsa": [held("rsa")]}}), folder / "azure")
        key = {"key_identifier": f"https://{VAULT}/certificates/rsa", "no_timestamp": "true"}
    else:
        azure = service = ArtifactSigning(folder / "azure", authority)
        root = service.roots
        key = {"signing_endpoint": ENDPOINT, "signing_account": ACCOUNT, "certificate_profile": PROFILE}
    with azure:
        yield Bench(azure, folder, root, {**key, "key_store": request.param, "trust_root": str(root)})


KINDS = (by_secret, by_certificate, by_token_file, by_github, by_connection, by_cli)
STORES = {"azure-key-vault": KINDS, "azure-artifact-signing": (by_secret, by_github, by_connection)}
MATRIX = [
    pytest.param(store, kind, channel, id=f"{store}-{kind.__name__}-{channel.__name__}")
    for store, kinds in STORES.items()
    for kind in kinds
    for channel in (command_line, task, action)
    if not (kind is by_connection and channel is action)  # a connection is a thing of Azure Pipelines
]


@pytest.mark.parametrize(("bench", "kind", "channel"), MATRIX, indirect=["bench"])
def test_it_signs_in_and_shows_no_secret(
    bench: Bench, kind: Callable[[Bench], Step], channel: Callable[[Step], Ended]
) -> None:
    step = kind(bench)
    code, text = channel(step)
    assert code == 0, text
    assert osslsigncode_verify(step.folder / "app.exe", bench.root).accepted
    world = bench.azure.world
    for secret in (*step.secrets, JOB_TOKEN, *world.oidc_tokens, *world.tokens):
        assert secret not in text
        assert not any(secret.encode() in path.read_bytes() for path in step.folder.rglob("*") if path.is_file())


def signserver_step(folder: Path, auth: str, stack: contextlib.ExitStack) -> tuple[Step, Path]:
    server = stack.enter_context(SignServer(SignServerWorld(auth=auth), folder / "azure"))
    given = {
        "key_store": "signserver", "signserver_url": server.url, "keypair_alias": WORKER,
        "certificate": str(server.folder / "code.pem"), "ca_file": str(server.access.ca_file),
    }  # fmt: skip
    variables = server.environment(auth)
    return _step(folder, given, variables, variables, server.folder / "root.pem"), server.folder / "root.pem"


def esigner_step(folder: Path, _auth: str, stack: contextlib.ExitStack) -> tuple[Step, Path]:
    service = stack.enter_context(ESigner(folder / "azure"))
    given = {"key_store": "esigner", "keypair_alias": CREDENTIAL, "esigner_environment": "production"}
    network = {name: value for name, value in service.environment.items() if name in NETWORK}
    root = service.folder / "root.pem"
    return _step(folder, given, {**network, **service.login}, service.login, root), root


def _step(
    folder: Path, given: Mapping[str, str], variables: Mapping[str, str], login: Mapping[str, str], root: Path
) -> Step:
    common = {"no_timestamp": "true", "trust_root": str(root), "store": str(folder / "store")}
    secrets = tuple(value for name, value in login.items() if name.endswith(("PASSWORD", "TOKEN", "SECRET")))
    return Step({**given, **common}, variables, folder / "work", secrets)


Opened = Callable[[Path, str, contextlib.ExitStack], tuple[Step, Path]]
LOGINS: dict[str, tuple[Opened, str]] = {
    "signserver by login": (signserver_step, "basic"),
    "signserver by certificate": (signserver_step, "certificate"),
    "esigner": (esigner_step, ""),
}


@pytest.mark.parametrize("channel", [command_line, task, action])
@pytest.mark.parametrize("name", LOGINS)
def test_a_login_of_variables_signs_and_is_not_shown(name: str, channel: Callable[[Step], Ended], folder: Path) -> None:
    opened, auth = LOGINS[name]
    with contextlib.ExitStack() as stack:
        step, root = opened(folder, auth, stack)
        code, text = channel(step)
        assert code == 0, text
        assert osslsigncode_verify(step.folder / "app.exe", root).accepted
        for secret in step.secrets:
            assert secret not in text
            assert not any(secret.encode() in path.read_bytes() for path in step.folder.rglob("*") if path.is_file())
