"""Judges files and what is inside them without a run, for a command that only shows them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from graphlib import TopologicalSorter

from kspsign.batch.guard import guarded
from kspsign.batch.inside.enter import Entered
from kspsign.batch.inside.tree import Inside
from kspsign.batch.inside.verdict import verify_container
from kspsign.batch.outcomes import checked
from kspsign.model.report import FileOutcome
from kspsign.model.values import Artifact
from kspsign.signing.shared_state import SharedState
from kspsign.verifying import Verifier


def judge_all(entered: Entered, verifier: Verifier) -> Mapping[str, FileOutcome]:
    """The outcome of each file by its name: that of `verify --inside`, containers after all that they hold."""
    inside, shared = entered.inside, SharedState.begin(threading.Event())
    artifacts = {artifact.name: artifact for artifact in entered.artifacts if not inside.is_duplicate(artifact)}
    outcomes: dict[str, FileOutcome] = {}
    order = (*TopologicalSorter(inside.dependencies).static_order(), *artifacts)
    for artifact in (artifacts[str(name)] for name in dict.fromkeys(order) if name in artifacts):
        step = partial(_checked, artifact, inside, verifier)
        outcome = guarded(artifact, shared, step)
        inside.settle(outcome)
        outcomes.update((row.path, row) for row in inside.rows(outcome))
    return outcomes


def _checked(artifact: Artifact, inside: Inside, verifier: Verifier) -> FileOutcome:
    node = inside.nodes.get(artifact.name)
    if node is not None:
        return checked(artifact, verify_container(node, inside, verifier), {})
    return checked(artifact, verifier.verify(artifact.path, artifact.format, artifact.name), {})
