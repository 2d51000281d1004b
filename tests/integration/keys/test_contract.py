"""What every key store makes of the same situations: outcome, signatures spent, journal. One table for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.keys.table import STORES
from support.formats.peimages import build_pe
from support.key_contract.azure import KeyVault, Profile
from support.key_contract.bench import PAGE, TRUNCATED, ContractStore
from support.key_contract.clouds import AwsKms, GoogleKms, Transit
from support.key_contract.local import Command, KeyLocker, Pkcs12File, Token
from support.samples import Run, assert_no_leftovers, kspsign, osslsigncode_verify

BENCHES: dict[str, Callable[[Path, ExitStack, EmbeddedAuthority], ContractStore]] = {
    "keylocker": KeyLocker,
    "azure-key-vault": KeyVault,
    "azure-artifact-signing": Profile,
    "aws-kms": AwsKms,
    "google-cloud-kms": GoogleKms,
    "vault": Transit,
    "command": Command,
    "pkcs11": Token,
    "pkcs12": Pkcs12File,
}
MAY = "SIGNATURE_MAY_BE_SPENT"


@dataclass(frozen=True)
class Outcome:
    """Exit code, the error of the files or of the run; what the service counts, and the run where it says more."""

    code: int
    error: str | None = None
    spent: int = 0
    used: int | None = None


@dataclass(frozen=True)
class Situation:
    """How a store gets into it, and what a run makes of it. `synced` runs certsync first, and signs by thumbprint."""

    arrange: Callable[[ContractStore], None]
    outcome: Outcome
    files: int = 1
    synced: bool = False


SITUATIONS: dict[str, Situation] = {
    "success": Situation(lambda _store: None, Outcome(0, spent=1)),
    "busy before": Situation(lambda store: store.be_busy(2), Outcome(0, spent=1)),
    "lost after": Situation(lambda store: store.lose(), Outcome(6, MAY, spent=1)),
    "refused": Situation(lambda store: store.refuse(), Outcome(6, "{forbidden}")),
    "wrong key": Situation(lambda store: store.use_wrong_key(), Outcome(6, "KEY_MISMATCH", spent=1)),
    "rotated between certsync and sign": Situation(lambda store: store.renew(), Outcome(0, spent=1), synced=True),
    "rotated between two files": Situation(lambda store: store.renew_between(), Outcome(0, spent=2), files=2),
    "garbage": Situation(lambda store: store.answer(TRUNCATED, "application/json"), Outcome(6, MAY, used=1)),
    "slow": Situation(lambda store: store.be_slow(), Outcome(0, spent=1)),
    "HTML instead of JSON": Situation(lambda store: store.answer(PAGE, "text/html"), Outcome(6, MAY, used=1)),
}
FORBIDDEN = {
    "keylocker": "NOT_THE_SIGNER",
    "azure-key-vault": "KEY_VAULT_FORBIDDEN",
    "azure-artifact-signing": "ARTIFACT_SIGNING_FORBIDDEN",
    "aws-kms": "AWS_KMS_FORBIDDEN",
    "google-cloud-kms": "GOOGLE_KMS_FORBIDDEN",
    "vault": "VAULT_FORBIDDEN",
    "command": "COMMAND_REFUSED",
}
OTHERWISE: dict[tuple[str, str], Outcome] = {
    ("command", "rotated between certsync and sign"): Outcome(5, "KEY_STORE_CHANGED"),
    ("command", "rotated between two files"): Outcome(1, "KEY_MISMATCH", spent=2),
    ("pkcs12", "rotated between certsync and sign"): Outcome(5, "KEY_STORE_CHANGED"),
}
"""Where a store makes something else of a situation: a program and a file have no address of an earlier key."""
NOT_MET: dict[str, tuple[frozenset[str], str]] = {
    "pkcs11": (
        frozenset(SITUATIONS) - {"success", "rotated between certsync and sign"},
        "a module has calls instead of messages: tests/integration/keys/test_pkcs11_modules.py",
    ),
    "pkcs12": (
        frozenset(SITUATIONS) - {"success", "rotated between certsync and sign"},
        "the key is in this process, and no service is asked",
    ),
}
"""What can't happen to a store, and why."""
NOT_HERE = {
    "embedded": "its keys are throw-away and in this process",
    "windows": "SignTool signs: tests/windows_lab",
}
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
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in made.environment.items():
            patch.setenv(name, value)
        yield made


def run_in(store: ContractStore, folder: Path, *, synced: bool, arrange: Callable[[ContractStore], None]) -> Run:
    """One command, or certsync and then a command that has the thumbprint alone; the situation is there before it
    signs."""
    kept = ("--store", folder / "store")
    chosen: tuple[object, ...] = store.options
    if synced:
        found = kspsign("certsync", *store.options, *kept, folder=folder, reported=False)
        assert found.code == 0, found.text
        chosen = (*store.later_options, "--thumbprint", found.text.split()[-1])
    arrange(store)
    stamped = () if store.needs_timestamp else ("--no-timestamp",)
    return kspsign(
        *("sign" if synced else "run", "*.dll", "--folder", folder, "--jobs", "1", "--trust-root", store.trust),
        *(*chosen, *stamped, *kept),
        folder=folder,
    )


@pytest.mark.parametrize(("store", "situation", "name"), [(n, s, n) for n, s in CASES], indirect=["store"], ids=str)
def test_outcome_signatures_and_journal(store: ContractStore, situation: str, name: str, tmp_path: Path) -> None:
    case = SITUATIONS[situation]
    for number in range(case.files):
        (tmp_path / f"{number}.dll").write_bytes(build_pe(overlay=b"image %d" % number))
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.dll")}
    run = run_in(store, tmp_path, synced=case.synced, arrange=case.arrange)
    expected = OTHERWISE.get((name, situation), case.outcome)
    assert run.code == expected.code, run.text
    assert found_errors(run) == ({(expected.error or "").format(forbidden=FORBIDDEN.get(name))} - {""}), run.text
    if name not in {"pkcs11", "pkcs12"}:
        assert store.spent == expected.spent, run.text
    assert run.report["totals"]["signatures_used"] == (expected.spent if expected.used is None else expected.used)
    assert [*(tmp_path / "store").rglob("*.journal")] == []
    assert_no_leftovers(tmp_path)
    if expected.code == 0:
        assert osslsigncode_verify(tmp_path / "0.dll", store.trust).accepted
    if expected.code > 1:
        assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.dll")}


def found_errors(run: Run) -> set[str]:
    """The codes of the run's error, and of its files'."""
    errors = [run.report.get("error"), *(entry["error"] for entry in run.report["files"])]
    return {str(error["code"]) for error in errors if error}


def test_every_built_in_store_is_in_the_table_or_has_a_reason() -> None:
    assert set(STORES.entries) == set(BENCHES) | set(NOT_HERE)
    assert all(reason for _situations, reason in NOT_MET.values())
