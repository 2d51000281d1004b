"""One call of an outside program: no shell, an environment of named variables only, its output kept and readable."""

from __future__ import annotations

import locale
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kspsign.errors import CancelledError, PrerequisiteError
from kspsign.settings import Settings

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Ran:
    """How a call ended: `exit_code` is None when it took too long and was stopped."""

    exit_code: int | None
    output: str
    errors: str
    seconds: float

    @property
    def text(self) -> str:
        """All it printed, errors last."""
        return "\n".join(part for part in (self.output.strip(), self.errors.strip()) if part)


def tool_environment(settings: Settings, *, with_credentials: bool) -> dict[str, str]:
    """The environment of a child process: the agent's named variables, and the credentials where it signs."""
    secrets = settings.credentials if with_credentials else {}
    return {**settings.agent_environment, **{name: value.get_secret_value() for name, value in secrets.items()}}


def run_tool(
    program: Path,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout: float,
    folder: Path | None = None,
    cancelled: threading.Event | None = None,
) -> Ran:
    """Run `program` to its end, at most `timeout` seconds.

    Raises PrerequisiteError when it can't be started, CancelledError when `cancelled` is set meanwhile.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 - a list without shell, the program is the one that was found
            [str(program), *arguments],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as refused:
        raise PrerequisiteError(
            f"{program} can't be started: {refused.strerror or refused}",
            code="TOOL_NOT_STARTED",
            remedy="Check that it is a program for this machine, and that this user may run it.",
        ) from refused
    with process:
        while True:
            try:
                output, errors = process.communicate(timeout=_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if cancelled is not None and cancelled.is_set():
                    process.kill()
                    raise CancelledError from None
                if time.monotonic() - started > timeout:
                    process.kill()
                    output, errors = process.communicate()
                    return Ran(None, _text(output), _text(errors), time.monotonic() - started)
            else:
                return Ran(process.returncode, _text(output), _text(errors), time.monotonic() - started)


def _text(output: bytes) -> str:
    """What a Windows program wrote to a pipe: UTF-8, UTF-16 or the machine's code page; never an error."""
    if b"\0" in output:
        text = output.decode("utf-16-le", "replace")
    else:
        try:
            text = output.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = output.decode(locale.getpreferredencoding(do_setlocale=False), "replace")
    # SignTool ends lines of a pipe with CR CR LF.
    return re.sub(r"\r+\n", "\n", text).lstrip("\ufeff")
