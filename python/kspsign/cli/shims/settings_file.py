"""The settings file of a folder of launchers: what `kspsign shims` was given, without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from kspsign.cli.options import FIELDS
from kspsign.concurrency.atomic_write import write_atomically
from kspsign.model.errors import ConfigurationError
from kspsign.programs.locate import SHIMS_MARK
from kspsign.settings.model import Settings
from kspsign.settings.store_options import StoreOptions, make_options, options_of, secret_variables

PASSWORD_VARIABLE: Final = "KSPSIGN_PASSWORD"  # noqa: S105 - a name
"""Where later steps map a password that this step was given as an input."""
SIGNATURE_CACHE: Final = "signature-cache"


def write_settings_file(folder: Path, settings: Settings) -> Path:
    """Write the file of `folder`, which is created; returns its path. Raises ConfigurationError.

    Paths become absolute, since the programs that start the launchers have working folders of their own.
    """
    path = folder / SHIMS_MARK
    values = {"signature_cache": str(folder / SIGNATURE_CACHE), **dict(_values(settings))}
    values.pop("shadow", None)  # of this command alone
    try:
        write_atomically(path, (json.dumps(values, indent=1).encode(), b"\n"))  # JSON is YAML
    except OSError as refused:
        raise ConfigurationError(
            f"can't write: {refused.strerror or refused}",
            remedy="Name a folder that this user may write.",
            file=str(path),
        ) from refused
    return path


def _values(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Each setting that was given, by field."""
    for name in FIELDS["shims"]:
        if name in settings.model_fields_set and (value := getattr(settings, name)) not in (None, ()):
            yield name, _plain(value)
    options = settings.store_options or make_options(StoreOptions, settings.given_options)
    for name in options_of(type(options)):
        if name in options.model_fields_set and (value := getattr(options, name)) not in (None, ()):
            yield name, _plain(value)
    for name, variable in list(secret_variables(type(options)))[:1]:
        if getattr(options, name) is None and getattr(options, variable.secret) is not None:
            yield name, PASSWORD_VARIABLE


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, Path):
        return str(value.absolute())
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
