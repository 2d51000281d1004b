"""Runs kspsign's path for a call of SignTool: settings, signals, console."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kspsign.batch.run import Run
from kspsign.cli.commands import perform as perform_run
from kspsign.cli.drop_in import named_config
from kspsign.cli.signtool.console import FileConsole
from kspsign.cli.signtool.speech import Speech
from kspsign.keys.table import STORES
from kspsign.model.errors import CANCELLED, CancelledError
from kspsign.model.report import Report
from kspsign.publishing.setting_words import SettingWords
from kspsign.settings.commands import Command
from kspsign.settings.config_file import read_named
from kspsign.settings.context import RunContext
from kspsign.settings.model import Settings
from kspsign.settings.resolve import resolve


def configured(environment: Mapping[str, str]) -> Mapping[str, Any]:
    """The content of the configuration file that is named, by setting; empty without one. Raises ConfigurationError
    when it can't be read."""
    return read_named(named_config(environment)).values


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
        config=named_config(environment),
        environment={**environment, **(variables or {})},
        stores=STORES,
    )
    speech.words = SettingWords("signtool", settings.configuration)
    return settings


def perform(
    settings: Settings, environment: Mapping[str, str], console: FileConsole, stages: Callable[[Run], Report]
) -> Report:
    """The run of `stages`, whose events `console` says in SignTool's words. Raises CancelledError for one that was
    cancelled: what was done until then is said."""
    # No surface of a pipeline: what SignTool prints is what scripts read.
    context = RunContext.from_environment(environment, is_tty=False)
    context = context._replace(surface="plain", step_files=None, caller="signtool")
    report = perform_run(settings, context, lambda: console, stages=stages)
    if report.error is not None and report.error.code == CANCELLED:
        raise CancelledError
    return report
