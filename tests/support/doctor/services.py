"""Key stores that are services, each arranged for a situation behind its stand-in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.certificates.parse import thumbprint_of
from kspsign.embedded.authority import EmbeddedAuthority
from support.artifact_signing.server import TIMESTAMPS, ArtifactSigning
from support.aws.server import ALIAS, Aws
from support.aws.world import OPERATIONS
from support.certificates import rsa_key
from support.digicert_one.fixture import running
from support.digicert_one.world import DAY, NOW
from support.doctor.run import NOWHERE, Given
from support.esigner.server import ESigner
from support.esigner.world import CREDENTIAL
from support.google.server import Google
from support.google.world import KEY as GOOGLE_KEY
from support.google.world import METHODS
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, EVERYTHING, TENANT, Version, World
from support.pki import Issued, ca, signer
from support.signserver.server import SignServer
from support.signserver.world import SignServerWorld
from support.vault_transit.server import TransitServer
from support.vault_transit.world import TOKEN, HeldToken, VaultWorld

VAULT = "doctor.vault.azure.net"
ENDS = {"expired": NOW - 3 * DAY, "near expiry": NOW + 12 * DAY}
WHOLE = NOW + 300 * DAY


@dataclass(frozen=True)
class Arranged:
    """What a step gives, and how many signatures the service was asked for."""

    given: Given
    asked: list[str]


@contextlib.contextmanager
def keylocker(folder: Path, situation: str) -> Iterator[Arranged]:
    """A host with one key pair, Release."""
    with running(folder) as host:
        pair = host.world.add_keypair("Release")
        older = host.world.add_certificate(pair, "code", end=ENDS.get(situation, WHOLE))
        if situation == "superseded":
            host.world.add_certificate(pair, "code-2", begin=NOW - DAY)
        if situation == "disabled":
            pair.status = "OFFLINE"
        if situation == "no permission":
            pair.signers = frozenset({"somebody.else"})
        changes = {
            "macro": {"SM_API_KEY": "$(SM_API_KEY)"},
            "wrong secret": {"SM_API_KEY": "01_stale"},
            "no network": {"SM_HOST": f"https://{NOWHERE}"},
            "private CA": {"SM_CA_FILE": ""},
        }
        environment = {**host.environment, **changes.get(situation, {})}
        named = ("--keypair-alias", "release" if situation == "wrong alias" else "Release")
        if situation == "superseded":
            named = ("--thumbprint", thumbprint_of(older.leaf.der))
        given = Given(("--key-store", "keylocker", *named, "--trust-root", host.root), environment)
        if situation == "nothing set":
            given = Given(("--key-store", "keylocker"))
        asked: list[str] = []
        yield Arranged(given, asked)
        asked += [request.target for request in host.service.record.of("POST")]


@contextlib.contextmanager
def key_vault(folder: Path, situation: str) -> Iterator[Arranged]:
    """See key_vault_of."""
    asked: list[str] = []
    with key_vault_of(folder, situation) as (azure, given):
        yield Arranged(given, asked)
        asked += [request.target for request in azure.record.of(VAULT, "/sign")]


@contextlib.contextmanager
def key_vault_of(folder: Path, situation: str) -> Iterator[tuple[Azure, Given]]:
    """A vault with one certificate, release, behind a company's proxy."""
    key, root = rsa_key(3072), ca("Vault root", begin=NOW - 40 * DAY, end=WHOLE)
    versions = [_version(key, root, begin=NOW - 30 * DAY, end=ENDS.get(situation, WHOLE))]
    if situation == "superseded":
        versions.append(_version(key, root, begin=NOW - DAY, end=WHOLE))
    versions[0].enabled = situation != "disabled"
    world = World({VAULT: {"release": versions}})
    if situation == "no permission":
        world.permissions = EVERYTHING - {"certificates/get", "certificates/list"}
    (folder / "root.pem").write_bytes(root.pem)
    with Azure(world, folder) as azure:
        changes = {
            "macro": {"AZURE_CLIENT_SECRET": "$(AZURE_CLIENT_SECRET)"},
            "wrong secret": {"AZURE_CLIENT_SECRET": "stale"},
            "no network": {"HTTPS_PROXY": f"http://{NOWHERE}", "https_proxy": f"http://{NOWHERE}"},
            "private CA": {"REQUESTS_CA_BUNDLE": ""},
        }
        name = {"wrong alias": "relaese", "superseded": f"release/{versions[0].version}"}.get(situation, "release")
        options = (
            *("--key-store", "azure-key-vault", "--key-identifier", f"https://{VAULT}/certificates/{name}"),
            *("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT, "--azure-credential", "client-secret"),
            *("--trust-root", folder / "root.pem", "--store", folder / "store"),
        )
        given = Given(options, {**azure.environment, **changes.get(situation, {})})
        if situation == "nothing set":
            given = Given(("--key-store", "azure-key-vault"))
        yield azure, given


@contextlib.contextmanager
def artifact_signing(folder: Path, situation: str, authority: EmbeddedAuthority) -> Iterator[Arranged]:
    """An account with one profile, whose certificates last three days."""
    with ArtifactSigning(folder / "azure", authority) as service:
        service.signing.enrolled = situation != "no permission"
        changes = {
            "macro": {"AZURE_CLIENT_SECRET": "$(AZURE_CLIENT_SECRET)"},
            "wrong secret": {"AZURE_CLIENT_SECRET": "stale"},
            "no network": {"HTTPS_PROXY": f"http://{NOWHERE}", "https_proxy": f"http://{NOWHERE}"},
            "private CA": {"REQUESTS_CA_BUNDLE": ""},
        }
        more = ("--certificate-profile", "Release") if situation == "wrong alias" else ()
        stamped = ("--timestamp-url", f"http://{TIMESTAMPS}")
        given = Given((*service.options, *more, *stamped), {**service.environment, **changes.get(situation, {})})
        if situation == "nothing set":
            given = Given(("--key-store", "azure-artifact-signing", "--timestamp-url", f"http://{NOWHERE}"))
        asked: list[str] = []
        yield Arranged(given, asked)
        asked += [request.target for request in service.of_profile("POST")]


@contextlib.contextmanager
def vault(folder: Path, situation: str) -> Iterator[Arranged]:
    """A Vault with one transit key, release."""
    world = VaultWorld(soft_deleted=situation == "disabled")
    if situation in ENDS:
        world.certify(1, end=ENDS[situation])
    if situation == "superseded":
        world.certify(world.rotate(), begin=NOW - DAY)
    if situation == "no permission":
        world.tokens[TOKEN] = HeldToken(rights=frozenset({"lookup"}))
    (folder / "vault").mkdir()
    with TransitServer(world, folder / "vault") as server:
        changes = {"macro": {"VAULT_TOKEN": "$(VAULT_TOKEN)"}, "wrong secret": {"VAULT_TOKEN": "hvs.stale"}}
        options = list(server.options[:-2] if situation == "private CA" else server.options)
        options += ["--vault-key-version", "1"] if situation == "superseded" else []
        options += ["--keypair-alias", "Release"] if situation == "wrong alias" else []
        options += ["--vault-address", f"https://{NOWHERE}"] if situation == "no network" else []
        given = Given((*options, *server.trust), {**server.environment, **changes.get(situation, {})})
        if situation == "nothing set":
            given = Given(("--key-store", "vault"))
        asked: list[str] = []
        yield Arranged(given, asked)
        asked += [request.path for request in server.of("/sign/")]


@contextlib.contextmanager
def aws_kms(folder: Path, situation: str) -> Iterator[Arranged]:
    """An account with one key, alias/release, behind a company's proxy."""
    key, root = rsa_key(3072), ca("AWS root", begin=NOW - 40 * DAY, end=WHOLE)
    older = signer("Cloud publisher", root, key=key, begin=NOW - 30 * DAY, end=ENDS.get(situation, WHOLE))
    newer = signer("Cloud publisher", root, key=key, begin=NOW - DAY, end=WHOLE)
    held = (older, newer) if situation == "superseded" else (older,)
    (folder / "code.pem").write_bytes(b"".join(issued.pem for issued in (*held, root)))
    (folder / "root.pem").write_bytes(root.pem)
    asked: list[str] = []
    with Aws(folder) as aws:
        own = aws.aws.add(key, "release")
        own.state = "Disabled" if situation == "disabled" else own.state
        if situation == "no permission":
            aws.aws.allowed = OPERATIONS - {"Sign"}
        changes = {
            "macro": {"AWS_SECRET_ACCESS_KEY": "$(AWS_SECRET_ACCESS_KEY)"},
            "wrong secret": {"AWS_SECRET_ACCESS_KEY": "stale"},
            "private CA": {"REQUESTS_CA_BUNDLE": ""},
            "no network": {"HTTPS_PROXY": f"http://{NOWHERE}", "https_proxy": f"http://{NOWHERE}"},
        }
        name = "alias/relaese" if situation == "wrong alias" else ALIAS
        options: tuple[object, ...] = (
            "--key-store",
            "aws-kms",
            "--kms-key",
            name,
            "--certificate",
            folder / "code.pem",
        )
        options += ("--trust-root", folder / "root.pem", "--store", folder / "store")
        options += ("--thumbprint", thumbprint_of(older.der)) if situation == "superseded" else ()
        given = Given(options, {**aws.environment, **aws.keys, **changes.get(situation, {})})
        if situation == "nothing set":
            given = Given(("--key-store", "aws-kms"))
        yield Arranged(given, asked)
        asked += aws.aws.signed


@contextlib.contextmanager
def google_kms(folder: Path, situation: str) -> Iterator[Arranged]:
    """A project with one key, behind a company's proxy, and a service account's key file."""
    key, root = rsa_key(3072), ca("Google root", begin=NOW - 40 * DAY, end=WHOLE)
    older = signer("Cloud publisher", root, key=key, begin=NOW - 30 * DAY, end=ENDS.get(situation, WHOLE))
    newer = signer("Cloud publisher", root, key=key, begin=NOW - DAY, end=WHOLE)
    held = (older, newer) if situation == "superseded" else (older,)
    (folder / "code.pem").write_bytes(b"".join(issued.pem for issued in (*held, root)))
    (folder / "root.pem").write_bytes(root.pem)
    asked: list[str] = []
    with Google(folder) as google:
        google.google.add(key, state="DISABLED" if situation == "disabled" else "ENABLED")
        file = google.service_account(folder / "account.json")
        if situation == "wrong secret":
            google.service_account(file, rsa_key(2048))
        if situation == "no permission":
            google.google.allowed = METHODS - {"viewPublicKey"}
        named = "$(google.secureFilePath)" if situation == "macro" else str(file)
        changes = {
            "no network": {"HTTPS_PROXY": f"http://{NOWHERE}", "https_proxy": f"http://{NOWHERE}"},
            "private CA": {"REQUESTS_CA_BUNDLE": ""},
        }
        wrong = GOOGLE_KEY.replace("release", "relaese") if situation == "wrong alias" else GOOGLE_KEY
        options: tuple[object, ...] = ("--key-store", "google-cloud-kms", "--kms-key", wrong)
        options += ("--certificate", folder / "code.pem", "--trust-root", folder / "root.pem")
        options += ("--store", folder / "store")
        options += ("--thumbprint", thumbprint_of(older.der)) if situation == "superseded" else ()
        loopback = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "GOOGLE_APPLICATION_CREDENTIALS": named}
        given = Given(options, {**google.environment, **loopback, **changes.get(situation, {})})
        if situation == "nothing set":
            given = Given(("--key-store", "google-cloud-kms"))
        yield Arranged(given, asked)
        asked += google.google.signed


@contextlib.contextmanager
def signserver(folder: Path, situation: str) -> Iterator[Arranged]:
    """A server with one worker, CodeSigner, that wants a login; or a client certificate."""
    world = SignServerWorld(auth="basic", disabled=situation == "disabled", healthy=situation == "all well" or None)
    if situation == "no permission":
        world.auth, world.admitted = "certificate", frozenset()
    (folder / "signserver").mkdir()
    with SignServer(world, folder / "signserver") as server:
        older = world.issue(end=ENDS.get(situation, WHOLE))
        newer = [world.issue(begin=NOW - DAY).pem] if situation == "superseded" else []
        held = (older.pem, *newer, world.issuer.pem, world.root.pem)
        (server.folder / "code.pem").write_bytes(b"".join(held))
        changes = {
            "macro": {"SIGNSERVER_PASSWORD": "$(SIGNSERVER_PASSWORD)"},
            "wrong secret": {"SIGNSERVER_PASSWORD": "0000-stale"},
        }
        options = list(server.options[:-2] if situation == "private CA" else server.options)
        options += ["--thumbprint", thumbprint_of(older.der)] if situation == "superseded" else []
        options += ["--keypair-alias", "codesigner"] if situation == "wrong alias" else []
        options += ["--signserver-url", f"https://{NOWHERE}/signserver"] if situation == "no network" else []
        environment = {**server.environment(world.auth), **changes.get(situation, {})}
        given = Given((*options, *server.trust, "--store", folder / "store"), environment)
        if situation == "nothing set":
            given = Given(("--key-store", "signserver"))
        yield Arranged(given, world.signed)


@contextlib.contextmanager
def esigner(folder: Path, situation: str) -> Iterator[Arranged]:
    """An account with one credential, behind a company's proxy."""
    with ESigner(folder) as service:
        account = service.account
        account.add(CREDENTIAL, end=ENDS.get(situation, WHOLE))
        account.only.status = "disabled" if situation == "disabled" else "enabled"
        changes = {
            "macro": {"ESIGNER_TOTP_SECRET": "$(ESIGNER_TOTP_SECRET)"},
            "wrong secret": {"ESIGNER_PASSWORD": "0000-stale"},
            "no network": {"HTTPS_PROXY": f"http://{NOWHERE}", "https_proxy": f"http://{NOWHERE}"},
            "private CA": {"REQUESTS_CA_BUNDLE": ""},
        }
        named = ("--keypair-alias", CREDENTIAL[:-1]) if situation == "wrong alias" else ()
        options = (*service.options, *named, *service.trust, "--store", folder / "store")
        given = Given(options, {**service.environment, **changes.get(situation, {})})
        if situation == "nothing set":
            given = Given(("--key-store", "esigner"))
        asked: list[str] = []
        yield Arranged(given, asked)
        asked += [*account.signed, *map(str, account.windows)]


BY_STORE = {
    "keylocker": keylocker,
    "azure-key-vault": key_vault,
    "aws-kms": aws_kms,
    "google-cloud-kms": google_kms,
    "vault": vault,
    "signserver": signserver,
    "esigner": esigner,
}


def _version(key: rsa.RSAPrivateKey, root: Issued, **sides: object) -> Version:
    leaf = signer("Vault publisher", root, key=key, **sides)
    return Version(key, leaf.certificate)
