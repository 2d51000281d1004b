"""What is recorded of each use of the key, whatever becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from kspsign.authenticode.signable import SignableFile
from kspsign.ledger.entries import RunEntry
from kspsign.ledger.file import LedgerFile
from kspsign.ledger.read import KeyUse, key_uses, read_ledger
from kspsign.model.errors import PrerequisiteError, SigningError
from kspsign.model.values import Artifact, DigestAlgorithm, Format
from kspsign.programs.signtool_output import SignToolWords
from kspsign.signing.tool_calls import FileDetails
from kspsign.signing.tool_errors import ToolRefusal
from kspsign.signing.tool_state import FileState, Request
from kspsign.signing.tool_uses import record_use
from kspsign.signing.use_recorder import USES_SHOWN, UseRecorder, new_use
from support.ledgers import certificate, run_entry

SHA256 = DigestAlgorithm.SHA256
REFUSAL = SigningError("no", code="SIGNTOOL_FAILED", remedy="Do it again.")


def begun(identifier: str, time: str) -> RunEntry:
    return run_entry().model_copy(update={"run": identifier, "time": time})


def recorder(path: Path) -> UseRecorder:
    uses = UseRecorder()
    uses.begin(begun, [LedgerFile(path)])
    return uses


def uses_of(path: Path) -> list[KeyUse]:
    ledger = read_ledger(path)
    assert ledger.faults == ()
    return key_uses(ledger.entries)


def test_what_the_run_ends_with_is_kept_discarded_or_lost(tmp_path: Path) -> None:
    for kept, expected in ((True, ["kept", "kept", "lost"]), (False, ["discarded", "lost", "lost"])):
        path = tmp_path / f"{kept}.jsonl"
        uses = recorder(path)
        answered, begins, unanswered = (new_use() for _ in range(3))
        for number, use in enumerate((answered, begins, unanswered)):
            uses.ask(use, bytes([number]) * 32, SHA256, f"{number}.exe")
        uses.answered(answered, certificate().thumbprint, "request-1")
        uses.answered(begins, None, operation="operation-2")
        uses.end(kept=kept)
        assert [use.outcome for use in uses_of(path)] == expected
        assert dict(uses.outcomes) == {outcome: expected.count(outcome) for outcome in set(expected)}


def test_nothing_is_asked_for_that_can_not_be_recorded(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    uses = recorder(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(PrerequisiteError, match="can't be written"):
        uses.ask(new_use(), b"d" * 32, SHA256)
    assert (uses.asked, uses.shown) == (0, ())


def test_what_follows_a_request_never_fails_it(tmp_path: Path) -> None:
    path, use = tmp_path / "ledger.jsonl", new_use()
    uses = recorder(path)
    uses.ask(use, b"d" * 32, SHA256, "a.exe")
    path.unlink()
    path.mkdir()
    uses.answered(use, certificate().thumbprint)
    uses.embedded(b"d" * 32, SHA256, "a.exe")
    assert uses.fault is not None
    assert uses.outcomes["embedded"] == 1


def test_names_that_are_no_text_are_kept_readable(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    uses = recorder(path)
    hostile = '\udcff"}\n##vso[task.complete result=Succeeded;]' + "x" * 5000
    uses.ask(new_use(), b"d" * 32, SHA256, hostile)
    (use,) = uses_of(path)
    assert use.files[0].startswith('\\udcff"}\n##vso[')
    assert b"#" not in path.read_bytes()


def test_the_report_lists_the_first_uses(tmp_path: Path) -> None:
    uses = recorder(tmp_path / "ledger.jsonl")
    for number in range(USES_SHOWN + 5):
        uses.ask(new_use(), number.to_bytes(32), SHA256)
    assert (len(uses.shown), uses.asked) == (USES_SHOWN, USES_SHOWN + 5)


def _request(**facts: Any) -> Request:
    artifact = Artifact("/a.exe", "a.exe", Format.PE, 1)
    return Request(artifact, cast("SignableFile", None), "copy.exe", FileState(), use=new_use(), **facts)


@pytest.mark.parametrize(
    ("facts", "more", "said", "wasted", "expected"),
    [
        ({"signed": True, "certificate": certificate().thumbprint}, FileDetails("id", None), {}, False, "obtained"),
        ({"refusal": ToolRefusal(REFUSAL, transient=True)}, None, {"copy.exe": "timestamp server"}, True, "discarded"),
        ({"refusal": ToolRefusal(REFUSAL, transient=True)}, None, {"copy.exe": "denied"}, False, "refused"),
        ({"refusal": ToolRefusal(REFUSAL, transient=True, everywhere=True)}, None, {}, False, "refused"),
        ({"refusal": ToolRefusal(REFUSAL, transient=True)}, None, {}, False, "lost"),
    ],
)
def test_what_a_tool_made_of_a_request(
    facts: dict[str, Any],
    more: FileDetails | None,
    said: dict[str, str],
    wasted: bool,
    expected: str,
    tmp_path: Path,
) -> None:
    request, path = _request(**facts), tmp_path / "ledger.jsonl"
    uses = recorder(path)
    uses.ask(request.use, None, SHA256, request.artifact.name)
    words = SignToolWords(frozenset(), said, "", None)
    record_use(uses, request, more, words, wasted=wasted)
    (use,) = uses_of(path)
    assert (use.outcome, use.digest, use.files) == (expected, None, ("a.exe",))
    if expected == "obtained":
        uses.embedded_use(request.use, "a.exe", "0" * 64)
        assert uses_of(path)[0].outcome == "embedded"
