"""Ledgers that builds attached, fetched from Azure DevOps on loopback."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kspsign.azure_devops import LEDGER_TYPE, TASK_ID, client, open_client
from kspsign.model.network_options import NetworkOptions
from support.azure_devops.server import TOKEN, AzureServer, Fault
from support.azure_devops.state import Build
from support.azure_devops.uploads import step_variables
from support.key_logs.asking import Said, reconcile
from support.key_logs.examples import key_vault
from support.key_logs.stories import Story, moment, request_id

OTHER_TASK = "6d15af64-176c-496d-b583-fd2ae21d4df4"
FILES = ("a.exe", "b.dll")


@pytest.fixture
def azure() -> Iterator[AzureServer]:
    with AzureServer() as server:
        yield server


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Builds 7 to 9 of two files each, and the log of their uses."""
    made = Story(tmp_path)
    for number in (7, 8, 9):
        made.build(number, FILES, minutes=number)
    records = [key_vault(time=moment(minutes), operation="KeyGet") for minutes in (-30, 60)]
    made.log(
        [*records, *(key_vault(request_id((number, name)), moment(number)) for number in (7, 8, 9) for name in FILES)]
    )
    return made


def add_build(azure: AzureServer, number: int, *ledgers: bytes, task: str = TASK_ID, definition: int = 1) -> Build:
    """A build that ended, whose step attached these ledgers."""
    build = azure.organisation.add_build(number)
    build.status, build.result, build.definition, build.finished = "completed", "succeeded", definition, moment(number)
    step = build.add_step(build.add_job(), task)
    for at, content in enumerate(ledgers):
        build.attach(step, LEDGER_TYPE, f"ledger-{at}.jsonl", content)
    return build


def ask(azure: AzureServer, story: Story, **options: Any) -> Said:
    """Compare the log with the ledgers of definition 1."""
    variables = step_variables(azure.url, story.folder) | {"SYSTEM_ACCESSTOKEN": TOKEN}
    given = {"from_azure_devops": True, "definition": (1,), "since": moment(-60), "key_log": tuple(story.logs)}
    return reconcile(story.folder, variables, **{**given, **options})


def test_ledgers_of_all_builds_since_a_time(azure: AzureServer, story: Story) -> None:
    seven, eight, nine = (path.read_bytes() for path in story.ledgers)
    add_build(azure, 7, seven)
    add_build(azure, 8, gzip.compress(eight))
    running = add_build(azure, 9, nine)
    running.status, running.result, running.finished = "inProgress", None, None
    add_build(azure, 10)
    old = add_build(azure, 6)
    old.finished = moment(-120)
    add_build(azure, 11, b"not asked for", definition=2)
    said = ask(azure, story)
    assert (said.code, said.error) == (0, "")
    assert said.text.splitlines()[-1] == (
        "kspsign reconcile: every use of the key is accounted for: 6 uses of the key, 6 signatures"
    )
    assert "builds without a ledger: 10\n" in said.text
    assert said.report is not None
    assert [ledger["name"] for ledger in said.report["ledgers"]] == [
        f"build {number}: ledger-0.jsonl" for number in (7, 8, 9)
    ]
    assert TOKEN not in said.text + str(said.report)
    asked = [path for path in azure.paths("GET") if "/builds" in path]
    assert len(asked) == 2 + 4 + 3 + 3  # two lists, attachments of four builds, timelines and contents of three


def test_the_ledger_of_an_earlier_attempt_counts(azure: AzureServer, story: Story) -> None:
    seven, eight, nine = (path.read_bytes() for path in story.ledgers)
    again = story.build(7, FILES, minutes=20, run="again").read_bytes()
    story.log([key_vault(request_id(("again", name)), moment(20)) for name in FILES], "later.json")
    build = add_build(azure, 7, seven)
    build.retry()
    build.attach(build.add_step(build.add_job(attempt=2), TASK_ID), LEDGER_TYPE, "ledger-0.jsonl", again)
    add_build(azure, 8, eight)
    add_build(azure, 9, nine)
    said = ask(azure, story)
    assert said.code == 0, said.text
    assert "8 uses of the key, 8 signatures" in said.text


def test_a_ledger_of_another_build_accounts_for_nothing(azure: AzureServer, story: Story) -> None:
    seven, eight, _nine = (path.read_bytes() for path in story.ledgers)
    add_build(azure, 7, seven)
    add_build(azure, 9, eight)
    said = ask(azure, story)
    assert said.code == 8
    words = "it is about a run of build 8, and not of the build that attached it"
    assert f"ledger: build 9: ledger-0.jsonl: REFUSED: line 1: {words}" in said.text


def test_a_ledger_that_another_step_attached_accounts_for_nothing(azure: AzureServer, story: Story) -> None:
    seven, eight, nine = (path.read_bytes() for path in story.ledgers)
    add_build(azure, 7, seven)
    add_build(azure, 8, eight, task=OTHER_TASK)
    add_build(azure, 9, nine)
    said = ask(azure, story)
    assert said.code == 8
    assert (
        "ledger: build 8: ledger-0.jsonl: REFUSED: line 0: it was attached by a step that is not the KspSign"
        in said.text
    )
    assert said.error.startswith("UNACCOUNTED: 2 uses that no build accounts for; 1 refused ledger")
    assert "##vso[task.logissue type=error;code=UNACCOUNTED_USE;]kspsign reconcile: UNACCOUNTED" in said.text


def test_a_ledger_that_can_not_be_unpacked_is_refused(azure: AzureServer, story: Story) -> None:
    add_build(azure, 7, gzip.compress(story.ledgers[0].read_bytes())[:-40])
    said = ask(azure, story, key=("nothing",))
    assert said.code == 2
    assert "REFUSED" in said.text
    assert "can't be unpacked" in said.text


def test_more_builds_than_a_page_has(azure: AzureServer, story: Story) -> None:
    for number in range(20, 20 + client.BUILDS_PER_CALL + 1):
        build = azure.organisation.add_build(number)
        build.status, build.result, build.finished = "completed", "succeeded", moment(number / 60)
    found = [*_listing(azure, story)]
    assert (len(found), len(set(found))) == (client.BUILDS_PER_CALL + 1,) * 2
    assert len([path for path in azure.paths("GET") if path.endswith("/builds")]) == 3


def _listing(azure: AzureServer, story: Story) -> Iterator[int]:
    opened = open_client(
        azure.url,
        "Apps",
        SecretStr(TOKEN),
        network=NetworkOptions(),
        temp_folder=story.folder,
        pause=lambda _seconds: False,
    )
    try:
        yield from opened.builds_since((1,), 1772359200.0 - 3600)
    finally:
        opened.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"definition": ()}, "--from-azure-devops needs --definition, --since, --collection and --project"),
        ({"since": None}, "--from-azure-devops needs --definition, --since"),
        ({"definition": (0,)}, "--definition: must be more than 0"),
        ({"from_azure_devops": False}, "name the ledgers with --ledger, or fetch them"),
    ],
)
def test_what_is_asked_for_must_be_named(azure: AzureServer, story: Story, options: dict[str, Any], words: str) -> None:
    said = ask(azure, story, **options)
    assert said.code == 3
    assert words in said.error
    assert azure.seen == []


def test_a_service_that_does_not_answer_is_not_a_build_without_a_ledger(azure: AzureServer, story: Story) -> None:
    add_build(azure, 7, story.ledgers[0].read_bytes())
    azure.faults.append(Fault("status", 403, path="attachments"))
    said = ask(azure, story)
    assert (said.code, said.report) == (5, None)
    assert "HTTP 403" in said.error
