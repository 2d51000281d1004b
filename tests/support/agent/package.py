"""Installing the task as the agent does: its folder alone, out of the .vsix."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

TASK_CONTRIBUTION = "ms.vss-distributed-task.task"


@dataclass(frozen=True, slots=True)
class InstalledTask:
    """A task folder below _tasks, and its task.json."""

    folder: Path
    definition: dict[str, Any]


def install(vsix: Path, tasks: Path, name: str) -> InstalledTask:
    """Unpack the task `name` of an extension to <tasks>/<name>_<id>/<version>, unless it is there already."""
    with zipfile.ZipFile(vsix) as archive:
        manifest = json.loads(archive.read("extension.vsomanifest"))
        for contribution in manifest["contributions"]:
            if contribution["type"] != TASK_CONTRIBUTION:
                continue
            source = PurePosixPath(contribution["properties"]["name"])
            definition = json.loads(archive.read(str(source / "task.json")))
            if definition["name"] == name:
                version = ".".join(str(definition["version"][part]) for part in ("Major", "Minor", "Patch"))
                folder = tasks / f"{name}_{definition['id']}" / version
                _unpack(archive, source, folder)
                return InstalledTask(folder, definition)
    raise LookupError(f"{vsix} holds no task {name}")


def _unpack(archive: zipfile.ZipFile, source: PurePosixPath, folder: Path) -> None:
    completed = folder.with_name(folder.name + ".completed")
    if completed.exists():
        return
    for member in archive.namelist():
        path = PurePosixPath(member)
        if path.is_relative_to(source):
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))
    completed.touch()
