"""What a command of smctl works with: settings from its flags and the environment, and a client of the service."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, cast

from kspsign.cli.drop_in import named_config
from kspsign.keys.keylocker.client import KeyLockerClient
from kspsign.keys.keylocker.options import KeyLockerOptions
from kspsign.keys.keylocker.store import connect
from kspsign.keys.open import options_for, surroundings_of
from kspsign.keys.table import STORES
from kspsign.model.report import RunWarning
from kspsign.publishing.sanitize import log_line
from kspsign.settings.commands import Command
from kspsign.settings.model import Settings
from kspsign.settings.resolve import resolve

KEY_STORE = "keylocker"


def settings_for(command: Command, environment: Mapping[str, str], given: Mapping[str, Any]) -> Settings:
    """Settings of `command` for key store keylocker: what is `given` and is not None over the named file."""
    arguments = {name: value for name, value in given.items() if value is not None}
    return resolve(command, arguments, config=named_config(environment), environment=environment, stores=STORES)


@contextlib.contextmanager
def service(
    environment: Mapping[str, str], account_id: str | None
) -> Iterator[tuple[KeyLockerClient, KeyLockerOptions]]:
    """A connection with the credentials in SM_*, and the options that the flags mean.

    Raises PrerequisiteError when a credential is missing, and what the named file raises.
    """
    settings = settings_for("certsync", environment, {"key_store": KEY_STORE, "account_id": account_id})
    options = cast("KeyLockerOptions", options_for(settings, STORES.find(KEY_STORE)))
    with contextlib.closing(connect(surroundings_of(settings, options, threading.Event(), say))) as client:
        yield client, options


def say(said: str | RunWarning) -> None:
    """What a key store has to say, on standard error: standard output is the command's own."""
    text = f"warning: {said.message}. {said.remedy}" if isinstance(said, RunWarning) else said
    sys.stderr.write(f"{log_line(text)}\n")
