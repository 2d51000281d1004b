"""Runs an external program without a shell, with an environment of named variables only, and captures its output."""

from __future__ import annotations

import contextlib
import locale
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

from pydantic import SecretStr

from kspsign.model.errors import CancelledError, PrerequisiteError
from kspsign.programs.client_certificate_file import with_client_certificate_file
from kspsign.settings.program_settings import ProgramSettings

_NO_CREDENTIALS: Final[Mapping[str, SecretStr]] = MappingProxyType({})
_POLL_SECONDS = 0.2
_STOP_SECONDS = 5.0
_SHORTEST_SECRET = 4
_NO_SECRETS = frozenset(
    {
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "AZURE_CLIENT_ID",
        "AZURE_CONFIG_DIR",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_TENANT_ID",
        "SM_CLIENT_CERT_FILE",
        "SM_HOST",
    }
)
_OUTPUT_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Ran:
    """The result of a call; `exit_code` is None when it timed out and was stopped."""

    exit_code: int | None
    output: str
    errors: str
    seconds: float

    @property
    def text(self) -> str:
        """Standard output followed by standard error."""
        return "\n".join(part for part in (self.output.strip(), self.errors.strip()) if part)


def tool_environment(settings: ProgramSettings, secrets: Mapping[str, SecretStr] = _NO_CREDENTIALS) -> dict[str, str]:
    """The environment of a child process: the agent's named variables, and the credentials that it needs."""
    return {**settings.agent_environment, **{name: value.get_secret_value() for name, value in secrets.items()}}


def call_tool(
    settings: ProgramSettings,
    program: Path,
    arguments: Sequence[str],
    *,
    timeout: float,
    with_credentials: bool,
    folder: Path | None = None,
    cancelled: threading.Event | None = None,
) -> Ran:
    """`run_tool` in the environment of this run; credentials are masked in its output.

    A client certificate is a file while a program runs that signs or asks `with_credentials`, and no longer.
    """
    ready = with_client_certificate_file(settings) if with_credentials else contextlib.nullcontext(_NO_CREDENTIALS)
    with ready as secrets:
        environment = tool_environment(settings, secrets)
        ran = run_tool(program, arguments, environment=environment, timeout=timeout, folder=folder, cancelled=cancelled)
    return replace(ran, output=_without_secrets(ran.output, settings), errors=_without_secrets(ran.errors, settings))


def _without_secrets(text: str, settings: ProgramSettings) -> str:
    for name, value in settings.credentials.items():
        secret = value.get_secret_value()
        if name not in _NO_SECRETS and len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def run_tool(
    program: Path,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout: float,
    folder: Path | None = None,
    cancelled: threading.Event | None = None,
) -> Ran:
    """Run `program` to completion, for at most `timeout` seconds.

    Raises PrerequisiteError when it can't be started, CancelledError when `cancelled` is set meanwhile.
    """
    started = time.monotonic()
    # Files, not pipes: a grandchild that outlives the program would keep a pipe open and block this process.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = _start([str(program), *arguments], folder, environment, output, errors)
        exit_code = None
        while exit_code is None and time.monotonic() - started < timeout:
            try:
                exit_code = process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if cancelled is not None and cancelled.is_set():
                    stop_tree(process, environment)
                    raise CancelledError from None
        if exit_code is None:
            stop_tree(process, environment)
        return Ran(exit_code, as_text(_content(output)), as_text(_content(errors)), time.monotonic() - started)


def _start(
    command: Sequence[str],
    folder: Path | None,
    environment: Mapping[str, str],
    output: IO[bytes],
    errors: IO[bytes],
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - a list without shell, the program is the one that was found
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
    except OSError as refused:
        raise PrerequisiteError(
            f"{command[0]} can't be started: {refused.strerror or refused}",
            code="TOOL_NOT_STARTED",
            remedy="Check that it is a program for this machine, and that this user may run it.",
        ) from refused


def stop_tree(process: subprocess.Popen[bytes], environment: Mapping[str, str], *, leads_group: bool = False) -> None:
    """End the program and what it started: on Windows all of it, elsewhere where the program `leads_group`."""
    if sys.platform == "win32":
        tree = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(tree, env=dict(environment), capture_output=True, timeout=_STOP_SECONDS, check=False)  # noqa: S603 - fixed
    elif leads_group:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_OUTPUT_LIMIT)


def as_text(output: bytes) -> str:
    """Decodes what a Windows program wrote to a pipe: UTF-8, UTF-16 or the system code page; never fails."""
    if b"\0" in output:
        text = output.decode("utf-16-le", "replace")
    else:
        try:
            text = output.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = output.decode(locale.getpreferredencoding(do_setlocale=False), "replace")
    # SignTool ends lines of a pipe with CR CR LF.
    return re.sub(r"\r+\n", "\n", text).lstrip("\ufeff")
