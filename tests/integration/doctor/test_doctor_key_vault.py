"""What a vault's own attributes and refusals become: each on its line, and none of them for a signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.certificates import rsa_key
from support.digicert_one.world import DAY, NOW
from support.doctor.run import Given, doctor
from support.doctor.services import VAULT, key_vault_of
from support.key_vault.answers import Request, Response
from support.key_vault.server import Azure
from support.key_vault.world import EVERYTHING, TENANT

Change = Callable[[Azure], None]


@pytest.fixture
def arranged(tmp_path: Path) -> Iterator[tuple[Azure, Given]]:
    with key_vault_of(tmp_path, "all well") as (azure, given):
        yield azure, replace(given, arguments=(*given.arguments, "--no-timestamp"))


def only(azure: Azure, **changes: Any) -> None:
    """The vault's one version, changed."""
    (version,) = azure.world.vaults[VAULT]["release"]
    azure.world.vaults[VAULT]["release"] = [replace(version, **changes)]


def without(*permissions: str) -> Change:
    def change(azure: Azure) -> None:
        azure.world.permissions = EVERYTHING - set(permissions)

    return change


def elsewhere(azure: Azure) -> None:
    """The vault belongs to another tenant than the sign-in."""
    other = TENANT.replace("1", "7")

    def challenge(request: Request) -> Response | None:
        if request.host != VAULT or "authorization" in request.headers:
            return None
        said = f'Bearer authorization="https://login.microsoftonline.com/{other}", resource="https://vault.azure.net"'
        return Response(401, {"error": {"code": "Unauthorized"}}, {"WWW-Authenticate": said})

    azure.interfere = challenge


def a_page(azure: Azure) -> None:
    azure.interfere = lambda request: Response(200, b"<html>Sign in</html>") if request.host == VAULT else None


def another_resource(azure: Azure) -> None:
    """A host that wants a token for somebody else's resource."""
    said = f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://graph.microsoft.com"'
    azure.interfere = lambda request: Response(401, {}, {"WWW-Authenticate": said}) if request.host == VAULT else None


@pytest.mark.parametrize(
    ("change", "code", "name", "state", "words"),
    [
        (lambda azure: setattr(azure.world, "firewall", True), 5, "permission", "failed", "firewall"),
        (lambda azure: only(azure, expires=NOW - DAY), 5, "key", "failed", "expired on"),
        (lambda azure: only(azure, expires=NOW + 5 * DAY), 0, "key", "warning", "expires on"),
        (lambda azure: only(azure, operations=("verify",)), 5, "key", "failed", "permitted operations are verify"),
        (lambda azure: only(azure, key=rsa_key(2048)), 5, "key", "failed", "does not match the certificate"),
        (lambda azure: only(azure, pending=True), 5, "certificate", "failed", "is pending"),
        (without("keys/get"), 0, "key", "not checked", "may not read"),
        (without("keys/get"), 0, "permission", "not checked", "only a signature shows it"),
        (without("certificates/list"), 0, "newer certificate", "not checked", "may not list"),
        (without("keys/sign"), 0, "permission", "not checked", "only a signature shows"),
        (elsewhere, 5, "sign-in", "failed", "tenant"),
        (a_page, 5, "host", "failed", "not as a Key Vault does"),
        (another_resource, 5, "host", "failed", "not as a Key Vault does"),
    ],
    ids=[
        *("firewall", "key expired", "key ends soon", "no operation sign", "another key's certificate", "pending"),
        *("may not read the key", "so whether it may sign is unseen", "may not list", "may not sign"),
        *("another tenant's vault", "a page", "another resource"),
    ],
)
def test_what_the_vault_says(
    change: Change, code: int, name: str, state: str, words: str, arranged: tuple[Azure, Given], tmp_path: Path
) -> None:
    azure, given = arranged
    change(azure)
    found = doctor(given, tmp_path)
    assert words in found.said(name, state), found.text
    assert found.code == code, found.text
    assert azure.record.of(VAULT, "/sign") == []


def test_a_sign_in_whose_parts_are_malformed(arranged: tuple[Azure, Given], tmp_path: Path) -> None:
    azure, given = arranged
    before = len(azure.record.requests)
    secret_id = {**given.environment, "AZURE_CLIENT_SECRET": "0f8fad5b-d9cb-469f-a165-70867728950e"}
    found = doctor(Given(given.arguments, secret_id), tmp_path)
    assert "the secret's ID, not its value" in found.said("credentials", "failed")
    named = [*given.arguments]
    named[named.index("--azure-client-id") + 1] = "my-application"
    found = doctor(Given(tuple(named), given.environment), tmp_path)
    assert "is not a GUID" in found.said("credentials", "failed")
    missing = doctor(Given(given.arguments, {**given.environment, "AZURE_CLIENT_SECRET": ""}), tmp_path)
    assert "AZURE_CLIENT_SECRET" in missing.said("credentials", "failed")
    assert len(azure.record.requests) == before
