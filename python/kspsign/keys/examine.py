"""Lets a key store examine the prerequisites of signing with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from kspsign.keys.open import options_for, surroundings_of
from kspsign.keys.prerequisites import ALWAYS, OPTIONS, Prerequisite, completed, failed
from kspsign.keys.protocol import no_notice
from kspsign.keys.table import StoreEntry
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.settings.model import Settings

ATTEMPTS: Final = 2
"""People wait for an examination: a host that does not answer is asked once more."""


def examine_store(entry: StoreEntry, settings: Settings) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with this store, as the store itself finds it; nothing is signed."""
    yield from completed(ALWAYS, _examined(entry, settings), f"key store {entry.name} does not examine it")


def _examined(entry: StoreEntry, settings: Settings) -> Iterator[Prerequisite]:
    try:
        options = options_for(settings, entry)
        surroundings = surroundings_of(settings, options, threading.Event(), no_notice)
        surroundings = replace(surroundings, attempts=ATTEMPTS)
        yield from entry.load_kind().examine(options, surroundings)
    except (ConfigurationError, PrerequisiteError) as error:
        yield failed(OPTIONS, error)
