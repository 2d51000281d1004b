"""Builds that sign with the stand-ins of five services, whose own logs are then compared with the ledgers.

Each story: what happened, whether it is found, and what is said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kspsign.azure_devops import TASK_ID
from kspsign.embedded.authority import EmbeddedAuthority
from support.azure_devops.server import TOKEN, AzureServer
from support.azure_devops.uploads import step_variables, uploads
from support.formats.peimages import build_pe
from support.key_contract.azure import KeyVault, Profile
from support.key_contract.bench import ContractStore
from support.key_contract.clouds import AwsKms, GoogleKms
from support.key_contract.local import KeyLocker
from support.key_logs.asking import Said, reconcile
from support.key_logs.service_logs import write_log
from support.samples import Run, kspsign
from support.service_faults import environment_of

STORES: dict[str, Callable[[Path, ExitStack, EmbeddedAuthority], ContractStore]] = {
    "azure-key-vault": KeyVault,
    "azure-artifact-signing": Profile,
    "aws-kms": AwsKms,
    "google-cloud-kms": GoogleKms,
    "keylocker": KeyLocker,
}
MATCHES = {
    "azure-key-vault": "request-id",
    "azure-artifact-signing": "request-id",
    "aws-kms": "request-id",
    "google-cloud-kms": "digest",
    "keylocker": "digest",
}
"""How sure the log of each service makes a match."""


@dataclass
class Company:
    """A key, whoever signs with it, and what is compared in the end."""

    store: ContractStore
    folder: Path
    ledgers: list[Path] = field(default_factory=list)

    def sign(self, name: str, *files: tuple[str, bytes], ledger: bool = True, code: int = 0) -> Run:
        """Sign files in a folder of that name; a build keeps a ledger, and a thief does not."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        for file, content in files:
            (place / file).write_bytes(content)
        kept: list[object] = []
        if ledger:
            self.ledgers.append(self.folder / f"{name}.jsonl")
            kept = ["--ledger", self.ledgers[-1]]
        stamped = () if self.store.needs_timestamp else ("--no-timestamp",)
        run = kspsign(
            *("sign", "*.dll", "--folder", place, "--jobs", "1", "--trust-root", self.store.trust, *kept),
            *(*self.store.options, *stamped, "--store", self.folder / f"store-{name}"),
            folder=place,
        )
        assert run.code == code, run.text
        return run

    def compare(self, *, shift: float = 0.0, edit: Callable[[str], str] = str, **options: Any) -> Said:
        """Write the service's log, change it, and reconcile."""
        log = write_log(self.store, self.folder / "log", shift=shift)
        log.write_text(edit(log.read_text(encoding="utf-8")), encoding="utf-8")
        return reconcile(self.folder, ledger=tuple(dict.fromkeys(self.ledgers)), key_log=(log,), **options)


def dll(number: int) -> tuple[str, bytes]:
    """A program and its name."""
    return f"file{number}.dll", build_pe(sections=(bytes([number]) * 600,))


@pytest.fixture
def company(request: pytest.FixtureRequest, tmp_path: Path, authority: EmbeddedAuthority) -> Iterator[Company]:
    (tmp_path / "service").mkdir()
    with ExitStack() as stack:
        store = STORES[request.param](tmp_path / "service", stack, authority)
        stack.enter_context(environment_of(store.environment))
        yield Company(store, tmp_path)


def of(*names: str) -> pytest.MarkDecorator:
    """The stories of these services."""
    return pytest.mark.parametrize("company", names, indirect=True, ids=names)


def matches(said: Said) -> list[str]:
    """How each use was matched."""
    assert said.report is not None
    return [use["match"] for use in said.report["uses"]]


@of(*STORES)
def test_stolen_credentials_are_found(company: Company, request: pytest.FixtureRequest) -> None:
    service = request.node.callspec.params["company"]
    company.sign("release", dll(1), dll(2))
    before = company.compare()
    assert (before.code, matches(before)) == (0, [MATCHES[service]] * 2), before.text
    company.sign("thief", ("malware.dll", build_pe(sections=(b"\xcc" * 700,))), ledger=False)
    said = company.compare()
    assert said.code == 8
    assert said.error == ("UNACCOUNTED: 1 use that no build accounts for; 3 uses of the key, 2 signatures")
    (line,) = [line for line in said.text.splitlines() if line.startswith("UNACCOUNTED use: ")]
    assert line.endswith(": no ledger knows it")
    assert matches(said) == [MATCHES[service]] * 2
    assert said.report is not None
    assert {use["signature"]["file"] for use in said.report["uses"]} == {"file1.dll", "file2.dll"}


@of("azure-key-vault", "google-cloud-kms")
def test_a_log_that_lacks_a_signature_is_found(company: Company) -> None:
    company.sign("release", dll(1), dll(2), dll(3))

    def without_second(text: str) -> str:
        if text.startswith("["):
            entries = json.loads(text)
            signs = [entry for entry in entries if entry["protoPayload"]["methodName"] == "AsymmetricSign"]
            return json.dumps([entry for entry in entries if entry is not signs[1]])
        lines = text.splitlines(keepends=True)
        del lines[[number for number, line in enumerate(lines) if "KeySign" in line][1]]
        return "".join(lines)

    said = company.compare(edit=without_second)
    assert said.code == 2
    assert said.error == "the log LACKS signatures: 1 signature that the log lacks; 2 uses of the key, 3 signatures"
    assert said.report is not None
    lacking = {f"file{number}.dll" for number in (1, 2, 3)} - {use["signature"]["file"] for use in said.report["uses"]}
    assert {record["file"] for record in said.report["missing"]} == lacking
    assert f" {lacking.pop()} (embedded, " in said.text
    assert "records may have been deleted" in said.remedy


@of("keylocker", "aws-kms")
def test_a_ledger_with_a_line_changed_or_dropped_accounts_for_nothing(company: Company) -> None:
    company.sign("release", dll(1), dll(2))
    path = company.ledgers[0]
    lines = path.read_bytes().splitlines(keepends=True)
    changed = [*lines[:1], lines[1].replace(b"sha256", b"sha384"), *lines[2:]]
    assert changed != lines
    for damaged in (changed, lines[:2] + lines[3:], [lines[0], lines[2], lines[1], *lines[3:]]):
        path.write_bytes(b"".join(damaged))
        said = company.compare()
        assert said.code == 8
        assert said.error.startswith("UNACCOUNTED: 2 uses that no build accounts for; 1 refused ledger")
        assert f"ledger: {path}: REFUSED: line " in said.text
        assert "none of its 2 signatures counts" in said.text
        assert "only a ledger with a broken chain knows it (" in said.text
    path.write_bytes(b"".join(lines))
    assert company.compare().code == 0


@of("google-cloud-kms", "azure-key-vault")
def test_two_builds_with_the_same_file_are_two_uses(company: Company) -> None:
    company.sign("first", dll(1))
    company.sign("second", dll(1))
    said = company.compare()
    assert (said.code, len(matches(said))) == (0, 2)
    company.ledgers.pop()
    said = company.compare()
    assert said.code == 8
    why = "the signature was made once more than the ledgers say" if "digest" in matches(said) else "no ledger knows it"
    assert why in said.text


@of("keylocker", "azure-key-vault")
def test_a_retried_job_accounts_for_both_attempts(company: Company) -> None:
    company.store.lose()
    company.sign("release", dll(1), code=6)
    if isinstance(company.store, KeyVault):
        company.store.server.hang_up = lambda _request: False
    company.sign("release", dll(1))
    said = company.compare()
    assert said.code == 0, said.text
    assert said.report is not None
    assert [use["signature"]["outcome"] for use in said.report["uses"]] == ["lost", "embedded"]
    certain = "digest" if isinstance(company.store, KeyLocker) else "request-id"
    assert matches(said) == [certain if certain == "digest" else "time-window", certain]


@of("google-cloud-kms", "aws-kms")
def test_a_clock_that_is_ten_minutes_off_hides_nothing_and_is_named(company: Company) -> None:
    company.sign("release", dll(1), dll(2))
    said = company.compare(shift=600)
    assert said.code == 0, said.text
    assert "warning: the clock of the log is 10 min ahead of that of a build" in said.text
    company.sign("thief", dll(9), ledger=False)
    assert company.compare(shift=600).code == 8


@of("azure-key-vault")
def test_by_time_alone_a_clock_that_is_ten_minutes_off_is_said(company: Company) -> None:
    company.sign("release", dll(1), dll(2))

    def without_ids(text: str) -> str:
        return "".join(f"{json.dumps({**json.loads(line), 'correlationId': ''})}\n" for line in text.splitlines())

    assert matches(company.compare(edit=without_ids)) == ["time-window"] * 2
    said = company.compare(shift=600, edit=without_ids)
    assert said.code == 8
    assert (
        "2 uses and as many signatures are left over, and would match if the clock of the log were 10 min" in said.text
    )
    assert company.compare(shift=600, edit=without_ids, clock_skew="11m").code == 0


@of("azure-key-vault")
def test_a_build_that_signed_more_than_it_shipped(company: Company) -> None:
    company.store.use_wrong_key()
    company.sign("release", dll(1), code=6)
    said = company.compare()
    assert said.report is not None
    outcomes = said.report["pipelines"][0]["outcomes"]
    assert outcomes == {"discarded": 1}
    assert "1 signature made for no file: a build signed more than it shipped" in said.text
    assert said.code == 0


@of("azure-key-vault")
def test_the_ledgers_that_steps_of_a_pipeline_attached(company: Company) -> None:
    """The same from end to end: the agent uploads what the steps name, and the comparison fetches it."""
    with AzureServer() as azure:
        for number in (11, 12):
            variables = step_variables(azure.url, company.folder, build=str(number))
            more = {"BUILD_DEFINITIONNAME": "Release", "BUILD_BUILDNUMBER": f"2026.{number}"}
            with environment_of({**variables, **more, "BUILD_REQUESTEDFOR": "Ada Lovelace"}):
                run = company.sign(f"build{number}", dll(number), ledger=False)
            build = azure.organisation.add_build(number)
            build.status, build.result, build.finished = "completed", "succeeded", "2030-01-01T00:00:00Z"
            step = build.add_step(build.add_job(), TASK_ID)
            for upload in uploads(run.text):
                build.attach(step, upload.kind, upload.name, upload.content)
        company.sign("thief", dll(13), ledger=False)
        log = write_log(company.store, company.folder / "log")
        variables = step_variables(azure.url, company.folder) | {"SYSTEM_ACCESSTOKEN": TOKEN}
        options = {"from_azure_devops": True, "definition": (1,), "since": "2020-01-01", "key_log": (log,)}
        said = reconcile(company.folder, variables, **options)
    assert said.code == 8, said.text
    assert said.report is not None
    assert [use["signature"]["build"] for use in said.report["uses"]] == [
        "Release 2026.11 (11), attempt 1",
        "Release 2026.12 (12), attempt 1",
    ]
    assert "pipeline: Apps/Release: 2 signatures (2 embedded), 2 in the log" in said.text
    assert "person: Ada Lovelace: 2 signatures" in said.text
    assert said.error.startswith("UNACCOUNTED: 1 use that no build accounts for; 3 uses of the key")
