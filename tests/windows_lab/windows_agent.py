"""The mini agent on the lab's Windows: the task's handler runs under Windows Node and starts Windows Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from package import create, stage
from vendor import Target

from support.agent.commands import PREFIX
from support.agent.environment import handler_environment
from support.agent.mini import MiniAgent
from support.agent.package import install
from windows_lab.machine import Windows

_PATH = re.compile(r"Z:(\\[^;,\]\r\n]*)")


@dataclass(frozen=True, slots=True)
class WindowsAgent(MiniAgent):
    """A MiniAgent whose handlers run on `windows`; its folders are told as drive Z:."""

    windows: Windows = field(kw_only=True)

    def node(self, script: Path) -> list[str]:
        """Windows Node; in place of the machine's PATH it gets the lab's."""
        return self.windows.command("node", script)

    def shown(self, path: Path) -> str:
        """On drive Z:."""
        return self.windows.path(path)

    def received(self, line: str) -> str:
        """Commands name Windows paths."""
        if not line.startswith(PREFIX):
            return line
        return _PATH.sub(lambda found: found[1].replace("\\", "/"), line)

    def inherited(self) -> dict[str, str]:
        """What the lab's wrappers need; Windows' own variables come from the registry."""
        given = self.windows.linux_environment()
        return {name: value for name, value in given.items() if name not in self.windows.environment}

    def variables(self) -> dict[str, str]:
        """Those of a Windows agent."""
        return {**MiniAgent.variables(self), "Agent.OS": "Windows_NT", "Agent.OSArchitecture": "X64"}

    def environment(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """What a handler is given that a test starts itself."""
        variables, secrets = self.variables(), {"System.AccessToken": "job-token-0123456789"}
        return handler_environment(
            self.task.definition, inputs, variables=variables, secrets=secrets, inherited=self.inherited()
        )


def build_extension(folder: Path, python: str) -> Path:
    """The .vsix with the compiled libraries for x64 Windows and one CPython version."""
    staged = folder / "package"
    stage(staged, (Target("windows-x86_64", python),), dev=False)
    return create(staged, folder, dev=False)


def install_task(vsix: Path, windows: Windows) -> WindowsAgent:
    """An agent below the test's folder with the KspSign task installed."""
    root = windows.root / "agent"
    return WindowsAgent(root, install(vsix, root / "_work" / "_tasks", "KspSign"), windows=windows)


def fill_tool_cache(agent: WindowsAgent, version: str) -> Path:
    """Put the lab's Python into the agent's tool cache as UsePythonVersion@0 does."""
    folder = agent.root / "_work" / "_tool" / "Python" / version
    folder.mkdir(parents=True)
    (folder / "x64").symlink_to(agent.windows.lab / "win" / "python311")
    (folder / "x64.complete").touch()
    return folder / "x64" / "python.exe"
