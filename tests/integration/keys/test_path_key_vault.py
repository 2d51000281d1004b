"""Key store azure-key-vault against a loopback Azure, through Microsoft's own clients and a company's proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID

from support.certificates import rsa_key
from support.formats.peimages import build_pe, digest
from support.key_vault.answers import LOGIN, SOVEREIGN_LOGIN, Request, Response, error
from support.key_vault.server import Azure
from support.key_vault.world import ACCESS_TOKEN, CLIENT, CONNECTION, EVERYTHING, TENANT, SigningKey, Version, World
from support.pki import Issued, ca, signer
from support.samples import Run, assert_found_in_log, kspsign_at, osslsigncode_verify

NOW = datetime.now(UTC)
BEGIN, END = NOW - timedelta(days=10), NOW + timedelta(days=300)
VAULT, HSM = "unit-tests.vault.azure.net", "unit-tests.managedhsm.azure.net"
ISSUER_URL = "http://ca.example/intermediate.cer"
ROOT = ca("Vault root", begin=BEGIN, end=END)
MIDDLE = ca("Vault intermediate", ROOT, begin=BEGIN, end=END)
AIA = x509.AuthorityInformationAccess(
    [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(ISSUER_URL))]
)
KEYS: dict[str, SigningKey] = {
    "rsa": rsa_key(3072),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
}


def held(name: str, *, chain: tuple[Issued, ...] = (MIDDLE,), days: int = 0, **sides: Any) -> Version:
    leaf = signer(
        f"{name} publisher", MIDDLE, (AIA, False), key=KEYS[name], begin=BEGIN + timedelta(days=days), end=END
    )
    return Version(KEYS[name], leaf.certificate, tuple(issued.certificate for issued in chain), **sides)


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[Azure]:
    folder = tmp_path / "azure"
    folder.mkdir()
    world = World({VAULT: {name: [held(name)] for name in KEYS}, HSM: {"rsa": [Version(KEYS["rsa"])]}})
    (folder / "root.pem").write_bytes(ROOT.pem)
    with Azure(world, folder) as running:
        yield running


def sign(azure: Azure, folder: Path, url: str, *more: object, command: str = "run", pipeline: bool = False) -> Run:
    who: tuple[str, ...] = ("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT)
    who += ("--azure-connection-id", CONNECTION) if pipeline else ()
    return kspsign_at(
        *(command, "*.dll", "--key-store", "azure-key-vault", "--key-identifier", url, *who),
        *("--no-timestamp", "--trust-root", folder / "azure" / "root.pem", "--store", folder / "store", *more),
        folder=folder,
        environment=azure.pipeline_environment if pipeline else azure.environment,
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.dll"
    path.write_bytes(build_pe())
    return path


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("rsa", "sha256"),
        ("rsa", "sha384"),
        ("rsa", "sha512"),
        ("p256", "sha256"),
        ("p384", "sha384"),
        ("p521", "sha512"),
    ],
)
def test_the_peer_accepts_it(name: str, algorithm: str, azure: Azure, image: Path) -> None:
    run = sign(azure, image.parent, f"https://{VAULT}/certificates/{name}", "--digest", algorithm)
    assert run.code == 0, run.text
    peer = osslsigncode_verify(image, image.parent / "azure" / "root.pem")
    assert peer.accepted, peer.text
    assert peer.calculated_digests == [digest(image.read_bytes(), algorithm)]


def test_one_sign_in_and_few_connections_for_many_files(azure: Azure, image: Path) -> None:
    for number in range(30):
        (image.parent / f"{number}.dll").write_bytes(image.read_bytes() + number.to_bytes(8))
    run = sign(azure, image.parent, f"https://{VAULT}/keys/rsa", "--jobs", "4", "--verbose")
    assert run.code == 0, run.text
    assert len(azure.record.of(VAULT, "/sign")) == run.report["totals"]["signatures_used"] == 31
    made = [request for request in azure.record.of(VAULT, "/sign") if "authorization" in request.headers]
    assert_found_in_log(run, [request.headers["x-ms-client-request-id"] for request in made])
    unauthorised = [request for request in azure.record.of(VAULT) if "authorization" not in request.headers]
    assert len(unauthorised) <= 2  # one for each of the two clients, of certificates and of keys
    assert len(azure.record.of("microsoftonline.com", "/token")) == 1  # certsync's, and signing goes on with it
    assert azure.record.tunnels.count(VAULT) <= 1 + 4


def test_the_service_connection_signs_in(azure: Azure, image: Path) -> None:
    run = sign(azure, image.parent, f"https://{VAULT}/keys/rsa", "--azure-credential", "pipelines", pipeline=True)
    assert run.code == 0, run.text
    assert azure.record.of("dev.azure.com", "/oidctoken")


@pytest.mark.parametrize(
    ("changes", "options", "code", "words"),
    [
        ({"SYSTEM_OIDCREQUESTURI": ""}, (), "CONFIGURATION", "SYSTEM_OIDCREQUESTURI"),
        ({"SYSTEM_ACCESSTOKEN": "stale"}, (), "AZURE_SIGN_IN", "dev.azure.com returned no token"),
        ({"SYSTEM_ACCESSTOKEN": ""}, (), "CONFIGURATION", "SYSTEM_ACCESSTOKEN: $(...)"),
        ({}, ("--azure-connection-id", "another"), "AZURE_SIGN_IN", "this pipeline may use it"),
        ({}, ("--azure-client-id", "another"), "AZURE_SIGN_IN", "AADSTS"),
    ],
    ids=["no endpoint", "stale token", "no token", "another connection", "another client"],
)
def test_a_federation_that_fails_is_told(
    changes: dict[str, str], options: tuple[str, ...], code: str, words: str, azure: Azure, image: Path
) -> None:
    who = ("--azure-credential", "pipelines", "--azure-tenant-id", TENANT, "--azure-client-id", CLIENT)
    run = kspsign_at(
        *("run", image, "--key-store", "azure-key-vault", "--key-identifier", f"https://{VAULT}/keys/rsa", *who),
        *("--azure-connection-id", CONNECTION, *options, "--store", image.parent / "store"),
        folder=image.parent,
        environment={**azure.pipeline_environment, **changes},
    )
    assert run.report.get("error", {}).get("code", "CONFIGURATION") == code, run.text
    assert words in run.text
    assert "Traceback" not in run.text
    assert ACCESS_TOKEN not in run.text


def test_a_managed_hsm_key_with_a_certificate_file(azure: Azure, image: Path) -> None:
    file = image.parent / "chain.pem"
    file.write_bytes(signer("HSM publisher", MIDDLE, key=KEYS["rsa"], begin=BEGIN, end=END).pem + MIDDLE.pem)
    run = sign(azure, image.parent, f"https://{HSM}/keys/rsa", "--certificate", file)
    assert run.code == 0, run.text


def test_the_thumbprint_alone_suffices_later(azure: Azure, image: Path) -> None:
    synced = kspsign_at(
        *("run", image, "--key-store", "azure-key-vault", "--key-identifier", f"https://{VAULT}/keys/p256"),
        *("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT, "--no-timestamp"),
        *("--trust-root", image.parent / "azure" / "root.pem", "--store", image.parent / "store"),
        folder=image.parent,
        environment=azure.environment,
    )
    assert synced.code == 0, synced.text
    image.write_bytes(build_pe())
    later = kspsign_at(
        *("sign", image, "--thumbprint", synced.report["certificate"]["thumbprint"], "--store", image.parent / "store"),
        *("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT, "--no-timestamp"),
        *("--trust-root", image.parent / "azure" / "root.pem"),
        folder=image.parent,
        environment=azure.environment,
    )
    assert later.code == 0, later.text


def test_the_newest_valid_version_signs_and_the_choice_is_shown(azure: Azure, image: Path) -> None:
    azure.world.vaults[VAULT]["rsa"] = [
        held("rsa", days=1),
        held("rsa", days=5),
        held("rsa", days=6, enabled=False),
        held("rsa", days=20),
    ]
    run = sign(azure, image.parent, f"https://{VAULT}/certificates/rsa")
    assert run.code == 0, run.text
    chosen = azure.world.vaults[VAULT]["rsa"][1]
    assert chosen.version in azure.record.of(VAULT, "/sign")[0].path
    assert "3 certificates" in run.text


def test_a_named_version_signs_and_the_newer_one_is_told(azure: Azure, image: Path) -> None:
    older, newer = held("rsa", days=1), held("rsa", days=5)
    azure.world.vaults[VAULT]["rsa"] = [older, newer]
    for version, superseded in ((older, True), (newer, False)):
        image.write_bytes(build_pe())
        run = sign(azure, image.parent, f"https://{VAULT}/certificates/rsa/{version.version}")
        assert run.code == 0, run.text
        assert version.version in azure.record.of(VAULT, "/sign")[-1].path
        assert ("is superseded by" in run.text) == superseded


def test_missing_issuers_come_from_the_ca_once(azure: Azure, image: Path) -> None:
    azure.world.vaults[VAULT]["rsa"] = [held("rsa", chain=())]
    azure.world.files[ISSUER_URL] = MIDDLE.der
    assert sign(azure, image.parent, f"https://{VAULT}/keys/rsa").code == 0
    image.write_bytes(build_pe())
    assert sign(azure, image.parent, f"https://{VAULT}/keys/rsa").code == 0
    assert len(azure.record.of("ca.example")) == 1


def test_an_issuer_that_the_ca_does_not_give_stops_before_a_signature(azure: Azure, image: Path) -> None:
    azure.world.vaults[VAULT]["rsa"] = [held("rsa", chain=())]
    run = sign(azure, image.parent, f"https://{VAULT}/keys/rsa")
    assert run.report["error"]["code"] == "ISSUER_UNAVAILABLE"
    assert azure.record.of(VAULT, "/sign") == []
    without = sign(azure, image.parent, f"https://{VAULT}/keys/rsa", "--no-aia")
    assert without.report["error"]["code"] != "ISSUER_UNAVAILABLE"


def test_an_exportable_key_never_leaves_the_vault(azure: Azure, image: Path) -> None:
    azure.world.vaults[VAULT]["rsa"] = [held("rsa", exportable=True)]
    azure.world.files[ISSUER_URL] = MIDDLE.der
    assert sign(azure, image.parent, f"https://{VAULT}/keys/rsa").code == 0
    assert azure.record.of(VAULT, "/secrets/") == []


@pytest.mark.parametrize(
    "refusal",
    [
        Response(429, error(429, "Throttled", "slow down").content, {"Retry-After": "1"}),
        error(429, "Throttled", "slow down"),
        Response(503, error(503, "ServiceUnavailable", "later").content, {"Retry-After": "1"}),
    ],
    ids=["429-retry-after", "429", "503"],
)
def test_throttling_is_waited_out(refusal: Response, azure: Azure, image: Path) -> None:
    refused: list[Request] = []

    def throttle(request: Request) -> Response | None:
        if request.target.partition("?")[0].endswith("/sign") and len(refused) < 2:
            refused.append(request)
            return refusal
        return None

    azure.interfere = throttle
    run = sign(azure, image.parent, f"https://{VAULT}/keys/rsa")
    assert run.code == 0, run.text
    assert len(azure.record.of(VAULT, "/sign")) == 3


@pytest.mark.parametrize(
    ("answer", "code", "asked"),
    [
        (None, "SIGNATURE_MAY_BE_SPENT", 1),
        (Response(502, b"<html>Bad Gateway"), "SIGNATURE_MAY_BE_SPENT", 1),
        (error(500, "InternalError", "oops"), "KEY_VAULT_REFUSED", 0),
        (Response(429, error(429, "Throttled", "").content, {"Retry-After": "600"}), "KEY_VAULT_THROTTLED", 0),
    ],
    ids=["dropped", "gateway", "fault", "long throttling"],
)
def test_what_may_have_signed_is_counted_and_not_asked_for_again(
    answer: Response | None, code: str, asked: int, azure: Azure, image: Path
) -> None:
    before = image.read_bytes()
    if answer is None:
        azure.hang_up = lambda request: request.path.endswith("/sign")
    else:
        azure.interfere = lambda request: answer if request.path.endswith("/sign") else None
    run = sign(azure, image.parent, f"https://{VAULT}/keys/rsa")
    assert (run.code, run.error_code) == (6, code), run.text
    assert (len(azure.record.of(VAULT, "/sign")), run.report["totals"]["signatures_used"]) == (1, asked)
    assert image.read_bytes() == before


@pytest.mark.parametrize("operation", ["", "/sign"], ids=["reading", "signing"])
def test_a_token_whose_key_the_vault_has_not_learnt_is_sent_again(operation: str, azure: Azure, image: Path) -> None:
    refused: list[Request] = []

    def not_yet(request: Request) -> Response | None:
        asked = "authorization" in request.headers and request.path.endswith(operation)
        if request.host == VAULT and asked and len(refused) < 2:
            refused.append(request)
            return error(401, "Unauthorized", "AKV10046: Unable to resolve the key used for signature validation.")
        return None

    azure.interfere = not_yet
    run = sign(azure, image.parent, f"https://{VAULT}/keys/rsa")
    assert run.code == 0, run.text
    assert (len(refused), run.report["totals"]["signatures_used"]) == (2, 1)


def test_any_other_refused_sign_in_is_not_repeated(azure: Azure, image: Path) -> None:
    def refuse(request: Request) -> Response | None:
        if request.host == VAULT and "authorization" in request.headers:
            return error(401, "Unauthorized", "AKV10022: Invalid audience.")
        return None

    azure.interfere = refuse
    run = sign(azure, image.parent, f"https://{VAULT}/keys/rsa")
    assert run.code == 5, run.text
    assert run.report["error"]["code"] == "AZURE_SIGN_IN"
    assert len(azure.record.of(VAULT)) <= 4


def test_a_sovereign_clouds_vault_signs_in_where_its_cloud_does(azure: Azure, image: Path) -> None:
    azure.world.vaults["unit-tests.vault.azure.cn"] = {"rsa": [held("rsa")]}
    run = sign(azure, image.parent, "https://unit-tests.vault.azure.cn/keys/rsa")
    assert run.code == 0, run.text
    assert azure.record.of(SOVEREIGN_LOGIN)
    assert not azure.record.of(LOGIN)


def test_a_privatelink_name_is_told_without_a_traceback(azure: Azure, image: Path) -> None:
    host = "unit-tests.privatelink.vaultcore.azure.net"
    azure.world.vaults[host] = {"rsa": [held("rsa")]}
    run = sign(azure, image.parent, f"https://{host}/keys/rsa")
    assert run.code == 5, run.text
    assert run.report["error"]["code"] == "KEY_VAULT_UNREACHABLE"
    assert "vault.azure.net" in run.report["error"]["remedy"]
    assert "Traceback" not in run.text
    assert not [request for request in azure.record.of(host) if "authorization" in request.headers]


@pytest.mark.parametrize("missing", ["keys/get", "certificates/list", "secrets/get"])
def test_the_rights_that_signing_needs_are_few(missing: str, azure: Azure, image: Path) -> None:
    azure.world.permissions = EVERYTHING - {missing}
    azure.world.files[ISSUER_URL] = MIDDLE.der
    run = sign(azure, image.parent, f"https://{VAULT}/keys/rsa")
    assert run.code == 0, run.text


@pytest.mark.parametrize(
    ("path", "missing", "code"),
    [
        ("certificates/rsa", "certificates/get", "KEY_VAULT_FORBIDDEN"),
        ("certificates/nobody", "", "KEY_VAULT_NOT_FOUND"),
        ("certificates/rsa/0123456789abcdef", "", "KEY_VAULT_NOT_FOUND"),
        ("secrets/rsa", "", "CONFIGURATION"),
    ],
)
def test_what_stops_before_signing_is_named(path: str, missing: str, code: str, azure: Azure, image: Path) -> None:
    azure.world.permissions = EVERYTHING - {missing}
    run = sign(azure, image.parent, f"https://{VAULT}/{path}")
    assert run.report["error"]["code"] == code, run.text
    assert azure.record.of(VAULT, "/sign") == []


def test_a_refused_signature_is_the_files_error(azure: Azure, image: Path) -> None:
    azure.world.permissions = EVERYTHING - {"keys/sign"}
    before = image.read_bytes()
    run = sign(azure, image.parent, f"https://{VAULT}/keys/rsa")
    assert (run.code, run.error_code) == (6, "KEY_VAULT_FORBIDDEN")
    assert image.read_bytes() == before


def test_a_disabled_key_is_told_before_a_signature(azure: Azure, image: Path) -> None:
    azure.world.vaults[VAULT]["rsa"] = [held("rsa", enabled=False)]
    run = sign(azure, image.parent, f"https://{VAULT}/keys/rsa")
    assert run.report["error"]["code"] == "KEY_VAULT_DISABLED", run.text
    assert azure.record.of(VAULT, "/sign") == []


def test_a_digest_that_the_curve_does_not_take_costs_nothing(azure: Azure, image: Path) -> None:
    run = sign(azure, image.parent, f"https://{VAULT}/keys/p256", "--digest", "sha512")
    assert (run.code, run.report["error"]["code"]) == (3, "DIGEST_NOT_SUPPORTED")
    assert "--digest to sha256" in run.text
    assert azure.record.of(VAULT, "/sign") == []


def test_a_wrong_client_secret_is_told_without_it(azure: Azure, image: Path) -> None:
    azure.world.tokens.clear()
    environment = {**azure.environment, "AZURE_CLIENT_SECRET": "wrong-planted-77"}
    run = kspsign_at(
        *("run", image, "--key-store", "azure-key-vault", "--key-identifier", f"https://{VAULT}/keys/rsa"),
        *("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT, "--store", image.parent / "store"),
        folder=image.parent,
        environment=environment,
    )
    assert run.report["error"]["code"] == "AZURE_SIGN_IN"
    assert "AADSTS7000215" in run.text
    assert "wrong-planted-77" not in run.text + str(run.report)
    assert not re.search(r"Traceback|azure\.identity", run.text)
