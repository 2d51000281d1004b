"""Command lines of other programs that kspsign answers to: scripts and build tools call them as they are.

They have no room for settings of ours. These come from the file that KSPSIGN_CONFIG names; a file that merely lies in
the working folder is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from kspsign.model.load import load

CONFIG_VARIABLE: Final = "KSPSIGN_CONFIG"
"""Names the configuration file (kspsign.yml) of these command lines."""
DROP_INS: Final[Mapping[str, str]] = {
    "signtool": "kspsign.cli.signtool.main:run_signtool",
    "smctl": "kspsign.cli.smctl.main:run_smctl",
}
"""What runs each of them, by our command; loaded when it is called."""


def run_drop_in(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command line after the command that `arguments` begin with; returns the other program's exit code."""
    run: Callable[[Sequence[str], Mapping[str, str]], int] = load(DROP_INS[arguments[0]])
    return run(arguments[1:], environment)


def named_config(environment: Mapping[str, str]) -> Path | None:
    """The configuration file that KSPSIGN_CONFIG names, None when it names none."""
    name = environment.get(CONFIG_VARIABLE, "").strip()
    return Path(name) if name else None
