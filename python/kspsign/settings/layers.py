"""The layers that settings come from: arguments over task inputs over a configuration file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from kspsign.model.suggest import suggest
from kspsign.settings.config_file import ConfigFile
from kspsign.settings.faults import option_name
from kspsign.settings.store_options import OneOf, marker

FILE, INPUT, ARGUMENT = range(3)


class Given(NamedTuple):
    """Settings as they were given, by field, each from the highest layer that has it; `layers` says which."""

    values: Mapping[str, Any]
    layers: Mapping[str, int]
    file: ConfigFile = ConfigFile()

    @classmethod
    def of(cls, file: ConfigFile, inputs: Mapping[str, Any], arguments: Mapping[str, Any]) -> Given:
        """The keys of each layer are fields."""
        values: dict[str, Any] = {}
        layers: dict[str, int] = {}
        for layer, given in ((FILE, file.values), (INPUT, inputs), (ARGUMENT, arguments)):
            values.update(given)
            layers.update(dict.fromkeys(given, layer))
        return cls(values, layers, file)

    def without_overruled(self, fields: Mapping[str, FieldInfo]) -> Given:
        """Of settings that exclude each other (`OneOf` in `fields`), those that a higher layer chose."""
        overruled = {name for members in _exclusive(fields) for name in self._overruled(members)}
        return self._replace(values={name: value for name, value in self.values.items() if name not in overruled})

    def _overruled(self, members: Iterable[str]) -> Iterator[str]:
        chosen = [name for name in members if self.values.get(name) not in (None, False, (), [], "")]
        highest = max((self.layers[name] for name in chosen), default=FILE)
        return (name for name in chosen if self.layers[name] < highest)

    def in_file(self, name: str) -> bool:
        """Whether the setting is from the configuration file."""
        return self.layers.get(name) == FILE

    def shown(self, name: str, *more: int | str) -> str:
        """The setting as whoever gave it wrote it: the option, the input, or the file with the line of the key, or of
        the item of it that `more` leads to."""
        if self.in_file(name):
            return self.file.shown(name, *more)
        return to_camel(name) if self.layers.get(name) == INPUT else option_name(name)


def no_such(name: str, known: Iterable[str]) -> str:
    """A name that is none of the `known` ones, with the nearest of these."""
    near = suggest(name, known)
    return f"{name} (did you mean {near[0]}?)" if near else name


def _exclusive(fields: Mapping[str, FieldInfo]) -> Iterator[list[str]]:
    groups: dict[str, list[str]] = {}
    for name, info in fields.items():
        found = marker(info, OneOf)
        if found is not None:
            groups.setdefault(found.choice, []).append(name)
    yield from groups.values()
