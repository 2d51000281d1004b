"""Writes launchers and their settings, and puts them on the PATH of a pipeline's following steps."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kspsign.cli.drop_in import DROP_INS
from kspsign.cli.shims.launchers import write_launchers
from kspsign.cli.shims.settings_file import PASSWORD_VARIABLE, SIGNATURE_CACHE, write_settings_file
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.programs.locate import Tool, find_on_path
from kspsign.publishing.logging_commands import logging_command
from kspsign.publishing.sanitize import log_line
from kspsign.settings.context import RunContext
from kspsign.settings.model import Settings
from kspsign.signing.signature_cache import begin_count

STEP_FOLDER: Final = "kspsign-shims"
"""In the temporary folder of an agent's job, which is emptied after it."""
PATH_FILE: Final = "GITHUB_PATH"


def write_shims(folder: Path, settings: Settings, context: RunContext, environment: Mapping[str, str]) -> int:
    """Write the launchers to `folder`; a step of a pipeline puts it on the PATH of those that follow. Returns 0.

    Raises ConfigurationError when another signtool or smctl is on PATH and --shadow does not say that kspsign's come
    before it.
    """
    if not settings.shadow:
        _check_unshadowed(settings)
    folder = folder.absolute()
    begin_count(settings.signature_cache or folder / SIGNATURE_CACHE)
    file = write_settings_file(folder, settings)
    for path in write_launchers(folder, file):
        _say(f"wrote {path}")
    _say(f"their settings: {file}; the environment variable KSPSIGN_CONFIG names others")
    _say(
        "secrets are in none of these files: each step that signs maps them into its own environment"
        + (f", the password as {PASSWORD_VARIABLE}" if PASSWORD_VARIABLE in file.read_text(encoding="utf-8") else "")
    )
    _put_on_path(folder, context, environment)
    return 0


def step_folder(context: RunContext) -> Path:
    """Where the task and the action write launchers."""
    return context.temp_folder / STEP_FOLDER


def _check_unshadowed(settings: Settings) -> None:
    for command in DROP_INS:
        found = find_on_path(command, settings)
        if found is not None and _is_another(command, found):
            _say(
                f"{found.path} is another program of that name: where {command} is called, the launcher is found first"
            )
        elif found is not None:
            raise PrerequisiteError(
                f"{found.path} is on PATH: a launcher of kspsign before it would take its place",
                code="WOULD_SHADOW",
                remedy="If later steps are to sign through kspsign instead, say so with --shadow; else take that "
                "program's folder off PATH, or name the launcher by its path in the build tool.",
            )


def _is_another(command: str, found: Tool) -> bool:
    """Whether it is not the program that the launcher answers for: Linux systems have a `signtool` of Mozilla's NSS,
    while Microsoft's is a program for Windows everywhere."""
    return command == "signtool" and not found.architecture


def _put_on_path(folder: Path, context: RunContext, environment: Mapping[str, str]) -> None:
    """By the pipeline's own means; elsewhere say what to do."""
    if context.caller == "task":
        sys.stdout.write(logging_command("task.prependpath", str(folder)) + "\n")
        return
    if context.caller == "action":
        listing = environment.get(PATH_FILE)
        if not listing:
            raise ConfigurationError(f"{PATH_FILE} is not set", remedy="Run the action in a step of GitHub Actions.")
        with Path(listing).open("a", encoding="utf-8") as lines:
            lines.write(f"{folder}\n")
        _say(f"{folder} is on the PATH of the following steps")
        return
    _say(f"to have them found by name: {_path_line(folder)}")


def _path_line(folder: Path) -> str:
    if os.name == "nt":
        return f'$env:PATH = "{folder};$env:PATH"'
    return f'export PATH="{folder}:$PATH"'


def _say(text: str) -> None:
    sys.stdout.write(f"{log_line(text)}\n")
