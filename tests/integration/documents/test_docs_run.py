"""The shell blocks of the documentation, run as they stand, in a folder with files to sign, beside a stand-in.

What differs from a reader's machine stands in a configuration file, which each command is told to read: timestamp
server, trusted roots, store.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_server import TimestampServer
from support import softhsm
from support.artifact_signing.server import ArtifactSigning
from support.artifact_signing.world import ACCOUNT, ENDPOINT, PROFILE
from support.aws.server import Aws
from support.aws.world import ACCOUNT as AWS_ACCOUNT
from support.certificates import PASSWORD, rsa_key, signing_file
from support.digicert_one.fixture import running
from support.documentation.reading import SHELL, Block, blocks, in_line, shell_lines
from support.esigner.server import ESigner
from support.esigner.world import CREDENTIAL as ESIGNER_CREDENTIAL
from support.formats.navx_samples import build_navx
from support.formats.nuget_samples import package
from support.formats.peimages import build_pe
from support.google.server import Google
from support.google.world import KEY as GOOGLE_KEY
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, TENANT, Version, World
from support.pki import ca, signer
from support.samples import kspsign, osslsigncode_verify
from support.signserver.server import SignServer
from support.signserver.world import SignServerWorld
from support.softhsm import LIBRARY, PIN
from support.vault_transit.server import TransitServer
from support.vault_transit.world import VaultWorld

NOW = datetime.now(UTC)
CONFIGURED = """
kspsign() {
  case $1 in
    run|certsync|sign|timestamp|verify|doctor|merge) command kspsign "$@" --config kspsign.yml ;;
    digest|attach|remove|extract) command kspsign "$@" --config kspsign.yml ;;
    *) command kspsign "$@" ;;
  esac
}
"""
VALID: dict[str, Any] = {"begin": NOW - timedelta(days=10), "end": NOW + timedelta(days=300)}
STORES = {
    "README.md": "pkcs12",
    "docs/how-to/key-stores.md": "pkcs12",
    "docs/getting-started/business-central.md": "pkcs12",
    "docs/getting-started/command.md": "command",
    "docs/how-to/keylocker.md": "keylocker",
    "docs/getting-started/keylocker-linux.md": "keylocker",
    "docs/getting-started/pkcs12.md": "pkcs12",
    "docs/getting-started/try-it.md": "embedded",
    "docs/how-to/azure-artifact-signing.md": "azure-artifact-signing",
    "docs/how-to/azure-key-vault.md": "azure-key-vault",
    "docs/how-to/aws-kms.md": "aws-kms",
    "docs/how-to/google-cloud-kms.md": "google-cloud-kms",
    "docs/how-to/pkcs11.md": "pkcs11",
    "docs/how-to/air-gap.md": "pkcs11",
    "docs/how-to/vault.md": "vault",
    "docs/how-to/signserver.md": "signserver",
    "docs/how-to/esigner.md": "esigner",
    "docs/reference/command-key-store.md": "command",
    "docs/migrate/artifact-signing.md": "azure-artifact-signing",
    "docs/migrate/azuresigntool.md": "azure-key-vault",
    "docs/migrate/digicert.md": "keylocker",
    "docs/migrate/dotnet-sign.md": "azure-key-vault",
    "docs/migrate/jsign.md": "keylocker",
    "docs/migrate/osslsigncode.md": "pkcs11",
}
"""Pages whose commands sign on any system, and the key store that they refer to."""


@dataclass
class Place:
    """Where a block is run: its folder, its variables, and the placeholders that a reader replaces."""

    folder: Path
    roots: list[bytes]
    environment: dict[str, str] = field(default_factory=dict)
    placeholders: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, bytes] = field(default_factory=dict)
    """Files that each block finds as they are here, whatever the one before did to them."""

    def run(self, block: Block) -> None:
        """Run the block's lines in one bash that ends at the first failure."""
        for name, content in self.fresh.items():
            (self.folder / name).write_bytes(content)
        lines = [line for line in shell_lines(block) if not line.startswith("pip install")]
        # An unsigned file is shown, and its verdict is no.
        script = "\n".join(f"{line} || [ $? = 2 ]" if line.startswith("kspsign inspect") else line for line in lines)
        for name, value in self.placeholders.items():
            script = script.replace(name, value)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", CONFIGURED + script],
            cwd=self.folder, env={**os.environ, **self.environment, "PATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block.place}\n{script}\n{done.stdout}"


def runnable() -> list[Block]:
    """What signs on any system: SignTool's commands are run in the Windows lab."""
    return [
        block
        for block in blocks()
        if block.page in STORES
        and block.language in SHELL
        and "--engine signtool" not in block.text
        and any(True for line in shell_lines(block) for _command in in_line(line))
    ]


@pytest.fixture
def place(tmp_path: Path, authority: EmbeddedAuthority) -> Place:
    """A folder with programs to sign, a third party's among them."""
    for name in ("app.exe", "core.dll", "vendor/other.dll"):
        path = tmp_path / "work" / "dist" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(build_pe(overlay=name.encode()))
    (tmp_path / "work" / "setup.exe").write_bytes(build_pe())
    (tmp_path / "work" / "Contoso.app").write_bytes(build_navx())
    return Place(tmp_path / "work", [authority.root.certificate.public_bytes(Encoding.PEM)])


def save_example(place: Place) -> None:
    """Save the Python program of the page as the pages say."""
    (program,) = [block.text for block in blocks() if block.language == "python" and "sign.py FILE" in block.text]
    for name in ("sign.py", "signing/sign.py"):
        (place.folder / name).write_text(program, encoding="utf-8")


def prepare_air_gap(place: Place, chain: bytes) -> None:
    """A package, the certificate that will sign, and a program that is signed already."""
    (place.folder / "dist" / "Contoso.1.0.0.nupkg").write_bytes(package())
    (place.folder / "publisher.pem").write_bytes(chain)
    place.placeholders["--keypair-alias release "] = "--keypair-alias release-2026 "
    key = ("--key-store", "embedded", "--store", place.folder.parent / "embedded")
    assert kspsign("sign", place.folder / "setup.exe", *key, folder=place.folder.parent).code == 0
    place.roots.append((place.folder.parent / "embedded" / "embedded" / "root.pem").read_bytes())
    place.fresh["setup.exe"] = (place.folder / "setup.exe").read_bytes()


def prepare_keylocker(place: Place, files: Path, stack: ExitStack) -> None:
    """Start KeyLocker with the keypairs of the pages."""
    host = stack.enter_context(running(files))
    for alias in ("release", "release-key"):
        host.world.add_certificate(host.world.add_keypair(alias), f"{alias} certificate")
    place.roots.append(host.world.root.pem)
    place.environment |= host.environment


def prepare_vault(place: Place, stack: ExitStack) -> None:
    """Start Vault with the key of the page."""
    (place.folder / "vault").mkdir()
    server = stack.enter_context(TransitServer(VaultWorld(), place.folder / "vault"))
    place.roots.append(server.world.root.pem)
    place.environment |= {**server.environment, "REQUESTS_CA_BUNDLE": str(server.ca_file)}
    place.placeholders["https://vault.example:8200"] = server.url


def prepare_file(place: Place) -> None:
    """A PKCS#12 file, by the names that pages have for it, and a folder for its root."""
    made = signing_file(place.folder)
    made.path.rename(place.folder / "code.p12")
    shutil.copyfile(place.folder / "code.p12", place.folder / "codesign.pfx")
    (place.folder / "signing").mkdir()
    place.roots.append(made.root.read_bytes())
    place.environment["P12_PASSWORD"] = PASSWORD
    (place.folder / "dist" / "vendor" / "other.dll").unlink()


def prepare_artifact_signing(place: Place, service: ArtifactSigning) -> None:
    """An account with a profile, and the metadata file of SignTool's dlib."""
    place.roots.append(service.signing.root.pem)
    place.environment |= service.environment
    place.environment |= {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "no_proxy": "127.0.0.1"}
    place.placeholders |= {"ACCOUNT": ACCOUNT, "PROFILE": PROFILE}
    metadata = {"Endpoint": ENDPOINT, "CodeSigningAccountName": ACCOUNT, "CertificateProfileName": PROFILE}
    (place.folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


def prepare_signserver(place: Place, server: SignServer) -> None:
    """A worker that wants a login, and its certificate in a file."""
    place.roots.append(server.world.root.pem)
    shutil.copyfile(server.folder / "code.pem", place.folder / "code.pem")
    place.environment |= {**server.environment("basic"), "REQUESTS_CA_BUNDLE": str(server.access.ca_file)}
    place.placeholders["https://signserver.example/signserver"] = server.url


def prepare_esigner(place: Place, service: ESigner) -> None:
    """An account with one credential."""
    place.roots.append(service.account.root.pem)
    place.environment |= {**service.environment, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    place.placeholders["CREDENTIAL-ID"] = ESIGNER_CREDENTIAL


def prepare_aws(place: Place, aws: Aws) -> None:
    """A key with its certificate, and an access key."""
    _certificate, root = aws.publish(place.folder, rsa_key(2048), **VALID)
    place.roots.append(root.read_bytes())
    place.environment |= {**aws.keys, "AWS_ENDPOINT_URL_KMS": aws.endpoint}
    place.placeholders |= {"ACCOUNT": AWS_ACCOUNT, "key/ID": f"key/{aws.aws.keys[0].id}"}


def prepare_google(place: Place, google: Google) -> None:
    """A key with its certificate, and a machine with a service account."""
    _version, _certificate, root = google.publish(place.folder, rsa_key(2048), **VALID)
    place.roots.append(root.read_bytes())
    place.environment |= {**google.environment, **google.machine, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    place.placeholders |= {"projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY": GOOGLE_KEY}


SERVICES: dict[str, Callable[[Place, Path, ExitStack], None]] = {
    "aws-kms": lambda place, files, stack: prepare_aws(place, stack.enter_context(Aws(files))),
    "google-cloud-kms": lambda place, files, stack: prepare_google(place, stack.enter_context(Google(files))),
    "signserver": lambda place, files, stack: prepare_signserver(
        place, stack.enter_context(SignServer(SignServerWorld(auth="basic"), files))
    ),
    "esigner": lambda place, files, stack: prepare_esigner(place, stack.enter_context(ESigner(files))),
}


def prepare(place: Place, store: str, files: Path, stack: ExitStack, authority: EmbeddedAuthority) -> None:
    """Start the key store's stand-in, and fill in what a reader would."""
    files.mkdir()
    if store == "embedded":
        return
    if store in {"pkcs12", "command"}:
        prepare_file(place)
        save_example(place)
        # The timestamps here are of another root than the page's certificate.
        place.placeholders["--trust-root code.pem"] = "--trust-root code.pem --trust-root roots.pem"
    elif store == "keylocker":
        prepare_keylocker(place, files, stack)
    elif store == "vault":
        prepare_vault(place, stack)
    elif store == "azure-artifact-signing":
        prepare_artifact_signing(place, stack.enter_context(ArtifactSigning(files, authority)))
    elif store in SERVICES:
        SERVICES[store](place, files, stack)
    else:
        root, key = ca("Documentation root", key=rsa_key(2048), **VALID), rsa_key(2048)
        leaf = signer("Documentation publisher", root, key=key, **VALID)
        place.roots.append(root.pem)
        place.placeholders["THUMBPRINT"] = sha1(leaf.der, usedforsecurity=False).hexdigest()
        if store == "pkcs11":
            prepare_air_gap(place, leaf.pem + root.pem)
            token = softhsm.create(files / "token", "release signing")
            token.import_key(key, "release-2026", "01")
            token.import_certificate(leaf, "release-2026", "01")
            place.placeholders["/usr/lib/vendor/libtoken.so"] = str(LIBRARY)
            place.environment |= token.environment | {"TOKEN_PIN": PIN}
        else:
            world = World({"contoso.vault.azure.net": {"release": [Version(key, leaf.certificate)]}})
            place.environment |= stack.enter_context(Azure(world, files)).environment
            place.environment |= {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "no_proxy": "127.0.0.1"}
            place.placeholders |= {"VAULT": "contoso", "NAME": "release"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("page", sorted(STORES))
def test_the_commands_of_a_page_do_what_it_says(
    page: str,
    place: Place,
    stack: ExitStack,
    tmp_path: Path,
    authority: EmbeddedAuthority,
    timestamp_server: TimestampServer,
) -> None:
    prepare(place, STORES[page], tmp_path / "files", stack, authority)
    (place.folder / "roots.pem").write_bytes(b"".join(place.roots))
    if (place.folder / "signing").is_dir():
        shutil.copyfile(place.folder / "roots.pem", place.folder / "signing" / "root.pem")
    settings: dict[str, Any] = {"store": str(tmp_path / "store")}
    place.placeholders["~/.local/share/kspsign/store"] = settings["store"]
    if STORES[page] != "embedded":  # which brings its own
        settings |= {"timestamp_url": [timestamp_server.url], "trust_root": ["roots.pem"]}
    (place.folder / "kspsign.yml").write_text(json.dumps(settings), encoding="utf-8")
    found = [block for block in runnable() if block.page == page]
    assert found
    for block in found:
        place.run(block)
    if not any("kspsign run" in block.text or "kspsign sign" in block.text for block in found):
        return
    if STORES[page] == "embedded":
        shutil.copyfile(tmp_path / "store" / "embedded" / "root.pem", place.folder / "roots.pem")
    signed = place.folder / "dist" / ("core.dll" if page == "README.md" else "app.exe")
    assert osslsigncode_verify(signed, place.folder / "roots.pem").accepted
