"""A secret planted in each credential of each key store is looked for wherever a run leaves or shows anything."""

from __future__ import annotations

import base64
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from kspsign.embedded.authority import create_authority
from support import certificates, softhsm
from support.artifact_signing.server import ArtifactSigning
from support.artifact_signing.world import HOST, RESOURCE
from support.aws.kms import exception
from support.aws.server import ALIAS, Aws
from support.aws.sign_in import GITHUB_TOKEN
from support.aws.world import CONTAINER_TOKEN, REGION, ROLE
from support.digicert_one import wire
from support.digicert_one.access import PASSWORD as CLIENT_PASSWORD
from support.digicert_one.answers import Response
from support.digicert_one.fixture import running
from support.digicert_one.server import Fault
from support.esigner.server import ESigner
from support.esigner.world import PASSWORD as ESIGNER_PASSWORD
from support.esigner.world import TOTP as ESIGNER_TOTP
from support.formats.peimages import build_pe
from support.google.kms import failure
from support.google.server import GITHUB_TOKEN as GOOGLE_JOB
from support.google.server import Google
from support.google.world import KEY, PROVIDER
from support.key_command.world import PIN as PROGRAM_PIN
from support.key_command.world import PIN_VARIABLE, KeyCommand
from support.key_vault.answers import LOGIN, PIPELINES, Request
from support.key_vault.answers import Response as Answer
from support.key_vault.machine import APP_SERVICE, Az
from support.key_vault.server import Azure
from support.key_vault.world import (
    ACCESS_TOKEN,
    CLIENT,
    CLIENT_SECRET,
    CONNECTION,
    IDENTITY_HEADER,
    TENANT,
    Version,
    World,
)
from support.pki import Key, ca, new_key, signer
from support.signserver.server import SignServer
from support.signserver.world import PASSWORD as SIGNSERVER_PASSWORD
from support.signserver.world import USER as SIGNSERVER_USER
from support.signserver.world import SignServerWorld
from support.vault_transit.answers import VaultRequest, VaultResponse
from support.vault_transit.server import TransitServer
from support.vault_transit.world import JWT, ROLE_ID, SECRET_ID, TOKEN, VaultWorld
from support.watched import Child, kspsign_watched

SIDES: dict[str, Any] = {"begin": certificates.EXPIRED, "end": certificates.VALID}
ROOT = ca("Root", **SIDES)
VAULT = "unit-tests.vault.azure.net"
AT_ONCE = {"Retry-After": "0"}
AZ_TOKEN = "az-token-planted-3e91"  # noqa: S105 - made in the test


@dataclass(frozen=True)
class Case:
    """A key store in use: its options, what the step maps for it, and what must not be seen.

    `elsewhere` is all that arrived at services, less the places where a credential belongs; `children` are the
    programs that it starts, `given` the variables with a secret that these need.
    """

    options: tuple[object, ...]
    environment: dict[str, str]
    secrets: Callable[[], list[bytes]]
    elsewhere: Callable[[], list[str]] = list
    root: bytes = ROOT.pem
    children: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()
    stamps: tuple[str, ...] = ("--no-timestamp",)


def of_key(key: Key) -> list[bytes]:
    """Parts of a private key in the ways it is written: raw, PEM, DER in base64."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).splitlines()
    return [key.private_numbers().private_value.to_bytes(32), *pem[1:-2]]


@contextlib.contextmanager
def keylocker(folder: Path, *, as_text: bool = False) -> Iterator[Case]:
    with running(folder) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code")
        key, _certificate, _others = pkcs12.load_key_and_certificates(
            host.client.read_bytes(), CLIENT_PASSWORD.encode()
        )
        p12 = base64.b64encode(host.client.read_bytes())
        api_key, environment = host.world.user.api_key, dict(host.environment)
        if as_text:
            environment |= {"SM_CLIENT_CERT_FILE_B64": p12.decode()}
            del environment["SM_CLIENT_CERT_FILE"]
        # Once the service says the key aloud.
        host.service.faults.append(
            Fault("GET", "/keypairs/", Response(503, wire.error("busy", f"{api_key} waits"), {"Retry-After": "0"}))
        )

        def elsewhere() -> list[str]:
            kept = host.service.record.requests
            return [
                f"{request.target} {request.body!r} {dict(request.headers) | {'x-api-key': ''}}" for request in kept
            ]

        assert isinstance(key, ec.EllipticCurvePrivateKey)
        secrets = [api_key.encode(), CLIENT_PASSWORD.encode(), p12[100:160], *of_key(key)]
        options = ("--key-store", "keylocker", "--keypair-alias", "release")
        yield Case(options, environment, lambda: secrets, elsewhere, host.root.read_bytes())


@contextlib.contextmanager
def keylocker_text(folder: Path) -> Iterator[Case]:
    with keylocker(folder, as_text=True) as case:
        yield case


def _less_what_belongs(request: Request) -> str:
    headers = {name: value for name, value in request.headers.items() if name != "x-identity-header"}
    if request.host in {VAULT, PIPELINES, HOST}:
        headers.pop("authorization", None)
    body = b"" if request.host == LOGIN else request.body
    return f"{request.host} {request.target} {body!r} {headers}"


@contextlib.contextmanager
def vault(folder: Path, credential: str) -> Iterator[Case]:
    key = new_key()
    leaf = signer("Publisher", ROOT, key=key, **SIDES)
    world = World({VAULT: {"release": [Version(key, leaf.certificate, (ROOT.certificate,))]}})
    with Azure(world, folder) as azure:
        az = Az(folder / "agent", token=AZ_TOKEN)
        world.tokens[AZ_TOKEN] = "https://vault.azure.net"
        path = {"PATH": f"{az.bin}:/usr/bin:/bin", "AZURE_CONFIG_DIR": str(az.home)}
        identity = {"IDENTITY_ENDPOINT": azure.url + APP_SERVICE, "IDENTITY_HEADER": IDENTITY_HEADER}
        who: tuple[str, ...] = ("--azure-tenant-id", TENANT, "--azure-connection-id", CONNECTION)
        who += () if credential == "managed-identity" else ("--azure-client-id", CLIENT)
        options = ("--key-store", "azure-key-vault", "--key-identifier", f"https://{VAULT}/certificates/release")

        def secrets() -> list[bytes]:
            given = (CLIENT_SECRET, ACCESS_TOKEN, IDENTITY_HEADER, *world.tokens, *world.oidc_tokens)
            return [value.encode() for value in given]

        yield Case(
            (*options, "--azure-credential", credential, *who),
            {**azure.pipeline_environment, **identity, **path, "AZURE_CLIENT_SECRET": CLIENT_SECRET},
            secrets,
            lambda: [_less_what_belongs(request) for request in azure.record.requests],
            children=("uname", "az") if credential == "cli" else ("uname",),
        )


@contextlib.contextmanager
def artifact_signing(folder: Path, credential: str) -> Iterator[Case]:
    with ArtifactSigning(folder, create_authority(datetime.now(UTC))) as azure:
        az = Az(folder / "agent", token=AZ_TOKEN)
        azure.world.tokens[AZ_TOKEN] = RESOURCE
        said = False

        def say_it(request: Request) -> Answer | None:
            """Once the service says the token aloud."""
            nonlocal said
            if said or request.method != "POST" or not request.path.endswith("/sign"):
                return None
            said = True
            return Answer(503, {"error": {"code": "Busy", "message": request.headers["authorization"]}}, AT_ONCE)

        azure.interfere = say_it
        path = {"PATH": f"{az.bin}:/usr/bin:/bin", "AZURE_CONFIG_DIR": str(az.home)}
        identity = {"IDENTITY_ENDPOINT": azure.url + APP_SERVICE, "IDENTITY_HEADER": IDENTITY_HEADER}
        options = list(azure.options[:-2])
        options += ["--azure-credential", credential, "--azure-connection-id", CONNECTION]
        if credential == "managed-identity":  # the machine's own
            at = options.index("--azure-client-id")
            del options[at : at + 2]

        def secrets() -> list[bytes]:
            given = (CLIENT_SECRET, ACCESS_TOKEN, IDENTITY_HEADER, *azure.world.tokens, *azure.world.oidc_tokens)
            return [value.encode() for value in given]

        yield Case(
            tuple(options),
            {**azure.pipeline_environment, **identity, **path, "AZURE_CLIENT_SECRET": CLIENT_SECRET},
            secrets,
            lambda: [_less_what_belongs(request) for request in azure.record.requests],
            root=azure.roots.read_bytes(),
            children=("uname", "az") if credential == "cli" else ("uname",),
            stamps=(),
        )


def _by(
    credential: str, store: Callable[[Path, str], contextlib.AbstractContextManager[Case]] = vault
) -> Callable[[Path], contextlib.AbstractContextManager[Case]]:
    return lambda folder: store(folder, credential)


@contextlib.contextmanager
def aws(folder: Path, credential: str) -> Iterator[Case]:
    with Aws(folder) as service:
        certificate, root = service.publish(folder, new_key(), **SIDES)
        said = False

        def say_it(request: Request) -> Answer | None:
            """Once the service says token and signature aloud."""
            nonlocal said
            if said or request.headers.get("x-amz-target") != "TrentService.Sign":
                return None
            said = True
            return exception("ThrottlingException", request.headers.get("x-amz-security-token", ""), **AT_ONCE)

        service.interfere = say_it
        (folder / "token").write_text("web.identity.planted-6b2d")
        service.aws.oidc_tokens.add("web.identity.planted-6b2d")
        sts = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL_STS": service.endpoint}
        environment = {
            "keys": service.keys,
            "file": {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "token")},
            "pipelines": {**service.pipeline_environment, "no_proxy": "127.0.0.1", "AWS_ROLE_ARN": ROLE},
            "github": {**service.github, "AWS_ROLE_ARN": ROLE},
            "container": service.container,
            "instance": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint},
        }[credential]

        def secrets() -> list[bytes]:
            made = [key.secret for key in service.aws.access_keys.values()]
            made += [key.token for key in service.aws.access_keys.values() if key.token]
            given = (ACCESS_TOKEN, GITHUB_TOKEN, CONTAINER_TOKEN, *service.aws.oidc_tokens, *service.aws.imds_tokens)
            return [value.encode() for value in (*made, *given)]

        options = ("--key-store", "aws-kms", "--kms-key", ALIAS, "--kms-endpoint", service.endpoint)
        yield Case(
            (*options, "--certificate", certificate, "--azure-connection-id", CONNECTION),
            {**sts, **environment},
            secrets,
            lambda: [_less_aws_credentials(request) for request in service.record.requests],
            root=root.read_bytes(),
        )


def _less_aws_credentials(request: Request) -> str:
    """A request without the headers and the field in which a credential belongs."""
    belonging = {"x-amz-security-token", "authorization", "x-aws-ec2-metadata-token"}
    headers = {name: value for name, value in request.headers.items() if name not in belonging}
    body = b"" if b"WebIdentityToken" in request.body else request.body
    return f"{request.target} {body!r} {headers}"


@contextlib.contextmanager
def google(folder: Path, credential: str) -> Iterator[Case]:
    with Google(folder) as service:
        _version, certificate, root = service.publish(folder, new_key(), **SIDES)
        said = False

        def say_it(request: Request) -> Answer | None:
            """Once the service says the token aloud."""
            nonlocal said
            if said or not request.path.endswith(":asymmetricSign"):
                return None
            said = True
            return failure(429, "RESOURCE_EXHAUSTED", request.headers["authorization"], **AT_ONCE)

        service.interfere = say_it
        (folder / "token").write_text("own.identity.planted-9a4c")
        service.google.oidc_tokens.add("own.identity.planted-9a4c")
        own, file = certificates.rsa_key(2048), folder / "credentials.json"
        provider: tuple[str, ...] = ()
        environment = {**service.machine}
        if credential == "account":
            service.service_account(file, own)
            service.google.account_key = own.public_key()
        elif credential == "pool":
            service.external_account(file, {"file": str(folder / "token")})
        elif credential != "machine":
            given = service.pipeline_environment if credential == "pipelines" else service.github
            environment = {**service.environment, **given, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
            provider = ("--google-workload-provider", PROVIDER, "--azure-connection-id", CONNECTION)
        if file.exists():
            environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(file)

        def secrets() -> list[bytes]:
            pem = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).splitlines()
            given = (ACCESS_TOKEN, GOOGLE_JOB, *service.google.tokens, *service.google.oidc_tokens)
            return [*pem[1:-2], *(value.encode() for value in given)]

        options = ("--key-store", "google-cloud-kms", "--kms-key", KEY, "--kms-endpoint", service.endpoint)
        yield Case(
            (*options, "--certificate", certificate, *provider),
            environment,
            secrets,
            lambda: [_less_google_credentials(request) for request in service.record.requests],
            root=root.read_bytes(),
        )


def _less_google_credentials(request: Request) -> str:
    """A request without the header and the field in which a credential belongs."""
    headers = {name: value for name, value in request.headers.items() if name != "authorization"}
    body = b"" if b"subject_token=" in request.body else request.body
    return f"{request.target} {body!r} {headers}"


@contextlib.contextmanager
def pkcs11(folder: Path) -> Iterator[Case]:
    token, key = softhsm.create(folder / "hsm"), new_key()
    token.import_key(key, "release", "01")
    token.import_certificate(signer("Publisher", ROOT, key=key, **SIDES), "release", "01")
    secrets = [softhsm.PIN.encode(), *of_key(key)]
    # The module's process: vendors' libraries take their credentials from SM_* and what --tool-env names.
    module = {"children": (Path(sys.executable).name,), "given": frozenset({"SM_API_KEY"})}
    yield Case(token.options("release")[:-2], token.environment, lambda: secrets, **module)  # type: ignore[arg-type]


@contextlib.contextmanager
def pkcs12_file(folder: Path) -> Iterator[Case]:
    key = new_key()
    file = certificates.signing_file(folder, key=key)
    environment = {certificates.PASSWORD_VARIABLE: certificates.PASSWORD}
    secrets = [certificates.PASSWORD.encode(), *of_key(key)]
    yield Case(file.options[:6], environment, lambda: secrets, root=file.root.read_bytes())


@contextlib.contextmanager
def command(folder: Path) -> Iterator[Case]:
    """A program that says its PIN aloud, on standard error and in an error."""
    busy = {"kind": "busy", "message": f"{PROGRAM_PIN} waits", "retry_after": 0}
    program = KeyCommand.create(folder / "program", stderr="PIN it is", sign_error=busy, sign_error_times=1)
    key = (folder / "program" / "key.pem").read_bytes().splitlines()[1:-2]
    yield Case(
        program.options,
        program.environment,
        lambda: [PROGRAM_PIN.encode(), *key],
        root=program.root.pem,
        children=(Path(sys.executable).name,),
        given=frozenset({PIN_VARIABLE}),
    )


@contextlib.contextmanager
def transit(folder: Path, method: str) -> Iterator[Case]:
    """A Vault that says its token aloud once."""
    (folder / "vault").mkdir()
    with TransitServer(VaultWorld(), folder / "vault") as server:
        said = False

        def say_it(asked: VaultRequest) -> VaultResponse | None:
            nonlocal said
            if said or "/sign/" not in asked.path:
                return None
            said = True
            return VaultResponse(429, {"errors": [asked.headers["x-vault-token"]]}, AT_ONCE)

        server.interfere = say_it
        by = {
            "token": ((), {"VAULT_TOKEN": TOKEN}),
            "approle": (("--vault-role", ROLE_ID), {"VAULT_SECRET_ID": SECRET_ID}),
            "jwt": (("--vault-role", "ci"), {"VAULT_JWT": JWT}),
        }
        options, environment = by[method]

        def elsewhere() -> list[str]:
            kept = [request for request in server.requests if "/login" not in request.path]
            return [
                f"{request.path} {request.body!r} {dict(request.headers) | {'x-vault-token': ''}}" for request in kept
            ]

        yield Case(
            (*server.options, *options),
            environment,
            lambda: [secret.encode() for secret in (SECRET_ID, JWT, *server.world.tokens)],
            elsewhere,
            root=server.world.root.pem,
        )


@contextlib.contextmanager
def signserver(folder: Path, auth: str) -> Iterator[Case]:
    """A server that says once aloud how the client authenticates."""
    with SignServer(SignServerWorld(auth=auth), folder) as server:
        said = False

        def say_it(request: Request) -> Answer | None:
            nonlocal said
            if said:
                return None
            said = True
            return Answer(503, request.headers.get("authorization", "busy").encode(), AT_ONCE)

        server.interfere = say_it
        environment = server.environment(auth)
        secrets = [environment[name].encode() for name in environment if name.endswith(("PASSWORD", "TOKEN"))]
        if auth == "basic":
            secrets.append(base64.b64encode(f"{SIGNSERVER_USER}:{SIGNSERVER_PASSWORD}".encode()))
        if auth == "certificate":
            file = Path(environment["SIGNSERVER_CLIENT_CERT_FILE"])
            key, _leaf, _others = pkcs12.load_key_and_certificates(file.read_bytes(), CLIENT_PASSWORD.encode())
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            secrets += of_key(key)

        def elsewhere() -> list[str]:
            kept = server.requests
            return [f"{one.target} {one.body!r} {dict(one.headers) | {'authorization': ''}}" for one in kept]

        yield Case(server.options, environment, lambda: secrets, elsewhere, root=server.world.root.pem)


@contextlib.contextmanager
def esigner(folder: Path) -> Iterator[Case]:
    """An account whose service says once aloud what authorises a signature."""
    with ESigner(folder) as service:
        said = False

        def say_it(request: Request) -> Answer | None:
            nonlocal said
            if said or not request.path.endswith("/signHash"):
                return None
            said = True
            return Answer(429, {"error": "busy", "error_description": f"{request.headers} {request.body!r}"}, AT_ONCE)

        service.interfere = say_it

        def secrets() -> list[bytes]:
            totp = base64.b64decode(ESIGNER_TOTP)
            given = (ESIGNER_PASSWORD, ESIGNER_TOTP, *service.account.tokens, *service.account.sads)
            return [totp, totp.hex().encode(), *(text.encode() for text in given)]

        yield Case(
            service.options,
            service.environment,
            secrets,
            lambda: [_less_esigner_credentials(request) for request in service.record.requests],
            root=service.account.root.pem,
        )


def _less_esigner_credentials(request: Request) -> str:
    """A request without the header and the bodies in which a credential belongs."""
    headers = {name: value for name, value in request.headers.items() if name != "authorization"}
    body = b"" if request.path.endswith(("/oauth2/token", "/signHash")) else request.body
    return f"{request.target} {body!r} {headers}"


def _less_what_it_needs(child: Child, given: frozenset[str]) -> Child:
    return replace(child, environment={name: text for name, text in child.environment.items() if name not in given})


STORES: dict[str, Callable[[Path], contextlib.AbstractContextManager[Case]]] = {
    "keylocker": keylocker,
    "keylocker, certificate as text": keylocker_text,
    **{f"vault by {kind}": _by(kind) for kind in ("client-secret", "pipelines", "managed-identity", "cli")},
    **{
        f"artifact signing by {kind}": _by(kind, artifact_signing)
        for kind in ("client-secret", "pipelines", "managed-identity", "cli")
    },
    **{f"aws by {kind}": _by(kind, aws) for kind in ("keys", "file", "pipelines", "github", "container", "instance")},
    **{f"google by {kind}": _by(kind, google) for kind in ("account", "pool", "machine", "pipelines", "github")},
    "pkcs11": pkcs11,
    "pkcs12": pkcs12_file,
    "command": command,
    **{f"signserver by {kind}": _by(kind, signserver) for kind in ("basic", "token", "certificate")},
    "esigner": esigner,
    **{f"vault's transit by {kind}": _by(kind, transit) for kind in ("token", "approle", "jwt")},
}
OF_OTHERS = {"SM_API_KEY": "another-api-key-91", "TOKEN_PIN": "another-pin-92", "AZURE_CLIENT_SECRET": "another-93"}


@pytest.mark.parametrize("name", STORES)
def test_a_planted_secret_is_nowhere_but_where_it_must_be(name: str, tmp_path: Path) -> None:
    outside, work, temporary = (tmp_path / name for name in ("outside", "work", "work/temporary"))
    outside.mkdir()
    temporary.mkdir(parents=True)
    for number in range(3):
        (work / f"{number}.dll").write_bytes(build_pe(overlay=b"%d" % number))
    with STORES[name](outside) as case:
        (work / "root.pem").write_bytes(case.root)
        common = (*case.stamps, "--trust-root", "root.pem", "--store", "store", "--verbose")
        done = kspsign_watched(
            *("run", "*.dll", *case.options, *common, "--junit", "junit.xml", "--summary", "summary.md"),
            *("--ledger", "ledger.jsonl"),
            folder=work,
            record=outside / "seen.jsonl",
            environment={**OF_OTHERS, **case.environment, "TMPDIR": str(temporary)},
        )
        assert done.code == 0, done.text
        assert tuple(Path(process.command[0]).name for process in done.children) == case.children
        assert list(temporary.iterdir()) == []
        written = [(path.name, path.read_bytes()) for path in work.rglob("*") if path.is_file()]
        assert {"report.json", "junit.xml", "summary.md", "entry.json", "ledger.jsonl"} <= {
            name for name, _content in written
        }
        places = [
            *written,
            ("output", done.text.encode()),
            *(("child", str(_less_what_it_needs(child, case.given)).encode()) for child in done.children),
            *(("removed file", text.encode("latin-1")) for text in done.removed),
            *(("request", text.encode()) for text in case.elsewhere()),
        ]
        secrets = [*case.secrets(), *(value.encode() for value in OF_OTHERS.values())]
    assert len(secrets) > len(OF_OTHERS)
    found = [(secret, place) for secret in secrets for place, content in places if secret in content]
    assert found == []
    assert all(text.startswith("0o600 ") for text in done.removed if "KEY" in text)
