"""What docs/how-to/renewal.md promises: a certificate is renewed, and the same command signs with the new one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.certificates.parse import thumbprint_of
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_server import TimestampServer
from support import softhsm
from support.certificates import rsa_key
from support.digicert_one.fixture import running
from support.documentation.reading import blocks
from support.formats.peimages import build_pe
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, TENANT, Version, World
from support.pki import Issued, ca, name, signer
from support.samples import Run, kspsign_at
from support.softhsm import LIBRARY, PIN

NOW = datetime.now(UTC)
KEY = rsa_key(2048)
Opened = tuple[list[str], dict[str, str], Callable[[Issued, rsa.RSAPrivateKey], None]]
TEXTS = [block.text for block in blocks() if block.page == "docs/how-to/renewal.md" and block.language == "text"]
PAGE = dict(zip(("warning", "keylocker", "azure-key-vault", "pkcs11", "policy"), TEXTS, strict=True))
"""What the page says is printed."""
POLICY = "publisher:\n- subject: CN=Contoso Ltd, O=Contoso Ltd\n  issuer: CN=Example Code Signing CA\n"


@dataclass
class Publisher:
    """One key store that a CA fills; the command that signs stays the same throughout."""

    folder: Path
    options: list[str]
    environment: dict[str, str]
    store: str
    issuer: Issued
    put: Callable[[Issued, rsa.RSAPrivateKey], None]

    def certify(self, begin: int, end: int, *, key: rsa.RSAPrivateKey | None = None) -> str:
        """Have the CA issue a certificate, valid from and to so many days from now: its thumbprint."""
        used = key or KEY
        leaf = signer(
            name("Contoso Ltd", "Contoso Ltd"), self.issuer, key=used,
            begin=NOW + timedelta(days=begin), end=NOW + timedelta(days=end, hours=1),
        )  # fmt: skip
        self.put(leaf, used)
        return thumbprint_of(leaf.der)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The options that a thumbprint alone needs too."""
        return ("--pkcs11-pin-env", "TOKEN_PIN") if self.store == "pkcs11" else ()

    def run(self, *options: str) -> Run:
        """The same command as ever, over one new file and those of earlier runs."""
        (self.folder / f"{len([*self.folder.glob('*.exe')])}.exe").write_bytes(build_pe(overlay=str(id(self)).encode()))
        chosen = options or tuple(self.options)
        return kspsign_at(
            "run", "*.exe", "--skip-signed", "--policy", "policy.yml", "--config", "kspsign.yml", *chosen,
            folder=self.folder, environment=self.environment,
        )  # fmt: skip


@pytest.fixture(params=["keylocker", "azure-key-vault", "pkcs11"])
def publisher(
    request: pytest.FixtureRequest, tmp_path: Path, authority: EmbeddedAuthority, timestamp_server: TimestampServer
) -> Iterator[Publisher]:
    """An empty key store, and a folder with policy, trusted roots and settings that never change."""
    work, files = tmp_path / "work", tmp_path / "files"
    work.mkdir()
    files.mkdir()
    root = ca("Example Code Signing Root", begin=NOW - timedelta(days=900), end=NOW + timedelta(days=900))
    issuer = ca("Example Code Signing CA", root, begin=NOW - timedelta(days=800), end=NOW + timedelta(days=800))
    roots = root.pem + authority.root.certificate.public_bytes(Encoding.PEM)
    (work / "roots.pem").write_bytes(roots)
    (work / "policy.yml").write_text(POLICY, encoding="utf-8")
    settings = {"timestamp_url": [timestamp_server.url], "trust_root": ["roots.pem"], "store": str(tmp_path / "store")}
    (work / "kspsign.yml").write_text(json.dumps(settings), encoding="utf-8")
    with ExitStack() as stack:
        options, environment, put = OPENED[request.param](files, stack, (issuer, root))
        yield Publisher(work, options, environment, request.param, issuer, put)


def keylocker(files: Path, stack: ExitStack, chain: tuple[Issued, ...]) -> Opened:
    host = stack.enter_context(running(files))
    pair = host.world.add_keypair("release", KEY)

    def put(leaf: Issued, _key: rsa.RSAPrivateKey) -> None:
        host.world.add_certificate(pair, f"release {len(host.world.certificates)}", leaf=leaf, chain=chain)

    return ["--key-store", "keylocker", "--keypair-alias", "release"], host.environment, put


def azure_key_vault(files: Path, stack: ExitStack, chain: tuple[Issued, ...]) -> Opened:
    world = World({"contoso.vault.azure.net": {"release": []}})
    service = stack.enter_context(Azure(world, files))
    versions = world.vaults["contoso.vault.azure.net"]["release"]

    def put(leaf: Issued, key: rsa.RSAPrivateKey) -> None:
        versions.append(Version(key, leaf.certificate, tuple(issued.certificate for issued in chain)))

    variables = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "no_proxy": "127.0.0.1"}
    identifier = "https://contoso.vault.azure.net/certificates/release"
    options = ["--key-store", "azure-key-vault", "--key-identifier", identifier]
    return options, {**service.environment, **variables}, put


def pkcs11(files: Path, _stack: ExitStack, chain: tuple[Issued, ...]) -> Opened:
    token = softhsm.create(files / "token", "release signing")
    token.import_key(KEY, "release", "01")
    for number, issuer in enumerate(chain):
        token.import_certificate(issuer, f"issuer {number}")
    options = ["--key-store", "pkcs11", "--pkcs11-module", str(LIBRARY), "--keypair-alias", "release"]
    environment = {**token.environment, "TOKEN_PIN": PIN}
    return (
        [*options, "--pkcs11-pin-env", "TOKEN_PIN"], environment,
        lambda leaf, _key: token.import_certificate(leaf, "release", "01"),
    )  # fmt: skip


OPENED: dict[str, Callable[[Path, ExitStack, tuple[Issued, ...]], Opened]] = {
    "keylocker": keylocker,
    "azure-key-vault": azure_key_vault,
    "pkcs11": pkcs11,
}


def masked(text: str) -> list[str]:
    """The lines of a text, without what differs between the page's run and this one."""
    text = re.sub(r"\b[0-9A-F]{40}\b", "THUMBPRINT", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE", text)
    return re.sub(r"in \d+ days", "in N days", text).splitlines()


def test_a_renewed_certificate_signs_without_a_change(publisher: Publisher) -> None:
    old = publisher.certify(-340, 20)
    first = publisher.run()
    assert (first.code, first.report["certificate"]["thumbprint"]) == (0, old), first.text
    (warning,) = [warning for warning in first.report["warnings"] if warning["code"] == "CERTIFICATE_ENDS"]
    assert "in 20 days" in warning["message"]
    new = publisher.certify(-1, 400, key=rsa_key(3072) if publisher.store == "azure-key-vault" else KEY)
    second = publisher.run()
    assert (second.code, second.report["certificate"]["thumbprint"]) == (0, new), second.text
    assert [file["outcome"] for file in second.report["files"]] == ["skipped", "signed"]
    assert second.report["warnings"] == []
    assert set(masked(PAGE["warning"])) <= set(masked(first.text))
    assert set(masked(PAGE[publisher.store])) <= set(masked(second.text))


def test_a_thumbprint_keeps_the_certificate_and_says_so(publisher: Publisher) -> None:
    old = publisher.certify(-340, 20)
    assert publisher.run().code == 0
    publisher.certify(-1, 400)
    assert publisher.run().code == 0
    kept = publisher.run("--thumbprint", old, *publisher.secrets)
    assert (kept.code, kept.report["certificate"]["thumbprint"]) == (0, old), kept.text
    codes = [warning["code"] for warning in kept.report["warnings"]]
    assert {"CERTIFICATE_SUPERSEDED", "CERTIFICATE_ENDS"} <= set(codes)


def test_an_expired_certificate_ends_the_run_before_a_signature(publisher: Publisher) -> None:
    publisher.certify(-340, -2)
    run = publisher.run()
    assert (run.code, run.report["error"]["code"]) == (5, "CERTIFICATE_NOT_VALID"), run.text
    assert run.report["totals"]["signatures_used"] == 0


def test_a_policy_by_thumbprint_does_not_outlive_it(publisher: Publisher) -> None:
    old = publisher.certify(-340, 20)
    (publisher.folder / "policy.yml").write_text(f"publisher:\n- thumbprint: {old}\n", encoding="utf-8")
    assert publisher.run().code == 0
    publisher.certify(-1, 400)
    run = publisher.run()
    assert (run.code, run.report["totals"]["signatures_used"]) == (5, 0), run.text
    assert set(masked(PAGE["policy"])) <= set(masked(run.text))
