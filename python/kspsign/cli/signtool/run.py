"""Runs kspsign's path for a call of SignTool: settings, signals, console."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kspsign.batch.run import Run
from kspsign.cli.signals import signals_cancelling
from kspsign.cli.signtool.console import FileConsole
from kspsign.cli.signtool.speech import Speech
from kspsign.keys.table import STORES
from kspsign.model.report import Report
from kspsign.network.trace import listening
from kspsign.publishing.setting_words import SettingWords
from kspsign.settings.config_file import read_named
from kspsign.settings.context import RunContext
from kspsign.settings.model import Command, Settings
from kspsign.settings.resolve import resolve

CONFIG_VARIABLE = "KSPSIGN_CONFIG"
"""Names the configuration file: what SignTool has no option for. No other file is read."""


def config_file(environment: Mapping[str, str]) -> Path | None:
    """The configuration file that is named, if one is."""
    return Path(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None


def configured(environment: Mapping[str, str]) -> Mapping[str, Any]:
    """Its content by setting; empty without one. Raises ConfigurationError when it can't be read."""
    return read_named(config_file(environment)).values


def settings_of(
    command: Command,
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    speech: Speech,
    variables: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of a call: `given`, over those of the configuration file. `variables` are read with the
    environment. Raises ConfigurationError with every fault named."""
    visible = {"verbose": True} if speech.debug and not speech.quiet else {}
    settings = resolve(
        command,
        {"files": (), **visible, **given},
        config=config_file(environment),
        environment={**environment, **(variables or {})},
        stores=STORES,
    )
    speech.words = SettingWords("signtool", settings.configuration)
    return settings


def perform(
    settings: Settings, environment: Mapping[str, str], console: FileConsole, stages: Callable[[Run], Report]
) -> Report:
    """The run, whose events `console` says in SignTool's words; a signal ends it early, and in order."""
    # No surface of a pipeline: what SignTool prints is what scripts read.
    context = RunContext.from_environment(environment, is_tty=False)
    context = replace(context, surface="plain", step_files=None, caller="signtool")
    cancelled = threading.Event()
    tracing = listening(console.notice if console.speech.debug else None)
    with signals_cancelling(cancelled), contextlib.closing(console), tracing:
        return stages(Run.begin(settings, context, console, cancelled))
