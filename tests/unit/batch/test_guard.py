"""The per-file boundary: what happens to one file is its outcome, with a cause that helps."""

from __future__ import annotations

import threading

import pytest

from kspsign.batch.guard import guarded
from kspsign.model.report import FileOutcome
from kspsign.model.values import Artifact, Format
from kspsign.publishing.fatal import report_unexpected
from kspsign.signing.shared_state import SharedState


def outcome(fault: Exception) -> FileOutcome:
    def step() -> FileOutcome:
        raise fault

    made = guarded(Artifact("big.ps1", "big.ps1", Format.POWERSHELL, 5), SharedState.begin(threading.Event()), step)
    assert isinstance(made, FileOutcome)
    return made


def test_too_little_memory_is_not_called_a_defect(capsys: pytest.CaptureFixture[str]) -> None:
    error = outcome(MemoryError()).error
    assert error is not None
    assert error.code == "E_OUTOFMEMORY"
    assert "ulimit" in error.remedy
    assert "defect" not in error.message + error.remedy
    report_unexpected(MemoryError())
    text = capsys.readouterr().err
    assert "more memory" in text
    assert "defect" not in text


def test_anything_else_unexpected_is(capsys: pytest.CaptureFixture[str]) -> None:
    error = outcome(ZeroDivisionError("x")).error
    assert error is not None
    assert "defect" in error.remedy
    report_unexpected(ZeroDivisionError("x"))
    assert "defect" in capsys.readouterr().err
