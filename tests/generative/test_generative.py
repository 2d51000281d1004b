"""Nothing that is put into, repeated in, moved in or taken from a signed file or its message verifies.

A sample of all changes with a fixed seed, about a minute in all; `make fuzz` judges others for minutes.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from generative.der_changes import Change
from generative.documented import Exceptions
from generative.run_changes import Trial
from generative.samples import SAMPLES

pytestmark = pytest.mark.no_cover  # what it reaches others reach: to count that doubles its minutes
MESSAGES, FILES = 160, 120


@pytest.mark.parametrize("name", SAMPLES)
def test_no_change_verifies(name: str, tmp_path: Path) -> None:
    trial = Trial(name, tmp_path)
    assert trial.fault() is None, "the sample itself"
    source = random.Random(name)  # noqa: S311 - reproducible, not secret
    trial.judge_messages(source, MESSAGES)
    trial.judge_files(source, FILES)
    assert not trial.result.holes, trial.result
    assert trial.result.judged.total() > MESSAGES, trial.result


def test_what_is_documented_does_verify(tmp_path: Path) -> None:
    """An exception that no change needs any more is none."""
    wanted: set[str] = set()
    verified: set[str] = set()
    for name in ("vendor", "nested"):
        (tmp_path / name).mkdir()
        trial = Trial(name, tmp_path / name)
        exceptions = Exceptions(trial.sample)
        chosen: dict[str, list[Change]] = {}
        for change in trial.message_changes:
            if (reason := exceptions.of_message(change)) is not None:
                chosen.setdefault(reason, []).append(change)
        source = random.Random(name)  # noqa: S311 - reproducible, not secret
        for several in chosen.values():
            trial.judge_each(source.sample(several, min(60, len(several))))
        wanted |= set(chosen)
        verified |= set(trial.result.documented)
    assert verified == wanted
    assert len(wanted) == 5
