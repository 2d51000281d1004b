"""What `kspsign reconcile` writes: lines, JSON report, summary, also from fields that others chose."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kspsign.reconciliation.schema import reconciliation_schema
from support.agent.commands import parse
from support.key_logs.asking import reconcile
from support.key_logs.examples import HOSTILE, key_vault
from support.key_logs.stories import Story, moment, request_id
from support.samples import kspsign


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """A build of two files, one use too many, one signature that the log lacks, and one that no log covers."""
    made = Story(tmp_path)
    made.build(7, ("a.exe", "b.dll"))
    made.build(8, ("c.msi",), minutes=90)
    records = [key_vault(time=moment(minutes), operation="KeyGet") for minutes in (-30, 30)]
    made.log(
        [*records, key_vault(request_id((7, "a.exe")), moment()), key_vault(HOSTILE, moment(5), application=HOSTILE)]
    )
    return made


def test_every_difference_is_in_each_report(story: Story) -> None:
    said = reconcile(story.folder, ledger=tuple(story.ledgers), key_log=tuple(story.logs))
    assert said.code == 8
    verdict = (
        "UNACCOUNTED: 1 use that no build accounts for; 1 signature that the log lacks; 1 signature that no "
        "log covers; 2 uses of the key, 3 signatures"
    )
    assert said.error == verdict
    assert said.text.splitlines()[-1] == f"kspsign reconcile: {verdict}"
    assert (
        "MISSING from the log: 2026-03-01T10:00:01.000Z b.dll of build release 2026.7 (7), attempt 1 (embedded,"
        in said.text
    )
    assert "NOT COVERED by a log: 2026-03-01T11:30:00.000Z c.msi of build release 2026.8 (8), attempt 1" in said.text
    assert "covered: contosokeyvault: 2026-03-01T09:30:00.000Z to 2026-03-01T10:30:00.000Z" in said.text
    assert "have the certificate revoked" in said.remedy
    assert said.report is not None
    jsonschema.validate(said.report, reconciliation_schema())
    assert (said.report["result"], said.report["exit_code"]) == ("unaccounted", 8)
    lists = {name: len(said.report[name]) for name in ("unaccounted", "missing", "not_covered", "uses")}
    assert lists == {"unaccounted": 1, "missing": 1, "not_covered": 1, "uses": 1}
    headings = re.findall("^## (.*)$", said.summary, re.MULTILINE)
    assert headings == [
        *("Uses that no build accounts for", "Signatures that the log lacks", "Signatures that no log covers"),
        *("Pipelines", "People", "Callers of the service", "Days", "What was compared"),
    ]


def test_fields_of_others_are_no_commands_and_no_markup(story: Story) -> None:
    said = reconcile(story.folder, ledger=tuple(story.ledgers), key_log=tuple(story.logs))
    assert "UNACCOUNTED use" in said.text
    assert not [line for line in said.text.splitlines() if parse(line)]
    raw = (story.folder / "reconciliation.json").read_text(encoding="ascii")
    assert "#" not in raw
    assert "\x1b" not in said.text + said.summary
    assert "\u202e" not in said.text + said.summary
    assert "<b>" not in said.summary
    assert said.report is not None
    assert said.report["unaccounted"][0]["caller"] == f"application {HOSTILE}"


def test_the_program_ends_with_its_exit_code(story: Story) -> None:
    run = kspsign(*story.arguments(), folder=story.folder)
    assert run.code == 8
    assert run.report["result"] == "unaccounted"
    assert "UNACCOUNTED" in run.text
    assert "remedy:  Find out who made them" in run.text
    assert "Traceback" not in run.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clock_skew": "soon"}, "--clock-skew: 'soon' is not a duration, such as 90s, 5m or 1h"),
        ({"clock_skew": "2d"}, "clocks that differ by more than a day"),
        ({"since": "yesterday"}, "--since: 'yesterday' is not a date or a time in ISO 8601"),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "--since is not before --until"),
        ({"log_column": ("when=Date",)}, "--log-column: 'when=Date' is not NAME=COLUMN"),
        ({"log_column": ("key=Key",)}, "the column of times must be named"),
        ({"log_column": ("time=Date",), "log_format": "aws-cloudtrail"}, "--log-column is for logs of your own"),
        ({"definition": (1,)}, "--definition goes with --from-azure-devops"),
        ({"ledger": ()}, "name the ledgers with --ledger"),
        ({"key_log": ()}, "--key-log: must not be empty"),
        ({"since": "$(since)"}, "$(since)"),
    ],
    ids=lambda value: None if isinstance(value, str) else json.dumps(value),
)
def test_options_that_can_not_be_meant(story: Story, options: dict[str, Any], words: str) -> None:
    said = reconcile(story.folder, None, **{"ledger": tuple(story.ledgers), "key_log": tuple(story.logs), **options})
    assert (said.code, said.report) == (3, None)
    assert words in said.error


def test_no_output_takes_the_place_of_an_input(story: Story) -> None:
    said = reconcile(story.folder, ledger=tuple(story.ledgers), key_log=tuple(story.logs), report=story.ledgers[0])
    assert said.code == 3
    assert "names that file too" in said.error
    assert story.answer().result == "unaccounted"


def test_an_empty_folder_is_not_a_comparison(story: Story) -> None:
    (story.folder / "empty").mkdir()
    said = reconcile(story.folder, ledger=tuple(story.ledgers), key_log=(story.folder / "empty",))
    assert (said.code, said.report) == (3, None)
    assert "there is no file in this folder" in said.error


def test_a_misspelt_key_is_not_a_comparison_that_passes(tmp_path: Path) -> None:
    """Every use that no build accounts for would be one of another key."""
    made = Story(tmp_path)
    made.build(7, ("a.exe",))
    made.log([key_vault(request_id((7, "a.exe")), moment()), key_vault("b" * 32, moment(1))])
    misspelt = reconcile(tmp_path, ledger=tuple(made.ledgers), key_log=tuple(made.logs), key=("code-sining",))
    assert misspelt.code == 2
    assert "--key code-sining: no use and no signature is of a key with this name" in misspelt.error
    assert "correct a misspelt --key" in misspelt.remedy
    spelt = reconcile(tmp_path, ledger=tuple(made.ledgers), key_log=tuple(made.logs), key=("code-signing",))
    assert spelt.code == 8


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (("time=When", "digest=Hsh"), "no record has the column 'Hsh' (digest); they have Hash, When, key"),
        (("time=Wen", "digest=Hash"), "no record has the column 'Wen' (time); they have Hash, When, key"),
        ((), "no record has the column 'time' (time); they have Hash, When, key"),
        (("time=When", "digest=Hash"), ""),
    ],
)
@pytest.mark.parametrize("shape", ["csv", "json lines"])
def test_a_column_that_no_record_has_is_refused(
    tmp_path: Path, shape: str, columns: tuple[str, ...], words: str
) -> None:
    made = Story(tmp_path)
    made.build(7, ("a.exe",))
    row = {"When": moment(), "key": "release", "Hash": "ab" * 32}
    log = tmp_path / "hsm.log"
    texts = {"csv": f"{','.join(row)}\n{','.join(row.values())}\n", "json lines": f"{json.dumps(row)}\n"}
    log.write_text(texts[shape], encoding="utf-8")
    said = reconcile(tmp_path, ledger=tuple(made.ledgers), key_log=(log,), log_column=columns, log_format="csv")
    assert (said.code == 3) == bool(words), said.error
    assert words in said.error
    assert not words or ("--log-column" in said.remedy and str(log) in said.error)
