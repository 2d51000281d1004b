"""What is asked for by name and not inside the containers of a slice: it may be inside those of other slices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from kspsign.batch.inside.folder import PrivateFolder
from kspsign.batch.inside.opener import Opener
from kspsign.batch.inside.patterns import EVERYTHING, InsidePatterns
from kspsign.model.errors import CancelledError
from kspsign.model.values import Artifact
from kspsign.verifying.policy.judge import Judge


class Elsewhere:
    """Opens the containers of other slices, one by one, while `patterns` or the policy ask for what was not found.

    So every slice comes to what one run over all files would: a rule holds for all of them. Nothing stays open.
    """

    def __init__(
        self,
        opener_in: Callable[[PrivateFolder], Opener],
        patterns: InsidePatterns,
        judge: Judge | None,
        below: Path | None,
    ) -> None:
        self._opener_in, self._patterns, self._judge, self._below = opener_in, patterns, judge, below

    def names(
        self, everything: Sequence[Artifact], own: Sequence[Artifact], cancelled: threading.Event
    ) -> tuple[str, ...]:
        """The names of files inside those of `everything` that are not `own`, until all that is asked for is found.

        Raises CancelledError.
        """
        names = {artifact.name for artifact in own}
        others = [artifact for artifact in everything if artifact.name not in names]
        found: list[str] = []
        demanded = self._unmatched([name for artifact in (*own, *others) for name in artifact.names])
        sought = self._sought(demanded)
        for artifact in others:
            if sought is None:
                break
            if cancelled.is_set():
                raise CancelledError
            if not sought.reaches_into(artifact.name):
                continue
            with PrivateFolder(self._below) as folder:
                opened = self._opener_in(folder).look_into(artifact)
            if opened is None:
                continue
            new = [inner.name for level in opened.below() for inner in level.artifacts]
            found += new
            still = self._unmatched(new)
            demanded = tuple(glob for glob in demanded if glob in still)
            sought = self._sought(demanded)
        return tuple(found)

    def _unmatched(self, names: Sequence[str]) -> tuple[str, ...]:
        return () if self._judge is None else self._judge.unmatched(names)

    def _sought(self, demanded: Sequence[str]) -> InsidePatterns | None:
        """What is still to be found, None when that is nothing."""
        idle = (pattern.lstrip("!") for pattern in self._patterns.idle if pattern != EVERYTHING)
        texts = (*idle, *demanded)
        return InsidePatterns(texts) if texts else None
