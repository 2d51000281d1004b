"""The pipelines of README and of docs/getting-started, run as written: by the packaged task, on the mini agent, with
the real engine and each key store's stand-in. Only what leads to the stand-ins is added.

SignTool's pipelines are run in the Windows lab (tests/windows_lab/test_lab_pages.py).
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from integration.documents.test_command_examples import example
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_server import TimestampServer
from support import softhsm
from support.agent.environment import Endpoint
from support.agent.extension import shared_vsix
from support.agent.mini import MiniAgent, agent_for
from support.agent.pipeline import Project, run_pipeline
from support.artifact_signing.server import ArtifactSigning
from support.artifact_signing.world import ACCOUNT, ENDPOINT, PROFILE
from support.aws.server import Aws
from support.azure_devops.server import TOKEN, AzureServer
from support.azure_devops.uploads import JOB_ID
from support.certificates import PASSWORD, rsa_key, signing_file
from support.digicert_one.access import PASSWORD as CLIENT_PASSWORD
from support.digicert_one.fixture import running
from support.documentation.reading import Block, blocks, pages
from support.esigner.server import ESigner
from support.esigner.world import PASSWORD as ESIGNER_PASSWORD
from support.esigner.world import TOTP as ESIGNER_TOTP
from support.formats.navx_samples import build_navx
from support.formats.peimages import build_pe
from support.google.server import Google
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, TENANT, Version, World
from support.pki import ca, signer
from support.samples import osslsigncode_verify
from support.signserver.server import SignServer
from support.signserver.world import PASSWORD as SIGNSERVER_PASSWORD
from support.signserver.world import SignServerWorld
from support.vault_transit.server import TransitServer
from support.vault_transit.world import VaultWorld

NOW = datetime.now(UTC)
VALID: dict[str, Any] = {"begin": NOW - timedelta(days=10), "end": NOW + timedelta(days=300)}
CONNECTION = "signing"
ISSUED = {"tenantid": TENANT, "serviceprincipalid": CLIENT}
FEDERATED = Endpoint("https://management.azure.com/", ISSUED, "WorkloadIdentityFederation")


@dataclass
class Bench:
    """Where pipelines run: what a project holds, the roots that its signatures lead to, how the page's own names are
    called here, and what is in the repository."""

    folder: Path
    stack: ExitStack
    authority: EmbeddedAuthority
    roots: list[bytes] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    secure_files: dict[str, bytes] = field(default_factory=dict)
    connections: dict[str, Endpoint] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    sources: dict[str, bytes] = field(default_factory=dict)
    stand_ins: bool = True

    def root_of(self, leaf_subject: str) -> tuple[Any, Any]:
        """A key with a certificate of a root that is trusted here."""
        root, key = ca("Contoso root", **VALID), rsa_key(2048)
        self.roots.append(root.pem)
        return key, signer(leaf_subject, root, key=key, **VALID)

    def vouch(self, oidc_tokens: set[str]) -> None:
        """Azure DevOps gives out tokens for the connection, and whoever has `oidc_tokens` trusts them."""
        devops = self.stack.enter_context(AzureServer())
        devops.organisation.connections.add(CONNECTION)
        devops.organisation.oidc_tokens = oidc_tokens
        place = f"Apps/_apis/distributedtask/hubs/build/plans/7/jobs/{JOB_ID}/oidctoken"
        self.variables["System.OidcRequestUri"] = f"{devops.url}/{place}"
        self.secrets["System.AccessToken"] = TOKEN
        self.connections[CONNECTION] = FEDERATED

    def azure(self, server: Azure) -> None:
        """A cloud by its hosts' real names, which trusts the tokens of the connection."""
        self.vouch(server.world.oidc_tokens)
        network = {"https_proxy", "http_proxy", "REQUESTS_CA_BUNDLE"}
        self.environment |= {name: value for name, value in server.environment.items() if name in network}
        self.environment["no_proxy"] = "127.0.0.1"


def keylocker(bench: Bench) -> None:
    host = bench.stack.enter_context(running(bench.folder))
    for alias in ("release-key", "appsource"):
        host.world.add_certificate(host.world.add_keypair(alias), f"{alias} certificate")
    bench.roots.append(host.world.root.pem)
    p12 = host.client.read_bytes()
    secrets = {
        "apitoken": host.world.user.api_key,
        "clientCertificate": base64.encodebytes(p12).decode(),
        "clientCertificatePassword": CLIENT_PASSWORD,
    }
    bench.connections["digicert"] = Endpoint(host.service.url, secrets)
    bench.variables["SM_HOST"] = host.service.url
    bench.secrets |= {"SM_API_KEY": host.world.user.api_key, "SM_CLIENT_CERT_PASSWORD": CLIENT_PASSWORD}
    bench.secure_files["keylocker-client.p12"] = p12
    bench.environment["SM_CA_FILE"] = str(host.access.ca_file)


def key_vault(bench: Bench) -> None:
    key, leaf = bench.root_of("Contoso")
    world = World({"contoso-signing.vault.azure.net": {"release": [Version(key, leaf.certificate)]}})
    bench.azure(bench.stack.enter_context(Azure(world, bench.folder)))


def artifact_signing(bench: Bench) -> None:
    service = bench.stack.enter_context(ArtifactSigning(bench.folder, bench.authority))
    bench.roots.append(service.roots.read_bytes())
    bench.azure(service)
    bench.names |= {"contoso-signing": ACCOUNT, "certificateProfile: release": f"certificateProfile: {PROFILE}"}
    bench.names["https://weu.codesigning.azure.net"] = ENDPOINT


def aws_kms(bench: Bench) -> None:
    key, leaf = bench.root_of("Contoso")
    server = bench.stack.enter_context(Aws(bench.folder))
    server.aws.add(key, id="1234abcd-12ab-34cd-56ef-1234567890ab")
    bench.sources["signing/code.pem"] = leaf.pem + bench.roots[-1]
    bench.azure(server)


def google_cloud_kms(bench: Bench) -> None:
    key, leaf = bench.root_of("Contoso")
    server = bench.stack.enter_context(Google(bench.folder))
    server.google.add(key)
    bench.sources["signing/code.pem"] = leaf.pem + bench.roots[-1]
    bench.azure(server)


def vault(bench: Bench) -> None:
    server = bench.stack.enter_context(TransitServer(VaultWorld(), bench.folder))
    bench.roots.append(server.world.root.pem)
    bench.sources["signing/vault-ca.pem"] = server.ca_file.read_bytes()
    bench.names["https://vault.contoso.example:8200"] = server.url
    bench.environment["no_proxy"] = "localhost,127.0.0.1"
    bench.vouch(server.world.jwts)


def signserver(bench: Bench) -> None:
    server = bench.stack.enter_context(SignServer(SignServerWorld(auth="basic"), bench.folder))
    bench.roots.append(server.world.root.pem)
    bench.sources["signing/code.pem"] = server.world.file
    bench.sources["signing/tls-ca.pem"] = server.access.ca_file.read_bytes()
    bench.names["https://signserver.contoso.example/signserver"] = server.url
    bench.environment["no_proxy"] = "localhost,127.0.0.1"
    bench.secrets["signserverPassword"] = SIGNSERVER_PASSWORD


def esigner(bench: Bench) -> None:
    service = bench.stack.enter_context(ESigner(bench.folder))
    bench.roots.append(service.account.root.pem)
    network = {"https_proxy", "http_proxy", "REQUESTS_CA_BUNDLE"}
    bench.environment |= {name: value for name, value in service.environment.items() if name in network}
    bench.environment["no_proxy"] = "127.0.0.1"
    bench.secrets |= {"esignerPassword": ESIGNER_PASSWORD, "esignerTotpSecret": ESIGNER_TOTP}


def command(bench: Bench) -> None:
    made = signing_file(bench.folder)
    bench.roots.append(made.root.read_bytes())
    bench.secure_files["codesign.p12"] = made.path.read_bytes()
    bench.secrets["p12Password"] = PASSWORD
    bench.names["keyCommand: python3"] = f"keyCommand: {sys.executable}"
    bench.sources["signing/sign.py"] = example("python").encode()


def pkcs11(bench: Bench) -> None:
    key, leaf = bench.root_of("Contoso")
    token = softhsm.create(bench.folder / "token", "YubiHSM")
    token.import_key(key, "release-key", "01")
    token.import_certificate(leaf, "release-key", "01")
    bench.names["/usr/lib/x86_64-linux-gnu/pkcs11/yubihsm_pkcs11.so"] = str(softhsm.LIBRARY)
    bench.names["YUBIHSM_PKCS11_CONF"] = "SOFTHSM2_CONF"
    bench.names["$(Build.SourcesDirectory)/signing/yubihsm_pkcs11.conf"] = token.environment["SOFTHSM2_CONF"]
    bench.secrets["tokenPin"] = softhsm.PIN


def pkcs12(bench: Bench) -> None:
    made = signing_file(bench.folder)
    bench.roots.append(made.root.read_bytes())
    bench.secure_files["codesign.pfx"] = made.path.read_bytes()
    bench.secrets["pfxPassword"] = PASSWORD


def embedded(bench: Bench) -> None:
    """It brings everything along, its timestamp server too."""
    bench.stand_ins = False


PAGES: Mapping[str, Callable[[Bench], None]] = {
    "README.md": keylocker,
    "docs/getting-started/try-it.md": embedded,
    "docs/getting-started/keylocker-linux.md": keylocker,
    "docs/getting-started/keylocker-windows.md": keylocker,
    "docs/getting-started/key-vault.md": key_vault,
    "docs/getting-started/artifact-signing.md": artifact_signing,
    "docs/getting-started/aws-kms.md": aws_kms,
    "docs/getting-started/google-cloud-kms.md": google_cloud_kms,
    "docs/getting-started/vault.md": vault,
    "docs/getting-started/signserver.md": signserver,
    "docs/getting-started/esigner.md": esigner,
    "docs/getting-started/command.md": command,
    "docs/getting-started/pkcs11.md": pkcs11,
    "docs/getting-started/pkcs12.md": pkcs12,
    "docs/getting-started/business-central.md": keylocker,
}
"""Pages with pipelines, and what each reader has."""


SLIPS: Mapping[str, tuple[str, str]] = {
    "docs/getting-started/try-it.md": ("out/**/*.exe", "output/**/*.exe"),
    "docs/getting-started/keylocker-linux.md": ("keypairAlias: release-key", "keypairAlias: Release-Key"),
    "docs/getting-started/keylocker-windows.md": ("keypairAlias: release-key", "keypairAlias: realease-key"),
    "docs/getting-started/key-vault.md": ("certificates/release", "certificates/relase"),
    "docs/getting-started/artifact-signing.md": ("certificateProfile: release", "certificateProfile: Release"),
    "docs/getting-started/aws-kms.md": ("key/1234abcd-", "key/1234abce-"),
    "docs/getting-started/google-cloud-kms.md": ("cryptoKeys/release", "cryptoKeys/relase"),
    "docs/getting-started/vault.md": ("vaultRole: ci", "vaultRole: cd"),
    "docs/getting-started/signserver.md": ("keypairAlias: CodeSigner", "keypairAlias: codesigner"),
    "docs/getting-started/esigner.md": ("keypairAlias: 8b072e22-7685", "keypairAlias: 8b072e22-7658"),
    "docs/getting-started/command.md": ("$(p12Password)", "$(p12Pasword)"),
    "docs/getting-started/pkcs11.md": ("pkcs11Token: YubiHSM", "pkcs11Token: Yubihsm"),
    "docs/getting-started/pkcs12.md": ("$(pfxPassword)", "$(pfxPasword)"),
    "docs/getting-started/business-central.md": ("keypairAlias: appsource", "keypairAlias: app-source"),
}
"""What a reader easily gets wrong on the page: a name, its upper and lower case, a secret that is not mapped."""


def pipelines(page: str) -> list[Block]:
    """The pipelines of a page that this machine can run: SignTool needs Windows."""
    found = [block for block in blocks() if block.page == page and block.language == "yaml"]
    return [block for block in found if "KspSign@1" in block.text and "keyStore: windows" not in block.text]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> MiniAgent:
    """An agent with the packaged task."""
    return agent_for(shared_vsix(), tmp_path_factory.mktemp("agent"))


@pytest.fixture
def bench(tmp_path: Path, authority: EmbeddedAuthority) -> Iterator[Bench]:
    (tmp_path / "files").mkdir()
    root = authority.root.certificate.public_bytes(Encoding.PEM)
    with ExitStack() as stack:
        yield Bench(tmp_path / "files", stack, authority, [root])


def project(bench: Bench, url: str, sources: Path) -> Project:
    """What the page's reader has in Azure DevOps."""
    roots = bench.folder / "trusted.pem"
    roots.write_bytes(b"".join(bench.roots))
    settings: dict[str, Any] = {"store": str(bench.folder / "store")}
    if bench.stand_ins:
        settings |= {"timestamp_url": [url], "trust_root": [str(roots)]}
    config = bench.folder / "stand-ins.yml"
    config.write_text(json.dumps(settings), encoding="utf-8")

    def build(staging: Path) -> None:
        for folder in (staging, sources / "dist", sources / "out"):
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("app.exe", "core.dll"):
                (folder / name).write_bytes(build_pe(overlay=name.encode()))
        (staging / "Contoso.app").write_bytes(build_navx())
        (sources / "signing").mkdir(exist_ok=True)
        for name, content in {"signing/root.pem": roots.read_bytes(), **bench.sources}.items():
            (sources / name).write_bytes(content)

    return Project(
        build,
        bench.variables,
        bench.secrets,
        bench.secure_files,
        bench.connections,
        bench.environment,
        {"config": str(config), "pythonPath": sys.executable},
    )


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, number) for page in PAGES for number, _block in enumerate(pipelines(page))],
    ids=str,
)
def test_a_pipeline_runs_as_written(
    page: str,
    number: int,
    bench: Bench,
    installed: MiniAgent,
    tmp_path: Path,
    timestamp_server: TimestampServer,
) -> None:
    PAGES[page](bench)
    agent = replace(installed, root=tmp_path / "agent")
    block = pipelines(page)[number]
    text = block.text
    for name, here in bench.names.items():
        text = text.replace(name, here)
    given = project(bench, timestamp_server.url, agent.sources)
    runs = run_pipeline(text, agent, given)
    assert runs, block.place
    for run in runs:
        assert run.result in {"Succeeded", "SucceededWithIssues"}, f"{block.place}\n" + "\n".join(run.log)
        assert not any(secret in line for secret in bench.secrets.values() for line in run.log)
    if "command:" not in text:
        assert int(runs[-1].outputs["filesSigned"]) > 0
        if bench.stand_ins and "*.app" not in text:
            folder = agent.root / "_work" / "1" / "a" if "ArtifactStagingDirectory" in text else agent.sources / "dist"
            assert osslsigncode_verify(folder / "app.exe", bench.folder / "trusted.pem").accepted
    if shown := printed(page, number):
        log = [neutral(line) for line in runs[-1].log]
        assert sorted(shown) == sorted(line for line in log if line in shown), "\n".join(runs[-1].log)


@pytest.mark.parametrize("page", SLIPS)
def test_a_slip_is_what_the_page_says_to_check_first(
    page: str, bench: Bench, installed: MiniAgent, tmp_path: Path, timestamp_server: TimestampServer
) -> None:
    PAGES[page](bench)
    agent = replace(installed, root=tmp_path / "agent")
    text = pipelines(page)[0].text
    assert SLIPS[page][0] in text
    for name, here in [SLIPS[page], *bench.names.items()]:
        text = text.replace(name, here)
    *_before, run = run_pipeline(text, agent, project(bench, timestamp_server.url, agent.sources))
    assert run.result == "Failed", "\n".join(run.log)
    said = pages()[page]
    codes = set(re.findall(r"\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+\b", run.errors[0]))
    stated = "exit code 4: no file matched"
    known = stated in said if stated in run.errors[-1] else any(f"`{code}`" in said for code in codes)
    assert known, "\n".join(run.log)


def printed(page: str, number: int) -> list[str]:
    """What the page says that its first pipeline prints; the order of files is the run's."""
    found = [block.text for block in blocks() if block.page == page and block.language == "text"]
    return [neutral(line) for line in found[0].splitlines()] if found and number == 0 else []


def neutral(line: str) -> str:
    """`line` without what differs from run to run and from reader to reader: names, thumbprints and times."""
    line = re.sub(r"^##\[\w+\]", "", line)
    line = re.sub(r"\b[0-9A-F]{40}\b", "THUMBPRINT", line)
    line = re.sub(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?", "TIME", line)
    line = re.sub(r"  CN=.*  valid until", "  NAME  valid until", line)
    return re.sub(r"signed by .*  timestamp TIME by .*", "signed by NAME  timestamp TIME by NAME", line)
