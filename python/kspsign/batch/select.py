"""Selects files by patterns and detects their types: each file to sign once, or every name to verify."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from kspsign.authenticode.formats import detect_format, is_taken_by_name
from kspsign.authenticode.signable import HEAD, Glimpse
from kspsign.batch.patterns import Pattern, expand_lists
from kspsign.batch.tree import Tree, identity_of, prefix_of
from kspsign.batch.walk import exists, is_file, is_folder, real_path
from kspsign.model.errors import NoFilesMatchedError
from kspsign.model.globs import has_wildcards, may_end_in
from kspsign.model.report import LeftOut
from kspsign.model.suggest import did_you_mean
from kspsign.model.values import COPY_PREFIX, Artifact

LEFTOVER = "a signed copy that a run made next to its target"
LINK_OUT = "a link out of the folder"


class SelectionPurpose(Enum):
    """The purpose of a selection.

    SIGN: files that are meant to be signed, each once by its real path. In folders these are files of known formats;
    scripts for the Windows Script Host and symbol packages need a pattern that names them or ends in their extension;
    no link is followed out of the folder. JUDGE: every file by every name that a pattern matches, whatever it is.
    SIGN_AND_JUDGE: the former, and everything else of the latter, to be judged and not signed.
    """

    SIGN = "sign"
    JUDGE = "judge"
    SIGN_AND_JUDGE = "sign and judge"


class IdlePattern(NamedTuple):
    """A pattern that changed nothing, as it is shown, and why, "" where that is not known."""

    shown: str
    reason: str = ""
    excludes: bool = False


class Selection(NamedTuple):
    """The artifacts in the order of their names; patterns that changed nothing while others did; what was matched and
    left out on purpose."""

    artifacts: tuple[Artifact, ...]
    idle: tuple[IdlePattern, ...]
    left_out: tuple[LeftOut, ...] = ()
    in_other_case: tuple[str, ...] = ()


def select_artifacts(
    patterns: Iterable[str],
    folder: Path,
    purpose: SelectionPurpose = SelectionPurpose.SIGN,
    *,
    admit: Callable[[Sequence[Artifact]], None] = lambda _artifacts: None,
    holds: Callable[[Artifact], bool] | None = None,
) -> Selection:
    """The files that `patterns` name below `folder`. `admit` sees them before anything is said of what is missing, and
    may raise. `holds` says whether a file of no known format is a container with selected files: in folders it
    is taken too then.

    A pattern is a file, a folder (any depth) or a glob; `@FILE` reads patterns line by line (# comments). They count in
    their order, as in Azure Pipelines: `!` excludes from what was chosen before, and a later one may choose it again.
    Patterns ignore case where files are judged; where they are signed, as the system does.
    Raises NoFilesMatchedError when nothing matches or a file named outright is missing, ConfigurationError for a wrong
    pattern, and when a list or, to judge, a folder can't be read.
    """
    given = tuple(expand_lists(patterns, folder))
    tree = Tree(folder)
    signed = _ChosenFiles(tree, holds) if purpose is not SelectionPurpose.JUDGE else None
    judged = _Judged(tree) if purpose is not SelectionPurpose.SIGN else None
    kinds: list[_ChosenFiles | _Judged] = [kind for kind in (signed, judged) if kind is not None]
    idle = [pattern for pattern in given if not _applied(pattern, kinds)]
    artifacts = _together(signed, judged)
    admit(artifacts)
    unmatched = [pattern for pattern in idle if not pattern.excludes]
    missing = [pattern for pattern in unmatched if _is_name_of_nothing(pattern, folder)]
    if missing or not artifacts:
        shown = tuple(pattern.shown for pattern in missing or given)
        reasons = dict.fromkeys(why_nothing(pattern, folder) for pattern in missing or unmatched)
        raise NoFilesMatchedError(shown, str(folder.absolute()), "; ".join(filter(None, reasons)))
    left_out = {name: out for kind in kinds[-1:] for name, out in kind.left_out.items()}
    for name in (name for artifact in artifacts if left_out for name in artifact.names):
        left_out.pop(name, None)
    return Selection(
        artifacts,
        tuple(IdlePattern(pattern.shown, why_nothing(pattern, folder), pattern.excludes) for pattern in idle),
        tuple(left_out[name] for name in sorted(left_out)),
        tuple(pattern.shown for pattern in given if judged is not None and pattern.shown in judged.in_other_case),
    )


def named_artifacts(paths: Iterable[Path], folder: Path) -> tuple[Artifact, ...]:
    """These files in their order, whatever their names look like: no name is a pattern, and any type is taken.

    A file of several names or links is one artifact, by the first; see `shown_name`.
    """
    chosen: dict[str, Artifact] = {}
    for path in paths:
        real, name = str(real_path(folder / path)), shown_name(path, folder)
        found = chosen.setdefault(identity_of(real), _artifact(real, name))
        if name not in found.names:
            chosen[identity_of(real)] = found._replace(aliases=(*found.aliases, name))
    return tuple(chosen.values())


def shown_name(path: Path, folder: Path) -> str:
    """What the artifact at `path` is called: its path below `folder`, or the whole one elsewhere."""
    base = folder.absolute()
    whole = base / path
    return (whole.relative_to(base) if whole.is_relative_to(base) else whole).as_posix()


def _applied(pattern: Pattern, kinds: Sequence[_ChosenFiles | _Judged]) -> bool:
    """Apply `pattern` to what was chosen so far; whether that changed anything or named what was chosen already."""
    return sum(kind.exclude(pattern) if pattern.excludes else kind.add(pattern) for kind in kinds) > 0


def _is_name_of_nothing(pattern: Pattern, folder: Path) -> bool:
    return not any(has_wildcards(text) or exists(folder / text) for text in pattern.alternatives)


def why_nothing(pattern: Pattern, folder: Path) -> str:
    """Which folder on the way of a pattern is missing, with the nearest name that there is; "" when none is.

    What a list file holds is not shown.
    """
    if not is_folder(folder):
        return f"there is no folder {folder.as_posix()}"
    if len(pattern.alternatives) != 1 or pattern.shown.lstrip("!") != pattern.alternatives[0]:
        return ""
    here = folder
    parts = Path(pattern.alternatives[0]).parts
    for number, part in enumerate(parts):
        if has_wildcards(part):
            return ""
        if not exists(here / part):
            what = "file or folder" if number == len(parts) - 1 else "folder"
            near = did_you_mean(part, _names_in(here)).strip()
            return f"there is no {what} {(here / part).as_posix()}" + (
                f" ({near[0].lower()}{near[1:]})" if near else ""
            )
        here = here / part
    return ""


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names alone
    except OSError:
        return []


def _together(signed: _ChosenFiles | None, judged: _Judged | None) -> tuple[Artifact, ...]:
    """All artifacts, in the order of their names. A further name of a file to be signed is one of its aliases; whatever
    else is judged is not to be signed."""
    chosen = dict(signed.chosen) if signed else {}
    if judged is None:
        return tuple(sorted(chosen.values(), key=lambda artifact: artifact.name))
    known = {os.path.normcase(name) for artifact in chosen.values() for name in artifact.names}
    others = []
    for artifact in judged.chosen.values():
        if os.path.normcase(artifact.name) in known:
            continue
        same = chosen.get(identity_of(artifact.real))
        if same is not None:
            chosen[identity_of(artifact.real)] = same._replace(aliases=(*same.aliases, artifact.name))
        else:
            others.append(artifact if signed is None else artifact._replace(to_sign=False))
    return tuple(sorted((*chosen.values(), *others), key=lambda artifact: artifact.name))


class _ChosenFiles:
    """Files to sign, by the identity of their real path."""

    def __init__(self, tree: Tree, holds: Callable[[Artifact], bool] | None = None) -> None:
        self.chosen: dict[str, Artifact] = {}
        self.left_out: dict[str, LeftOut] = {}
        self._tree, self._folder, self._holds = tree, tree.folder, holds

    def add(self, pattern: Pattern) -> bool:
        """Choose what `pattern` means; whether that is anything."""
        return sum(self._add(text) for text in pattern.alternatives) > 0

    def _add(self, pattern: str) -> bool:
        outright = is_file(self._folder / pattern)
        inside = tuple(map(prefix_of, (self._tree.real_folder, real_path(self._folder / _fixed_part(pattern)))))
        before = len(self.chosen)
        known = 0
        for path in self._tree.walk().find(pattern):
            names = self._tree.names(path)
            identity = identity_of(names.real)
            escapes = not (outright or identity.startswith(inside))
            reason = path.fault or (f"{LINK_OUT}, to {Path(names.real).as_posix()}" if escapes else "")
            artifact = None if reason else self.chosen.get(identity) or _artifact(names.real, names.shown)
            reason = reason or self._inconvenience(artifact, names.shown, pattern)
            if artifact is None or reason:
                self.left_out[names.shown] = LeftOut(names.shown, reason)
                continue
            known += 1
            found = self.chosen.setdefault(identity, artifact)
            new = tuple(dict.fromkeys(name for name in (names.shown, names.own) if name not in found.names))
            if new:
                self.chosen[identity] = found._replace(aliases=(*found.aliases, *new))
        return len(self.chosen) > before or known > 0

    def exclude(self, pattern: Pattern) -> bool:
        """Leave out what `pattern` names, by whatever name it was chosen; whether that is anything."""
        before = len(self.chosen)
        walk = self._tree.walk()
        for path in (found for text in pattern.alternatives for found in walk.find(text)):
            artifact = self.chosen.pop(identity_of(self._tree.names(path).real), None)
            if artifact is not None:
                self.left_out[artifact.name] = _excluded(artifact.name, pattern)
        return len(self.chosen) < before

    def _inconvenience(self, artifact: Artifact | None, shown: str, pattern: str) -> str:
        """Why that pattern can't mean the file to be signed, "" when it can."""
        if artifact is None:
            return ""
        name = shown.rpartition("/")[2]
        suffix = Path(name).suffix.lower()
        if name.startswith(COPY_PREFIX):
            return LEFTOVER
        # A file that can't be read is of no format either: its step meets the same refusal, as that file's outcome.
        unknown = artifact.format is None and artifact.readable
        if unknown and is_folder(self._folder / pattern) and not (self._holds and self._holds(artifact)):
            return "not a signable format, in a folder"
        if is_taken_by_name(artifact.format, suffix) and not may_end_in(pattern, suffix):
            return f"signed only by a pattern that names it or ends in {suffix}"
        return ""


class _Judged:
    """Files to judge, by each of their names: a link has one of its own, and what it leads to another."""

    def __init__(self, tree: Tree) -> None:
        self.chosen: dict[str, Artifact] = {}
        self.left_out: dict[str, LeftOut] = {}
        self.in_other_case: set[str] = set()
        self._tree = tree

    def add(self, pattern: Pattern) -> bool:
        """Choose what `pattern` matches, and what the links among it lead to; whether that is anything."""
        any_chosen = False
        walk = self._tree.walk(every_name=True)
        for path in (found for text in pattern.alternatives for found in walk.find(text)):
            names = self._tree.names(path)
            if path.fault:
                self.left_out[names.shown] = LeftOut(names.shown, path.fault)
                continue
            any_chosen = True
            for spelling in (names.shown, names.own):
                if os.path.normcase(spelling) not in self.chosen:
                    self.chosen[os.path.normcase(spelling)] = _artifact(names.real, spelling)
        if walk.ignored_case:
            self.in_other_case.add(pattern.shown)
        return any_chosen

    def exclude(self, pattern: Pattern) -> bool:
        """Leave out the names that `pattern` matches, if any was chosen; what a link leads to keeps its own."""
        before = len(self.chosen)
        walk = self._tree.walk(every_name=True)
        for path in (found for text in pattern.alternatives for found in walk.find(text)):
            name = self._tree.names(path).shown
            if self.chosen.pop(os.path.normcase(name), None) is not None:
                self.left_out[name] = _excluded(name, pattern)
        return len(self.chosen) < before


def _excluded(name: str, pattern: Pattern) -> LeftOut:
    return LeftOut(name, f"excluded by {pattern.shown}")


def _artifact(real: str, name: str) -> Artifact:
    path = Path(real)
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD)
            size = file.seek(0, os.SEEK_END)
    except OSError:
        return Artifact(real, name, None, 0, readable=False)
    return Artifact(real, name, detect_format(Glimpse(path, head, size)), size)


def _fixed_part(pattern: str) -> str:
    """The folders that a pattern begins with before its first wildcard."""
    parts = Path(pattern).parts
    fixed = next((index for index, part in enumerate(parts) if has_wildcards(part)), len(parts))
    return str(Path(*parts[:fixed])) if fixed else "."
