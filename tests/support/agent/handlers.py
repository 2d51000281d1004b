"""Carrying out logging commands on a step's record, with the agent's checks."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

from support.agent.commands import PREFIX, Command, parse
from support.agent.junit import read_junit
from support.agent.record import StepRecord
from support.agent.restrictions import Restrictions
from support.agent.taskrun import RESULTS, Attachment, Run, Variable

AREAS = frozenset({"task", "results", "build", "artifact", "codecoverage", "telemetry", "release", "plugininternal"})
SUMMARY_TYPE = "Distributedtask.Core.Summary"
_INVALID_NAME = frozenset('"<>|:*?\\/') | frozenset(map(chr, range(32)))


class CommandError(Exception):
    """A command that the agent refuses: the step fails."""


class CommandProcessor:
    """Takes the lines of a step's output: log lines and commands."""

    def __init__(self, record: StepRecord, limits: Restrictions, outputs: frozenset[str]) -> None:
        self._record = record
        self._limits = limits
        self._outputs = outputs
        self._events: dict[str, Callable[[Command], None]] = {
            "task.debug": lambda command: record.write_debug(command.data),
            "task.logissue": self._issue,
            "task.issue": self._issue,
            "task.complete": self._complete,
            "task.setprogress": self._progress,
            "task.setvariable": self._variable,
            "task.settaskvariable": self._task_variable,
            "task.setsecret": lambda command: record.masker.add(command.data),
            "task.prependpath": self._prepend_path,
            "task.addattachment": self._attachment,
            "task.uploadsummary": self._summary,
            "task.uploadfile": self._upload,
            "task.logdetail": self._detail,
            "results.publish": self._results,
            "build.addbuildtag": self._tag,
        }

    def line(self, line: str) -> None:
        """One line of stdout or stderr."""
        self._record.raw.append(line)
        command = parse(line)
        if command is None:
            self._record.write(line)
            if PREFIX in line:
                self._record.warning(f"'{line}' holds '{PREFIX}' but is not a command")
        elif command.area.lower() not in AREAS:
            self._record.warning(f"no such command area: {command.area}")
        elif not self._limits.allows_command(command.name):
            self._record.warning(f"{command.name} is not allowed in this step")
        else:
            self._execute(command)

    def _execute(self, command: Command) -> None:
        try:
            self._events.get(command.name, _refuse)(command)
        except CommandError as refused:
            self._record.error(f"unable to process command '{command.name}': {refused}")
            self._record.complete("Failed")

    def _issue(self, command: Command) -> None:
        kind, code = command.properties.get("type"), command.properties.get("code")
        if kind == "error":
            self._record.error(command.data, code)
        elif kind == "warning":
            self._record.warning(command.data, code)
        else:
            raise CommandError(f"issue type {kind}")

    def _complete(self, command: Command) -> None:
        asked = command.properties.get("result", "").lower()
        found = [result for result in RESULTS if result.lower() == asked]
        if not found:
            raise CommandError(f"result {asked!r}")
        self._record.complete(found[0])

    def _progress(self, command: Command) -> None:
        value = command.properties.get("value", "")
        if not value.isdigit() or int(value) > 100:
            raise CommandError(f"progress {value!r}")
        self._record.progress.append((int(value), command.data))

    def _variable(self, command: Command) -> None:
        name = command.properties.get("variable")
        if not name:
            raise CommandError("the variable has no name")
        if not self._limits.allows_variable(name):
            self._record.warning(f"setting the variable {name} is not allowed in this step")
            return
        before = self._record.variables.get(name)
        if before is not None and before.read_only:
            self._record.warning(f"the variable {name} is read-only")
            return
        secret = command.flag("issecret")
        if secret and ("\n" in command.data or "\r" in command.data):
            raise CommandError("a secret must be one line")
        if secret:
            self._record.masker.add(command.data)
        output = command.flag("isoutput") or name in self._outputs
        read_only = output or command.flag("isreadonly")
        self._record.variables[name] = Variable(command.data, secret, output, read_only)

    def _prepend_path(self, command: Command) -> None:
        """The folder goes before the PATH of the following steps; a task that lists what it sets must list PATH."""
        if not self._limits.allows_variable("PATH"):
            self._record.warning("setting the variable PATH is not allowed in this step")
        elif not command.data:
            raise CommandError("the folder has no name")
        else:
            self._record.prepended.append(command.data)

    def _task_variable(self, command: Command) -> None:
        if not command.properties.get("variable"):
            raise CommandError("the variable has no name")
        if command.flag("issecret"):
            self._record.masker.add(command.data)

    def _attachment(self, command: Command) -> None:
        kind, name = command.properties.get("type", ""), command.properties.get("name", "")
        if not kind or not name or _INVALID_NAME & set(kind + name):
            raise CommandError(f"attachment type {kind!r} and name {name!r}")
        self._keep(kind, name, command.data)

    def _summary(self, command: Command) -> None:
        self._keep(SUMMARY_TYPE, Path(command.data).name, command.data)

    def _upload(self, command: Command) -> None:
        self._keep("DistributedTask.Core.FileAttachment", Path(command.data).name, command.data)

    def _keep(self, kind: str, name: str, path: str) -> None:
        if not Path(path).is_absolute() or not Path(path).is_file():
            raise CommandError(f"there is no file {path}")
        # A second file of the same type and name takes the place of the first.
        kept = [
            attachment for attachment in self._record.attachments if (attachment.type, attachment.name) != (kind, name)
        ]
        self._record.attachments[:] = [*kept, Attachment(kind, name, Path(path).read_bytes())]

    def _detail(self, command: Command) -> None:
        try:
            identity = str(uuid.UUID(command.properties.get("id", "")))
        except ValueError as invalid:
            raise CommandError("a timeline detail needs an id") from invalid
        detail = self._record.timeline.setdefault(identity, {"id": identity})
        detail.update(command.properties)
        detail["message"] = command.data

    def _results(self, command: Command) -> None:
        if command.properties.get("type") != "JUnit":
            raise CommandError(f"results of type {command.properties.get('type')}")
        files = [part.strip() for part in command.properties.get("resultfiles", command.data).split(",")]
        title = command.properties.get("runtitle", "JUnit_TestResults_1")
        for file in filter(None, files):
            try:
                self._record.test_runs.append(Run(title, read_junit(Path(file))))
            except (OSError, ET.ParseError, ValueError) as invalid:
                self._record.warning(f"no results could be read from {file}: {invalid}")
        if not any(files):
            raise CommandError("results.publish names no file")

    def _tag(self, command: Command) -> None:
        if not command.data.strip():
            raise CommandError("the tag is empty")
        self._record.tags.append(command.data)


def _refuse(command: Command) -> None:
    raise CommandError(f"{command.name} is not a command of this agent")
