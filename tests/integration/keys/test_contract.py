"""What every key store makes of the same situations: outcome, signatures spent, journal. One table for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.keys.table import STORES
from support.key_contract.azure import KeyVault, Profile
from support.key_contract.bench import TRUNCATED, ContractStore
from support.key_contract.clouds import AwsKms, GoogleKms, Transit
from support.key_contract.local import Command, KeyLocker, Pkcs12File, Token
from support.key_contract.services import Credential, Worker
from support.samples import Run, kspsign, osslsigncode_verify
from support.service_faults import PAGE, Case, Set, check_outcome, environment_of, fill

BENCHES: dict[str, Callable[[Path, ExitStack, EmbeddedAuthority], ContractStore]] = {
    "keylocker": KeyLocker,
    "azure-key-vault": KeyVault,
    "azure-artifact-signing": Profile,
    "aws-kms": AwsKms,
    "google-cloud-kms": GoogleKms,
    "vault": Transit,
    "signserver": Worker,
    "esigner": Credential,
    "command": Command,
    "pkcs11": Token,
    "pkcs12": Pkcs12File,
}
MAY, FORBIDDEN = "SIGNATURE_MAY_BE_SPENT", "the store's own"


SYNCED = "rotated between certsync and sign"
"""In this situation certsync comes first, and signing has the thumbprint alone."""


def ended(code: int, error: str | None = None, *, spent: int = 0, used: int | None = None, files: int = 1) -> Case:
    """What a run makes of a situation."""
    return Case(lambda _store: None, code, error, spent, used, files)


SITUATIONS: dict[str, tuple[Set, Case]] = {
    "success": (lambda _store: None, ended(0, spent=1)),
    "busy before": (lambda store: store.be_busy(2), ended(0, spent=1)),
    "lost after": (lambda store: store.lose(), ended(6, MAY, spent=1)),
    "refused": (lambda store: store.refuse(), ended(6, FORBIDDEN)),
    "wrong key": (lambda store: store.use_wrong_key(), ended(6, "KEY_MISMATCH", spent=1)),
    SYNCED: (lambda store: store.renew(), ended(0, spent=1)),
    "rotated between two files": (lambda store: store.renew_between(), ended(0, spent=2, files=2)),
    "garbage": (lambda store: store.answer(TRUNCATED, "application/json"), ended(6, MAY, used=1)),
    "slow": (lambda store: store.be_slow(), ended(0, spent=1)),
    "HTML instead of JSON": (lambda store: store.answer(PAGE, "text/html"), ended(6, MAY, used=1)),
}
FORBIDDEN_BY = {
    "keylocker": "NOT_THE_SIGNER",
    "azure-key-vault": "KEY_VAULT_FORBIDDEN",
    "azure-artifact-signing": "ARTIFACT_SIGNING_FORBIDDEN",
    "aws-kms": "AWS_KMS_FORBIDDEN",
    "google-cloud-kms": "GOOGLE_KMS_FORBIDDEN",
    "vault": "VAULT_FORBIDDEN",
    "signserver": "SIGNSERVER_FORBIDDEN",
    "esigner": "ESIGNER_FORBIDDEN",
    "command": "COMMAND_REFUSED",
}
OTHERWISE = {
    ("command", SYNCED): ended(5, "KEY_STORE_CHANGED"),
    ("command", "rotated between two files"): ended(1, "KEY_MISMATCH", spent=2, files=2),
    ("pkcs12", SYNCED): ended(5, "KEY_STORE_CHANGED"),
}
"""Where a store makes something else of a situation: a program and a file have no address of an earlier key."""
NOT_MET: dict[str, tuple[frozenset[str], str]] = {
    "pkcs11": (
        frozenset(SITUATIONS) - {"success", SYNCED},
        "a module has calls instead of messages: tests/integration/keys/test_pkcs11_modules.py",
    ),
    "pkcs12": (
        frozenset(SITUATIONS) - {"success", SYNCED},
        "the key is in this process, and no service is asked",
    ),
}
"""What can't happen to a store, and why."""
NOT_HERE = {
    "embedded": "its keys are throw-away and in this process",
    "windows": "SignTool signs: tests/windows_lab",
}
UNCOUNTED = frozenset({"pkcs11", "pkcs12"})
"""Nothing but the run itself counts their signatures."""
CASES = [
    (name, situation)
    for name in BENCHES
    for situation in SITUATIONS
    if situation not in NOT_MET.get(name, (frozenset(), ""))[0]
]


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path, authority: EmbeddedAuthority) -> Iterator[ContractStore]:
    (tmp_path / "service").mkdir()
    with ExitStack() as stack:
        made = BENCHES[request.param](tmp_path / "service", stack, authority)
        stack.enter_context(environment_of(made.environment))
        yield made


def run_in(store: ContractStore, folder: Path, situation: str) -> Run:
    """A run, or certsync and then a command that has the thumbprint alone; the situation is there before it signs."""
    kept = ("--store", folder / "store")
    chosen: tuple[object, ...] = store.options
    if situation == SYNCED:
        found = kspsign("certsync", *store.options, *kept, folder=folder, reported=False)
        assert found.code == 0, found.text
        chosen = (*store.later_options, "--thumbprint", found.text.split()[-1])
    SITUATIONS[situation][0](store)
    stamped = () if store.needs_timestamp else ("--no-timestamp",)
    command = "sign" if situation == SYNCED else "run"
    return kspsign(
        *(command, "*.dll", "--folder", folder, "--jobs", "1", "--trust-root", store.trust),
        *(*chosen, *stamped, *kept),
        folder=folder,
    )


@pytest.mark.parametrize(("store", "situation", "name"), [(n, s, n) for n, s in CASES], indirect=["store"], ids=str)
def test_outcome_signatures_and_journal(store: ContractStore, situation: str, name: str, tmp_path: Path) -> None:
    case = OTHERWISE.get((name, situation), SITUATIONS[situation][1])
    if case.error == FORBIDDEN:
        case = replace(case, error=FORBIDDEN_BY[name])
    before = fill(tmp_path, case.files)
    run = run_in(store, tmp_path, situation)
    check_outcome(case, run, tmp_path, before, case.spent if name in UNCOUNTED else store.spent)
    assert [*(tmp_path / "store").rglob("*.journal")] == []
    if case.code == 0:
        assert osslsigncode_verify(tmp_path / "00.dll", store.trust).accepted


@pytest.mark.parametrize("store", ["keylocker", "google-cloud-kms", "vault"], indirect=True)
def test_a_thumbprint_that_was_renewed_since_signs_and_warns(store: ContractStore, tmp_path: Path) -> None:
    """As with the stores of test_renewal.py, here with a new key pair or version of the key, which was synchronised."""
    thumbprints = []
    for _turn in range(2):
        found = kspsign("certsync", *store.options, "--store", tmp_path / "store", folder=tmp_path, reported=False)
        thumbprints.append(found.text.split()[-1])
        store.renew()
    fill(tmp_path)
    assert thumbprints[0] != thumbprints[1]
    run = kspsign(
        *("sign", "*.dll", "--folder", tmp_path, *store.later_options, "--thumbprint", thumbprints[0]),
        *("--trust-root", store.trust, "--store", tmp_path / "store", "--no-timestamp"),
        folder=tmp_path,
    )
    assert (run.code, run.file["certificate"]) == (0, thumbprints[0]), run.text
    assert "CERTIFICATE_SUPERSEDED" in {warning["code"] for warning in run.report["warnings"]}


def test_every_built_in_store_is_in_the_table_or_has_a_reason() -> None:
    assert set(STORES.entries) == set(BENCHES) | set(NOT_HERE)
    assert all(reason for _situations, reason in NOT_MET.values())
