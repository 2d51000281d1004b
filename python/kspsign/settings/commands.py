"""The commands that have settings, and what distinguishes them."""

from __future__ import annotations

from typing import Literal

Command = Literal[
    "run",
    "certsync",
    "sign",
    "timestamp",
    "remove",
    "extract",
    "attach",
    "digest",
    "verify",
    "catalog",
    "doctor",
    "merge",
    "shims",
]
COMMAND_LINE_COMMANDS: frozenset[Command] = frozenset({"remove", "extract", "attach", "digest"})
"""Of command lines alone: neither the task nor the action has them."""
JUDGING_COMMANDS: frozenset[Command] = frozenset({"verify", "merge"})
"""Their whole result is a verdict: they read no configuration file that was not named."""
UNAMBIENT_COMMANDS: frozenset[Command] = JUDGING_COMMANDS | {"shims"}
"""They read no configuration file that was not named; what `shims` writes decides for whoever calls the launchers."""
KEY_STORE_COMMANDS: frozenset[Command] = frozenset({"run", "certsync", "sign", "catalog", "doctor"})
"""They open a key store: they take its options and ask for its secrets, others do neither."""
STORE_OPTION_COMMANDS: frozenset[Command] = KEY_STORE_COMMANDS | {"shims"}
"""They take the options of key stores; the last one opens none and asks for no secret."""
PUBLISHING_COMMANDS: frozenset[Command] = frozenset({"run", "verify", "merge"})
"""They publish over REST where a token is given."""
