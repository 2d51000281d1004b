"""Files that were read and checked before any is signed, kept open until each is processed."""

from __future__ import annotations

import os

from kspsign.authenticode.io.snapshot import DiskState
from kspsign.authenticode.signable import SignableFile
from kspsign.model.values import Artifact
from kspsign.signing.copies import LockedTarget

MOST_KEPT = 1000
"""Structures in memory at a time; the files beyond are read again when their turn comes."""


class Admissions:
    """The structures of admitted files by shown name; each is taken once, by any thread."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[DiskState, SignableFile]] = {}

    def keep(self, artifact: Artifact, state: os.stat_result, file: SignableFile) -> None:
        """Keep `file`, which was read when the artifact was in `state`, if there is room."""
        if len(self._kept) < MOST_KEPT:
            self._kept[artifact.name] = DiskState.of_stat(state), file

    def take(self, held: LockedTarget) -> SignableFile | None:
        """The file as it was admitted; None when it is not kept, or was changed before it was held."""
        before, file = self._kept.pop(held.artifact.name, (None, None))
        return file if before is not None and before.is_unchanged(DiskState.of_stat(held.state)) else None
