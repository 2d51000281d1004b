"""Certificates of every shape, right and wrong, through each key store: told before a signature is spent, or signed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from support import softhsm
from support.digicert_one.fixture import running
from support.formats.peimages import build_pe
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, TENANT, Version, World
from support.pki import Issued, ca, extended, issue, key_usage, new_key, signer
from support.samples import Run, kspsign, kspsign_process, osslsigncode_verify

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SIDES: dict[str, Any] = {"begin": NOW - 10 * DAY, "end": NOW + 900 * DAY}
ROOT, OLD = ca("Today's root", **SIDES), ca("Old root", **SIDES)
MIDDLE = ca("Intermediate", ROOT, **SIDES)
CROSS = ca("Today's root", OLD, key=ROOT.key, **SIDES)
STRANGER = ca("Stranger", **SIDES)
VAULT = "unit-tests.vault.azure.net"


@dataclass(frozen=True)
class Holder:
    """A key store: `hold` puts certificates for one key there, each with the others that stand beside it."""

    hold: Callable[[list[Issued], list[Issued]], None]
    options: tuple[str, ...]
    environment: dict[str, str]
    signatures: Callable[[], int]
    withdraw: Callable[[], None] = lambda: None
    start: Callable[..., Run] = kspsign


@contextlib.contextmanager
def keylocker(folder: Path) -> Iterator[Holder]:
    with running(folder) as host:
        world = host.world

        def hold(leaves: list[Issued], others: list[Issued]) -> None:
            pair = world.add_keypair("release", leaves[0].key)  # type: ignore[arg-type]  # an EC key
            for number, leaf in enumerate(leaves):
                world.add_certificate(pair, f"code {number}", leaf=leaf, chain=others)

        def withdraw() -> None:
            world.certificates[0].status = "REVOKED"

        options = ("--key-store", "keylocker", "--keypair-alias", "release")
        yield Holder(hold, options, host.environment, lambda: len(host.service.record.of("POST")), withdraw)


@contextlib.contextmanager
def azure_key_vault(folder: Path) -> Iterator[Holder]:
    world = World({VAULT: {"release": []}})
    with Azure(world, folder) as azure:

        def hold(leaves: list[Issued], others: list[Issued]) -> None:
            chain = tuple(issued.certificate for issued in others)
            world.vaults[VAULT]["release"] = [
                Version(leaf.key, leaf.certificate, chain)  # type: ignore[arg-type]  # an EC key
                for leaf in leaves
            ]

        named = ("--key-store", "azure-key-vault", "--key-identifier", f"https://{VAULT}/certificates/release")
        who = ("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT)
        yield Holder(hold, (*named, *who), azure.environment, lambda: len(azure.record.of(VAULT, "/sign")))


@contextlib.contextmanager
def pkcs11(folder: Path) -> Iterator[Holder]:
    token = softhsm.create(folder / "hsm")
    calls = folder / "calls.txt"

    def hold(leaves: list[Issued], others: list[Issued]) -> None:
        token.import_key(leaves[0].key, "release", "01")
        for leaf in leaves:
            token.import_certificate(leaf, "release", "01")
        for number, other in enumerate(others):
            token.import_certificate(other, f"other {number}")

    def signatures() -> int:
        return calls.read_text("latin-1").count(": C_Sign\n") if calls.exists() else 0

    # The spy writes down what it saw at the end of the process.
    yield Holder(hold, token.options("release", softhsm.SPY), token.spied(calls), signatures, start=kspsign_process)


@pytest.fixture(params=[keylocker, azure_key_vault, pkcs11])
def holder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Holder]:
    folder = tmp_path / "holder"
    folder.mkdir()
    with request.param(folder) as holder:
        for name, value in holder.environment.items():
            monkeypatch.setenv(name, value)
        yield holder


def leaf(begin: int = -5, end: int = 300, **sides: Any) -> Issued:
    return signer("Publisher", MIDDLE, begin=NOW + begin * DAY, end=NOW + end * DAY, **sides)


def run(holder: Holder, folder: Path, *more: object, root: Issued = ROOT) -> Run:
    (folder / "root.pem").write_bytes(root.pem)
    (folder / "image.dll").write_bytes(build_pe())
    return holder.start(
        *("run", folder / "image.dll", "--no-timestamp", "--trust-root", folder / "root.pem"),
        *("--store", folder / "store", *(more or holder.options)),
        folder=folder,
    )


def for_tls() -> Issued:
    usages = (extended(ExtendedKeyUsageOID.SERVER_AUTH), key_usage("digital_signature"))
    return issue("Publisher", MIDDLE, extensions=usages, **SIDES)


@pytest.mark.parametrize(
    ("make", "others", "code"),
    [
        (lambda: leaf(-20, -1), [MIDDLE], "CERTIFICATE_NOT_VALID"),
        (lambda: leaf(1, 20), [MIDDLE], "CERTIFICATE_NOT_VALID"),
        (for_tls, [MIDDLE], "CERT_E_WRONG_USAGE"),
        (leaf, [], "CERT_E_CHAINING"),
        (leaf, [ROOT, STRANGER], "CERT_E_CHAINING"),
        (lambda: signer("Publisher", STRANGER, **SIDES), [STRANGER], "CERT_E_UNTRUSTEDROOT"),
    ],
    ids=["expired", "not yet valid", "wrong usage", "no chain", "gap in the chain", "untrusted"],
)
def test_what_can_not_give_a_good_signature_costs_none(
    make: Callable[[], Issued], others: list[Issued], code: str, holder: Holder, tmp_path: Path
) -> None:
    holder.hold([make()], others)
    done = run(holder, tmp_path)
    assert (done.code, done.report["error"]["code"]) == (5, code), done.text
    assert done.report["error"]["remedy"]
    assert holder.signatures() == 0
    assert (tmp_path / "image.dll").read_bytes() == build_pe()


@pytest.mark.parametrize(
    ("others", "root"),
    [
        ([ROOT, MIDDLE], ROOT),
        ([STRANGER, OLD, ROOT, MIDDLE], ROOT),
        ([ROOT, CROSS, MIDDLE], ROOT),
        ([ROOT, CROSS, MIDDLE], OLD),
        ([CROSS, OLD, MIDDLE, ROOT], OLD),
    ],
    ids=["out of order", "with strangers", "cross-signed", "cross-signed, old root", "cross-signed, mixed"],
)
def test_a_chain_in_any_order_signs_and_the_peer_accepts_it(
    others: list[Issued], root: Issued, holder: Holder, tmp_path: Path
) -> None:
    holder.hold([leaf()], others)
    done = run(holder, tmp_path, root=root)
    assert done.code == 0, done.text
    assert holder.signatures() == 1
    peer = osslsigncode_verify(tmp_path / "image.dll", tmp_path / "root.pem")
    assert peer.accepted, peer.text


def test_the_newest_valid_of_several_is_taken_and_shown_with_its_near_end(holder: Holder, tmp_path: Path) -> None:
    key = new_key()
    newest = leaf(-40, 9, key=key)
    holder.hold([leaf(-60, -1, key=key), leaf(-50, 300, key=key), newest, leaf(2, 300, key=key)], [MIDDLE])
    done = run(holder, tmp_path)
    assert done.code == 0, done.text
    assert done.report["certificate"]["serial"].lstrip("0") == f"{newest.certificate.serial_number:X}"
    assert "has 4 certificates" in done.text
    assert "in 8 days" in done.text
    assert "Renew it in time" in done.text


@pytest.mark.parametrize("holder", [keylocker], indirect=True)
def test_a_certificate_revoked_since_certsync_costs_no_signature(holder: Holder, tmp_path: Path) -> None:
    holder.hold([leaf()], [MIDDLE])
    first = run(holder, tmp_path)
    assert first.code == 0, first.text
    holder.withdraw()
    for more in (holder.options, ("--thumbprint", first.report["certificate"]["thumbprint"])):
        done = run(holder, tmp_path, *more)
        assert (done.code, done.report["error"]["code"]) == (5, "CERTIFICATE_REVOKED"), done.text
    assert holder.signatures() == 1
