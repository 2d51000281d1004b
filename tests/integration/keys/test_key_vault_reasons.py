"""What a vault refuses for and what it passes over: the reason and remedy of each, and which version signs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from support.formats.peimages import build_pe
from support.key_contract.azure import VAULT, KeyVault
from support.key_contract.bench import certificate_of, contract_key, contract_root
from support.key_vault.answers import Request, Response
from support.key_vault.world import EVERYTHING, Version
from support.samples import Run, kspsign
from support.service_faults import PAGE, environment_of


@pytest.fixture
def vault(tmp_path: Path, authority: EmbeddedAuthority) -> Iterator[KeyVault]:
    (tmp_path / "service").mkdir()
    (tmp_path / "app.dll").write_bytes(build_pe())
    with ExitStack() as stack:
        made = KeyVault(tmp_path / "service", stack, authority)
        stack.enter_context(environment_of(made.environment))
        yield made


def run_in(vault: KeyVault, folder: Path) -> Run:
    return kspsign(
        *("run", folder / "app.dll", *vault.options, "--no-timestamp"),
        *("--trust-root", vault.trust, "--store", folder / "store"),
        folder=folder,
    )


@pytest.mark.parametrize(
    ("changes", "code", "remedy"),
    [
        ({"operations": ("verify",)}, "KEY_VAULT_OPERATION", "Add sign"),
        ({"expires": datetime.now(UTC) - timedelta(days=1)}, "KEY_VAULT_KEY_EXPIRED", "Renew the certificate"),
        ({"enabled": False}, "KEY_VAULT_DISABLED", "Enable"),
        ({}, "KEY_VAULT_FIREWALL", "through the vault's firewall"),
    ],
)
def test_what_forbids_a_signature_after_the_key_was_found(
    changes: dict[str, Any], code: str, remedy: str, vault: KeyVault, tmp_path: Path
) -> None:
    """The identity may not read the key, so that only the vault's answer to the request says it."""
    vault.world.permissions = EVERYTHING - {"keys/get"}

    def change(_number: int) -> None:
        versions = vault.world.vaults[VAULT]["release"]
        versions[0] = replace(versions[0], **changes)
        vault.world.firewall = not changes

    vault.at_signature(change)
    run = run_in(vault, tmp_path)
    assert (run.code, run.error_code) == (6, code), run.text
    assert remedy in run.file["error"]["remedy"]
    assert (vault.spent, run.report["totals"]["signatures_used"]) == (0, 0)


@pytest.mark.parametrize("ways", [{"enabled": False}, {"pending": True}], ids=["disabled", "pending"])
def test_a_newer_version_that_can_t_sign_is_passed_over_and_named(
    ways: dict[str, Any], vault: KeyVault, tmp_path: Path
) -> None:
    newer = Version(contract_key(1), certificate_of(1).certificate, (contract_root().certificate,), **ways)
    vault.world.vaults[VAULT]["release"].append(newer)
    run = run_in(vault, tmp_path)
    assert (run.code, vault.spent) == (0, 1), run.text
    assert f"version {newer.version} is newer and not used, since it is " in run.text
    assert next(iter(ways)) in run.text.replace("not enabled", "enabled")
    assert vault.world.vaults[VAULT]["release"][0].version in vault.server.record.of(VAULT, "/sign")[0].path


@pytest.mark.parametrize(
    ("what", "content_type"),
    [("/versions", "text/html"), ("/certificates/release/", "application/json"), ("/keys/", "text/html")],
)
def test_a_page_in_the_place_of_an_answer_stops_before_a_signature(
    what: str, content_type: str, vault: KeyVault, tmp_path: Path
) -> None:
    page = Response(200, PAGE, {"Content-Type": content_type})

    def interfere(request: Request) -> Response | None:
        return page if request.host == VAULT and what in request.path and "authorization" in request.headers else None

    vault.server.interfere = interfere
    run = run_in(vault, tmp_path)
    assert (run.code, run.report["error"]["code"]) == (5, "KEY_VAULT_ANSWER"), run.text
    assert vault.server.record.of(VAULT, "/sign") == []


@pytest.mark.parametrize("content", [{}, {"value": 7}, {"value": "%%%"}, []])
def test_an_answer_without_a_signature_may_have_spent_one(content: Any, vault: KeyVault, tmp_path: Path) -> None:
    vault.at_signature(lambda _number: Response(200, content))
    run = run_in(vault, tmp_path)
    assert (run.code, run.error_code) == (6, "SIGNATURE_MAY_BE_SPENT"), run.text
    assert run.report["totals"]["signatures_used"] == 1
