"""Files that are written: none may be one of the files that are worked on, nor take the place of any other input."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from kspsign.authenticode.formats import detect_format
from kspsign.authenticode.signable import HEAD, Glimpse
from kspsign.batch.walk import real_path
from kspsign.model.errors import ConfigurationError
from kspsign.model.values import Artifact
from kspsign.settings.config_file import ConfigOrigin
from kspsign.settings.context import RunContext
from kspsign.settings.faults import option_name
from kspsign.settings.model import STANDARD_OUTPUT, Settings
from kspsign.settings.store_options import Output, marker

_OWN_MARK = b"kspsign"
"""What every report, JUnit file and summary of ours has near its beginning."""


def outputs_of(settings: BaseModel, context: RunContext) -> dict[str, Path]:
    """Every file that is to be written, by the option or variable that names it."""
    files = {
        option_name(name): getattr(settings, name)
        for name, field in type(settings).model_fields.items()
        if marker(field, Output) is not None and getattr(settings, name) not in {None, STANDARD_OUTPUT}
    }
    step = context.step_files
    variables = {"GITHUB_OUTPUT": step and step.outputs, "GITHUB_STEP_SUMMARY": step and step.summary}
    return files | {name: path for name, path in variables.items() if path is not None}


def inputs_of(*settings: BaseModel | None) -> dict[str, Path]:
    """Every file that the settings name to be read, by its option."""
    found: dict[str, Path] = {}
    for model in (setting for setting in settings if setting is not None):
        for name, field in type(model).model_fields.items():
            value = getattr(model, name)
            paths = [item for item in (value if type(value) is tuple else (value,)) if isinstance(item, Path)]
            if marker(field, Output) is None:
                found |= {
                    f"{option_name(name)}{f' ({number})' if number else ''}": path for number, path in enumerate(paths)
                }
        origin = getattr(model, "configuration", ConfigOrigin())
        if origin.facts is not None:
            found["--config"] = Path(origin.facts.name)
        folder = getattr(model, "folder", Path())
        listed = [line.strip() for text in getattr(model, "files", ()) for line in text.splitlines()]
        found |= {
            argument: folder / argument[1:] for argument in listed if argument.startswith("@") and argument != "@-"
        }
    return found


def state_folders(settings: Settings) -> dict[str, Path]:
    """The folders that a signing run writes to, besides those of the files."""
    store = settings.store_folder
    return {
        "--journal" if settings.journal else "--store": settings.journal_folder,
        "--store (certificates)": store / "certificates",
        "--store (embedded)": store / "embedded",
    }


def check_outputs(outputs: Mapping[str, Path], inputs: Mapping[str, Path]) -> None:
    """Before anything is looked for: no output is an input, another output, or a file of a kind that can be signed.

    Raises ConfigurationError.
    """
    known = dict(inputs)
    for option, path in outputs.items():
        for other, taken in known.items():
            if _same(path, taken):
                raise _refused(option, path, f"{other} names that file too ({taken})")
        if _is_signable(path):
            raise _refused(option, path, "it is a file that can be signed, and would be overwritten")
        known[option] = path


def check_artifacts(outputs: Mapping[str, Path], folders: Mapping[str, Path], artifacts: Sequence[Artifact]) -> None:
    """No output is one of the matched `artifacts`, by any name or link, and none of them is in one of `folders`.

    Raises ConfigurationError.
    """
    by_path = {_folded_text(artifact.real): artifact for artifact in artifacts} if outputs else {}
    for option, path in outputs.items():
        found = by_path.get(_folded(path)) or next(_of_content(path, artifacts), None)
        if found is not None:
            raise _refused(option, path, f"it is one of the files to work on: {found.name}")
    for option, folder in folders.items():
        below = os.path.normcase(real_path(folder) / "_")[:-1]
        inside = next((artifact for artifact in artifacts if os.path.normcase(artifact.real).startswith(below)), None)
        if inside is not None:
            raise _refused(option, folder, f"{inside.name}, one of the files to work on, is in that folder")


def may_be_written_unchecked(path: Path) -> bool:
    """Whether `path` can be written though it is not known which files matched: it is new, empty, or was ours."""
    head = _head(path)
    return not os.path.lexists(path) if head is None else not head or _OWN_MARK in head


def _of_content(path: Path, artifacts: Iterable[Artifact]) -> Iterator[Artifact]:
    """The artifacts that are the same file on disk, by whatever name."""
    try:
        state = path.stat()
    except OSError:
        return
    yield from (artifact for artifact in artifacts if artifact.size == state.st_size and _same(artifact.path, path))


def _same(one: Path, other: Path) -> bool:
    try:
        return _folded(one) == _folded(other) or one.samefile(other)
    except OSError:
        return False


def _folded(path: Path) -> str:
    """The real path as file systems that ignore case and normal form compare it."""
    return _folded_text(str(real_path(path)))


def _folded_text(real: str) -> str:
    return unicodedata.normalize("NFC", real).casefold()


def _is_signable(path: Path) -> bool:
    head = _head(path)
    return head is not None and detect_format(Glimpse(path, head, path.stat().st_size)) is not None


def _head(path: Path) -> bytes | None:
    """The first bytes of a regular file; None for anything else."""
    try:
        if not path.is_file():
            return None
        with path.open("rb", buffering=0) as file:
            return file.read(HEAD)
    except OSError:
        return None


def _refused(option: str, path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{option} would write to {path}: {reason}",
        remedy="Name a file that is none of the files to work on and no other input, or exclude it (!PATTERN).",
        file=str(path),
    )
