"""Judges changes of a sample, and says which verify that are not documented."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from generative.cabinet_changes import cabinet_changes
from generative.compound_changes import compound_changes
from generative.der_changes import Change, changes, tree
from generative.documented import Exceptions
from generative.file_changes import FileChange, byte_changes
from generative.image_changes import image_changes
from generative.navx_changes import navx_changes
from generative.samples import SAMPLES, Court, Sample
from generative.script_changes import script_changes
from generative.zip_changes import zip_changes
from kspsign.model.values import Format

SCRIPTS = frozenset({Format.POWERSHELL, Format.POWERSHELL_XML, Format.VBSCRIPT, Format.JSCRIPT, Format.WSF})


def structure_changes(sample: Sample, source: random.Random) -> Iterator[FileChange]:
    """The changes of the structure that the sample's format has."""
    if sample.data[:4] == b"PK\3\4":
        yield from zip_changes(sample.data)
    elif sample.format_ is Format.MSI:
        yield from compound_changes(sample.data)
    elif sample.format_ is Format.CAB:
        yield from cabinet_changes(sample.data, source)
    elif sample.format_ is Format.NAVX:
        yield from navx_changes(sample.data)
    elif sample.format_ is Format.PE:
        yield from image_changes(sample.data, source)
    elif sample.format_ in SCRIPTS:
        yield from script_changes(sample.data)


@dataclass
class Result:
    """How many changes were judged, by kind; how many verified for a documented reason; and the others that did."""

    name: str
    judged: Counter[str] = field(default_factory=Counter)
    documented: Counter[str] = field(default_factory=Counter)
    holes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.judged.most_common())
        return f"{self.name}: {self.judged.total()} changes ({kinds}), {self.documented.total()} documented"


class Trial:
    """One sample with all changes of its message and of the file around it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.sample: Sample = SAMPLES[name](folder)
        self._court = Court(folder)
        self._exceptions = Exceptions(self.sample)
        self.message_changes = list(changes(tree(self.sample.message)))
        self.result = Result(name)

    def fault(self) -> str | None:
        """Why the sample itself does not verify; None when it does, as it should."""
        return self._court.fault(self.sample, self.sample.data)

    def judge_messages(self, source: random.Random, count: int) -> None:
        """Judge `count` changes of the message."""
        self.judge_each(source.sample(self.message_changes, min(count, len(self.message_changes))))

    def judge_each(self, chosen: Sequence[Change]) -> None:
        """Judge these changes of the message."""
        for change in chosen:
            changed = change.make()
            if changed != self.sample.message:
                self._judge(change, self.sample.put(changed), self._exceptions.of_message(change))

    def judge_files(self, source: random.Random, count: int) -> None:
        """Judge half as many changes of the file's structure, and as many of its bytes."""
        structure = list(structure_changes(self.sample, source))
        chosen = source.sample(structure, min(count // 2, len(structure)))
        for change in (*chosen, *byte_changes(self.sample, source, count // 2)):
            data = change.make()
            if data != self.sample.data:
                self._judge(change, data, self._exceptions.of_file(change))

    def _judge(self, change: Change | FileChange, data: bytes | None, reason: str | None) -> None:
        self.result.judged[change.kind.split()[0]] += 1
        if data is None or self._court.fault(self.sample, data) is not None:
            return
        if reason is None:
            self.result.holes.append(change.label)
        else:
            self.result.documented[reason] += 1
