"""A build agent for the command lines of smctl and SignTool: credentials, a settings file, launchers on PATH."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kspsign.cli.main import main
from support.digicert_one.fixture import Host
from support.samples import PeerVerdict, osslsigncode_verify

ALIAS = "Contoso-Release"


@dataclass(frozen=True)
class Answer:
    """What a command line printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class BuildAgent:
    """An agent whose steps have the credentials of `host` in their environment, and `folder` for their files."""

    host: Host
    folder: Path
    timestamps: str
    roots: Path

    @property
    def store(self) -> Path:
        """Its portable thumbprint store."""
        return self.folder / "store"

    @property
    def environment(self) -> dict[str, str]:
        """What a step maps, and the file with the rest."""
        return {**self.host.environment, "KSPSIGN_CONFIG": str(self.settings_file())}

    def settings_file(self, **more: object) -> Path:
        """The settings that the command lines have no room for."""
        path = self.folder / "settings.yml"
        values = {"store": str(self.store), "timestamp_url": [self.timestamps], "trust_root": [str(self.roots)], **more}
        path.write_text(json.dumps(values), encoding="utf-8")
        return path

    def type(self, *arguments: object, environment: Mapping[str, str] | None = None) -> Answer:
        """A command line after `kspsign`, in this process; it does not see the environment of the tests."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patched:
            for name, value in (self.environment if environment is None else environment).items():
                patched.setenv(name, value)
            patched.chdir(self.folder)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main([*map(str, arguments)])
        return Answer(code, out.getvalue(), err.getvalue())

    def start(self, *arguments: object, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """The same as a process of its own, which goes on meanwhile."""
        return subprocess.Popen(
            [sys.executable, "-m", "kspsign", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def with_launchers(self) -> BuildAgent:
        """The agent after `kspsign shims`: launchers first on the PATH of its steps."""
        options = ("--key-store", "keylocker", "--keypair-alias", ALIAS, "--store", self.store)
        trust = ("--timestamp-url", self.timestamps, "--trust-root", self.roots)
        written = self.type("shims", self.folder / "launchers", *options, *trust)
        assert written.code == 0, written.err
        return replace(self)

    def step(self, *command: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A program of others, with the launchers on PATH and the credentials in its environment."""
        path = f"{self.folder / 'launchers'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [*map(str, command)],
            cwd=folder or self.folder,
            env={**os.environ, **self.host.environment, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )

    def peer(self, path: Path) -> PeerVerdict:
        """What osslsigncode says of a file under the roots."""
        return osslsigncode_verify(path, self.roots)
