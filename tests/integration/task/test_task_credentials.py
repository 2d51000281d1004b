"""What the packaged task signs with, from Azure DevOps: an OIDC token for Entra and the vault, and secure files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from integration.keys.test_channels_clouds import Made, aws_keys, check_sign_in, google_file, vault_approle
from kspsign.embedded.authority import EmbeddedAuthority
from support.agent.environment import Endpoint
from support.agent.extension import shared_vsix
from support.agent.mini import MiniAgent, Step, agent_for
from support.agent.processes import Shown, descendants
from support.agent.secure_files import download
from support.agent.taskrun import TaskRun
from support.artifact_signing.server import ArtifactSigning
from support.artifact_signing.world import ACCOUNT, ENDPOINT, PROFILE
from support.azure_devops.server import TOKEN, AzureServer, Fault
from support.azure_devops.uploads import JOB_ID
from support.certificates import PASSWORD, rsa_key, signing_file
from support.channels import packaged_task
from support.formats.navx_samples import build_navx
from support.key_command.world import PIN, PIN_VARIABLE, PROGRAM, KeyCommand
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, CLIENT_SECRET, CONNECTION, SYSTEM_ASSIGNED, TENANT, Version, World
from support.pki import ca, signer
from support.samples import copy_launcher, osslsigncode_verify
from support.vault_transit.server import TransitServer
from support.vault_transit.world import KEY, VaultWorld
from support.vault_transit.world import TOKEN as VAULT_TOKEN

NOW = datetime.now(UTC)
VALID: dict[str, Any] = {"begin": NOW - timedelta(days=10), "end": NOW + timedelta(days=300)}
VAULT = "contoso-signing.vault.azure.net"
VAULT_KEY = {
    "keyStore": "azure-key-vault",
    "keyIdentifier": f"https://{VAULT}/certificates/release",
    "noTimestamp": "true",
}
ISSUED = {"tenantid": TENANT, "serviceprincipalid": CLIENT}
ARM = "https://management.azure.com/"
FEDERATED = Endpoint(ARM, ISSUED, "WorkloadIdentityFederation")


@dataclass(frozen=True)
class Bench:
    """An agent with one program, the vault with Entra before it, and Azure DevOps; `key` are the key's inputs."""

    agent: MiniAgent
    azure: Azure
    devops: AzureServer
    root: Path
    key: Mapping[str, str] = field(default_factory=lambda: VAULT_KEY)

    def sign(
        self,
        seen: list[Shown],
        *,
        connection: str = CONNECTION,
        token: str = TOKEN,
        endpoint: Endpoint = FEDERATED,
        more: Mapping[str, str] | None = None,
    ) -> TaskRun:
        """Run the task; `seen` gets what other processes could see meanwhile, `more` is mapped into the step."""
        inputs: dict[str, str] = {"files": "*.exe", "azureConnectionId": connection, **self.key}
        inputs |= {"trustRoot": str(self.root), "store": str(self.agent.root / "store"), "pythonPath": sys.executable}
        place = f"Apps/_apis/distributedtask/hubs/build/plans/7/jobs/{JOB_ID}/oidctoken"
        network = {"https_proxy", "http_proxy", "REQUESTS_CA_BUNDLE"}
        env = {name: value for name, value in self.azure.environment.items() if name in network}

        def look(_line: str) -> bool:
            seen.extend(descendants())
            return False

        step = Step(
            inputs,
            {
                "System.OidcRequestUri": f"{self.devops.url}/{place}",
                "System.Debug": "true",
                "Build.DefinitionName": "Contoso",
                "Build.BuildNumber": "20261129.4",
            },
            {"System.AccessToken": token},
            env={**env, "no_proxy": "127.0.0.1", **(more or {})},
            endpoints={connection: endpoint},
        )
        return self.agent.run(step, cancel_when=look)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    files, root, key = tmp_path / "azure", ca("Vault root", **VALID), rsa_key(2048)
    files.mkdir()
    (files / "root.pem").write_bytes(root.pem)
    leaf = signer("Contoso", root, key=key, **VALID)
    world = World({VAULT: {"release": [Version(key, leaf.certificate)]}})
    agent = agent_for(shared_vsix(), tmp_path / "agent")
    agent.sources.mkdir(parents=True)
    copy_launcher(agent.sources, to="app.exe")
    with Azure(world, files) as azure, AzureServer() as devops:
        devops.organisation.connections.add(CONNECTION)
        devops.organisation.oidc_tokens = world.oidc_tokens  # Entra trusts what Azure DevOps gives out
        yield Bench(agent, azure, devops, files / "root.pem")


def engines_of(seen: list[Shown]) -> list[Shown]:
    """The engine's processes, of which there is one: the agent hands a connection to node in its environment."""
    engines = [shown for shown in seen if b"engine" in shown.command]
    assert engines
    return engines


def test_no_secret_is_needed_and_none_is_shown(bench: Bench) -> None:
    seen: list[Shown] = []
    run = bench.sign(seen)
    assert run.result == "Succeeded", run.log
    assert osslsigncode_verify(bench.agent.sources / "app.exe", bench.root).accepted
    assert {path.rpartition("/")[2] for path in bench.devops.paths("POST")} == {"oidctoken"}
    world = bench.azure.world
    assert 0 < len(world.tokens) == len(world.oidc_tokens) == len(bench.devops.paths("POST"))
    engines = engines_of(seen)
    for secret in (TOKEN, *world.oidc_tokens, *world.tokens):
        assert not any(secret in line for line in run.log)
        assert not any(secret.encode() in engine.command + engine.environment for engine in engines)
        kept = (path for path in bench.agent.root.rglob("*") if path.is_file())
        assert not any(secret.encode() in path.read_bytes() for path in kept)


def test_artifact_signing_needs_no_secret_either_and_knows_the_build(
    tmp_path: Path, authority: EmbeddedAuthority
) -> None:
    (tmp_path / "azure").mkdir()
    agent = agent_for(shared_vsix(), tmp_path / "agent")
    agent.sources.mkdir(parents=True)
    copy_launcher(agent.sources, to="app.exe")
    key = {"keyStore": "azure-artifact-signing", "signingEndpoint": ENDPOINT}
    key |= {"signingAccount": ACCOUNT, "certificateProfile": PROFILE}
    with ArtifactSigning(tmp_path / "azure", authority) as azure, AzureServer() as devops:
        devops.organisation.connections.add(CONNECTION)
        devops.organisation.oidc_tokens = azure.world.oidc_tokens
        run = Bench(agent, azure, devops, azure.roots, key).sign([])
        assert run.result == "Succeeded", "\n".join(run.log)
        assert len(azure.signing.spent) == 1
        assert azure.signing.correlations == {"build Contoso/20261129.4"}
        assert not any(secret in line for secret in (TOKEN, *azure.world.tokens) for line in run.log)
    assert osslsigncode_verify(agent.sources / "app.exe", azure.roots).accepted


@pytest.mark.parametrize("store", ["command", "vault"])
def test_a_variable_of_the_step_reaches_the_key_store_that_it_is_for(store: str, tmp_path: Path) -> None:
    """A program gets what keyCommandEnv names, and the sign-in to Vault its variables: both mapped by env: alone."""
    agent = agent_for(shared_vsix(), tmp_path / "agent")
    agent.sources.mkdir(parents=True)
    copy_launcher(agent.sources, to="app.exe")
    (tmp_path / "vault").mkdir()
    program = KeyCommand.create(tmp_path / "program", secret=PIN)
    with TransitServer(VaultWorld(), tmp_path / "vault") as server:
        words = f"{PROGRAM}\n{program.folder}"
        keys = {
            "command": {"keyCommand": sys.executable, "keyCommandArg": words, "keyCommandEnv": PIN_VARIABLE},
            "vault": {"vaultAddress": server.url, "keypairAlias": KEY, "caFile": str(server.ca_file)},
        }
        root = (program if store == "command" else server).folder / "root.pem"
        inputs = {"keyStore": store, "files": "*.exe", "noTimestamp": "true", "trustRoot": str(root), **keys[store]}
        inputs |= {"store": str(tmp_path / "store"), "pythonPath": sys.executable}
        secrets = {"hsmPin": PIN, "vaultToken": VAULT_TOKEN}
        mapped = {"command": {PIN_VARIABLE: PIN}, "vault": {"VAULT_TOKEN": VAULT_TOKEN}}
        run = agent.run(Step(inputs, secrets=secrets, env={**mapped[store], "no_proxy": "localhost"}))
    assert run.result == "Succeeded", "\n".join(run.log)
    assert (program.made, len(server.world.spent)) == ((1, 0) if store == "command" else (0, 1))
    assert not any(secret in line for secret in secrets.values() for line in run.log)
    assert osslsigncode_verify(agent.sources / "app.exe", root).accepted


@pytest.mark.parametrize("kind", [aws_keys, google_file, vault_approle], ids=lambda kind: kind.__name__)
def test_the_credentials_of_cloud_services_reach_them(kind: Callable[[Path, ExitStack], Made], tmp_path: Path) -> None:
    check_sign_in(kind, packaged_task, tmp_path)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"token": "expired"}, None),
        ({"connection": "5d4c9a10-0000-4000-8000-000000000000"}, None),
        ({}, Fault("html", 203)),
        ({}, Fault("html", 200)),
    ],
    ids=["token", "connection", "sign-in page", "sign-in page as success"],
)
def test_a_sign_in_that_fails_says_so_and_touches_nothing(
    bench: Bench, given: dict[str, str], fault: Fault | None
) -> None:
    before = (bench.agent.sources / "app.exe").read_bytes()
    bench.devops.faults.extend([fault] * 9 if fault else [])
    run = bench.sign([], **given)  # type: ignore[arg-type]  # some of the texts
    assert run.result == "Failed"
    assert run.errors[0].startswith("AZURE_SIGN_IN"), "\n".join(run.log)
    assert "exit code 5" in run.errors[-1]
    assert (bench.agent.sources / "app.exe").read_bytes() == before
    assert bench.azure.world.tokens == {}


class TestConnectionSchemes:
    """How each kind of Azure RM connection signs in; a matter of the connection alone, with the same YAML."""

    def test_a_secret(self, bench: Bench) -> None:
        seen: list[Shown] = []
        endpoint = Endpoint(ARM, {**ISSUED, "serviceprincipalkey": CLIENT_SECRET}, "ServicePrincipal")
        run = bench.sign(seen, endpoint=endpoint)
        assert run.result == "Succeeded", run.log
        assert not bench.devops.paths("POST")
        assert not any(CLIENT_SECRET in line for line in run.log)
        assert not any(CLIENT_SECRET.encode() in engine.command + engine.environment for engine in engines_of(seen))

    def test_a_certificate(self, bench: Bench) -> None:
        seen: list[Shown] = []
        key = rsa_key(2048)
        made = signer("Application", ca("Any"), key=key, begin=datetime.now(UTC) - timedelta(days=1))
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        parameters = {**ISSUED, "authenticationtype": "spnCertificate"}
        parameters["serviceprincipalcertificate"] = secret + made.pem.decode()
        bench.azure.world.certificates.append(made.certificate)
        run = bench.sign(seen, endpoint=Endpoint(ARM, parameters, "ServicePrincipal"))
        assert run.result == "Succeeded", run.log
        for line in secret.splitlines()[1:-1]:
            assert not any(line in shown for shown in run.log)
            assert not any(line.encode() in engine.command + engine.environment for engine in engines_of(seen))

    def test_the_machines_identity(self, bench: Bench) -> None:
        where = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": bench.azure.url}
        run = bench.sign([], endpoint=Endpoint(ARM, {"tenantid": TENANT}, "ManagedServiceIdentity"), more=where)
        assert run.result == "Succeeded", run.log
        assert set(bench.azure.world.signed_in) == {SYSTEM_ASSIGNED}
        assert not bench.devops.paths("POST")

    def test_a_wrong_secret_is_the_cause_that_is_named(self, bench: Bench) -> None:
        endpoint = Endpoint(ARM, {**ISSUED, "serviceprincipalkey": "expired"}, "ServicePrincipal")
        run = bench.sign([], endpoint=endpoint)
        assert run.errors[0].startswith("AZURE_SIGN_IN"), "\n".join(run.log)
        assert "AADSTS7000215" in run.errors[0]


@pytest.mark.parametrize(("ticket", "result"), [("t-1", "Succeeded"), ("t-2", "Failed")])
def test_a_secure_file_is_the_key(tmp_path: Path, ticket: str, result: str) -> None:
    """DownloadSecureFile@1, with Microsoft's own client, gives the path; a wrong ticket leaves our step without key.

    A Business Central package is signed beside the program, without NavSip.dll.
    """
    agent, made = agent_for(shared_vsix(), tmp_path), signing_file(tmp_path)
    agent.sources.mkdir(parents=True)
    copy_launcher(agent.sources, to="app.exe")
    (agent.sources / "Contoso.app").write_bytes(build_navx())
    with AzureServer() as azure:
        azure.organisation.secure_files["c0de"] = ("t-1", made.path.read_bytes())
        path = download(agent, "c0de", "code.p12", ticket, server=(azure.url, TOKEN))
        assert (path is not None) == (result == "Succeeded")
        inputs = {
            "keyStore": "pkcs12",
            "pkcs12": str(path or ""),
            "password": "$(pfxPassword)",
            "files": "*.exe\n*.app",
        }
        inputs |= {"noTimestamp": "true", "trustRoot": str(made.root), "pythonPath": sys.executable}
        inputs |= {"engine": "native"}
        step = Step({**inputs, "store": str(tmp_path / "store")}, secrets={"pfxPassword": PASSWORD})
        run = agent.run(step, keep_temp=True)
    assert run.result == result, run.log
    if result == "Succeeded":
        assert (run.outputs["filesSigned"], "code.p12" in run.leftover) == ("2", True)
