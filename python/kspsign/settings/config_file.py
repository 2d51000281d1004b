"""The configuration file: the one that was named, or an ambient kspsign.yml, of which only harmless settings count.

Ambient is a file that merely lies in the working folder. Whoever can put one there must not decide what is trusted,
which code runs, what is written, which credentials are used or which files count.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic.fields import FieldInfo

from kspsign.model.errors import ConfigurationError
from kspsign.model.globs import expand_braces
from kspsign.settings.store_options import StoreModels, is_harmless, options_of

if TYPE_CHECKING:
    from kspsign.model.run_facts import ConfigurationFacts
    from kspsign.settings.yaml_file import YamlFile

AMBIENT_NAME = "kspsign.yml"
"""Looked for in the working folder."""
SCHEMA_KEY = "$schema"
"""Where editors find the schema of the file; no setting."""


class ConfigOrigin(NamedTuple):
    """Which configuration file was read, as the report says it; `unread` is an ambient file that is there and was
    not read. `keys` are the settings that came from the file."""

    facts: ConfigurationFacts | None = None
    unread: Path | None = None
    keys: frozenset[str] = frozenset()

    @property
    def notices(self) -> tuple[str, ...]:
        """A line for each of them, for the log."""
        said = []
        if self.facts is not None:
            how = ", found in the working folder: harmless settings only" if self.facts.ambient else ""
            said.append(f"configuration {self.facts.name} (sha256 {self.facts.sha256}){how}")
        if self.unread is not None:
            said.append(f"{self.unread} in the working folder is not read, since it was not named")
        return tuple(said)


class ConfigFile(NamedTuple):
    """Settings by field, and the file that they are from."""

    values: Mapping[str, Any] = MappingProxyType({})
    origin: ConfigOrigin = ConfigOrigin()
    content: YamlFile | None = None

    def shown(self, *place: int | str) -> str:
        """A setting, or an item of one, with file and line."""
        if self.content is None or self.origin.facts is None:
            return str(place[0])
        return f"{place[0]} ({self.origin.facts.name}, line {self.content.line_of(place)})"


def read_named(path: Path | None) -> ConfigFile:
    """The file that was named, if one was; no ambient one. Raises ConfigurationError when it can't be read."""
    if path is None:
        return ConfigFile(origin=ConfigOrigin(unread=_ambient(None)))
    content, facts = _read(path)
    return ConfigFile(content.value, ConfigOrigin(facts, _ambient(path)), content)


def read_ambient(stores: StoreModels, settings: Callable[[str], FieldInfo | None]) -> ConfigFile:
    """The ambient file, if there is one. `settings` has the field of a setting that any run has.

    Raises ConfigurationError for a file that can't be read, and for every setting in it that is not harmless.
    """
    path = _ambient(None)
    if path is None:
        return ConfigFile()
    content, facts = _read(path, ambient=True)
    if harmful := [*_harmful(content, stores, settings)]:
        raise ConfigurationError(
            f"a file that was not named may not decide this: {'; '.join(harmful)}",
            remedy=f"Name the file, if you trust whoever can change it: --config {path}; or take these settings out.",
            file=str(path),
        )
    return ConfigFile(content.value, ConfigOrigin(facts), content)


def _ambient(named: Path | None) -> Path | None:
    """The ambient file, unless it is the one that was named. Only what is surely absent is absent."""
    path = Path(AMBIENT_NAME)
    if not os.path.lexists(path) or (named is not None and _same(named, path)):
        return None
    return path


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _read(path: Path, *, ambient: bool = False) -> tuple[YamlFile, ConfigurationFacts]:
    from kspsign.model.run_facts import ConfigurationFacts  # noqa: PLC0415 - few runs have a file
    from kspsign.settings.yaml_file import read_yaml  # noqa: PLC0415 - likewise

    def fault(message: str) -> ConfigurationError:
        return ConfigurationError(message, remedy="Correct the configuration file, in UTF-8.", file=str(path))

    try:
        content = read_yaml(path, fault, may_be_empty=True)
    except FileNotFoundError as missing:
        raise ConfigurationError(
            f"configuration file {path} does not exist", remedy="Correct --config.", file=str(path)
        ) from missing
    if not all(isinstance(key, str) for key in content.value):
        raise fault("must be a mapping of settings: `key: value` lines")
    if not isinstance(content.value.pop(SCHEMA_KEY, ""), str):
        raise fault(f"line {content.line_of((SCHEMA_KEY,))}: {SCHEMA_KEY} is the address of a schema, a text")
    return content, ConfigurationFacts(path.as_posix(), content.sha256, ambient=ambient)


def _harmful(content: YamlFile, stores: StoreModels, settings: Callable[[str], FieldInfo | None]) -> Iterator[str]:
    """Line and key of what an ambient file may not hold; unknown keys are refused elsewhere."""
    for key, value in content.value.items():
        found = settings(key)
        fields = [found] if found is not None else _of_stores(key, stores)
        if not all(is_harmless(name) for name in fields):
            yield f"line {content.line_of((key,))}: {key}"
        elif key == "files":
            listed = value if isinstance(value, list) else [value]
            for index, pattern in enumerate(listed):
                if reason := _leads_out(str(pattern)):
                    yield f"line {content.line_of((key, index))}: {key} ({reason})"


def _of_stores(key: str, stores: StoreModels) -> list[FieldInfo]:
    """The field in every key store that has it; those of other packages are asked where no built-in one has."""
    for models in (stores.built_in, stores.installed):
        having = [fields[key] for fields in map(options_of, models().values()) if key in fields]
        if having:
            return having
    return []


def _leads_out(patterns: str) -> str:
    """Why an ambient file may not hold these patterns; "" when it may. A text may hold several, one a line."""
    for pattern in (line.strip().lstrip("!") for line in patterns.splitlines()):
        if pattern.startswith("@"):
            return "a list file"
        try:
            meant = expand_braces(pattern)
        except ValueError as many:
            return str(many)
        if any(map(_is_outside, meant)):
            return "a pattern that leads out of the folder"
    return ""


def _is_outside(pattern: str) -> bool:
    windows = PureWindowsPath(pattern)
    rooted = PurePosixPath(pattern).is_absolute() or windows.drive or windows.root
    return bool(rooted) or ".." in re.split(r"[\\/]", pattern)
