"""Optional hooks through which an engine follows a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from kspsign.authenticode.signable import SignableFile
from kspsign.model.report import RunWarning
from kspsign.programs.locate import Tool
from kspsign.signing.copies import SignedCopy


def _ignore(_subject: object) -> None:
    """The engine does not ask for it."""


class Hooks(NamedTuple):
    """An engine supplies those that it has a use for.

    `admit` raises ArtifactError for a file that can't be signed, before anything is spent; it makes no requests and
    reads no content. `on_committed` is called when a copy has taken its target's place, so that its signature can't get
    lost any more; `on_already_signed` for a file that carries a signature of ours. `notices` are lines for the end of
    the run, `warnings` what should be acted on. `tool` is the outside program that signs; `tool_output` is what it
    printed since the last time, for --verbose.
    """

    admit: Callable[[SignableFile], object] = _ignore
    on_committed: Callable[[SignedCopy], object] = _ignore
    on_already_signed: Callable[[SignableFile], object] = _ignore
    notices: Callable[[], Iterable[str]] = tuple
    warnings: Callable[[], Iterable[RunWarning]] = tuple
    tool: Tool | None = None
    tool_output: Callable[[], Iterable[str]] = tuple
