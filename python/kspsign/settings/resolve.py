"""Settings from what is given: arguments > task inputs / pipeline variables > configuration file, resolved once.

No other module reads the environment or a configuration file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from kspsign.model.errors import ConfigurationError
from kspsign.settings.commands import (
    KEY_STORE_COMMANDS,
    PUBLISHING_COMMANDS,
    STORE_OPTION_COMMANDS,
    UNAMBIENT_COMMANDS,
    Command,
)
from kspsign.settings.config_file import ConfigFile, read_ambient, read_named
from kspsign.settings.context import RunContext
from kspsign.settings.faults import faults, option_name, wrong_settings
from kspsign.settings.layers import Given, no_such
from kspsign.settings.model import INTERNAL_FIELDS, USER_FIELDS, Settings
from kspsign.settings.secrets import (
    AGENT_VARIABLES,
    network_variables,
    program_credentials,
    publish_token,
    store_secrets,
    store_variables,
)
from kspsign.settings.store_options import (
    TASK_SECRET,
    NeverIgnored,
    StoreModels,
    StoreOptions,
    marker,
    named_variables,
    options_of,
    validate_options,
)
from kspsign.settings.unmapped import refuse_unmapped, unmapped_settings, unmapped_variables


def resolve(
    command: Command,
    arguments: Mapping[str, Any],
    *,
    stores: StoreModels,
    inputs: Mapping[str, Any] | None = None,
    config: Path | Literal["ambient"] | None = None,
    environment: Mapping[str, str],
    secrets: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from `arguments` (snake_case) over task `inputs` (camelCase) over the `config` file.

    `config` "ambient" means that no file was named: then the harmless settings of kspsign.yml in the working folder
    count, except for commands that only judge.
    Only keys that were really given may be in `arguments` and `inputs`; those of the key store become
    `store_options`, by the model that `stores` has for it. `environment` is asked for the variables that options of
    the key store name, those that it reads by itself, SM_* credentials, and what child processes need. `secrets` are
    the task's: "password", "accessToken" and variables by name, which win. Raises ConfigurationError with every fault
    named, and for a macro that nothing replaced (`doctor` names these itself); PrerequisiteError when the key store's
    package can't be loaded.
    """
    file = _config_file(None if config == "ambient" and command in UNAMBIENT_COMMANDS else config, stores)
    given = Given.of(file, _from_camel(inputs or {}, stores), arguments).without_overruled(USER_FIELDS)
    surface = RunContext.from_environment(environment, is_tty=False).surface
    if command != "doctor":
        refuse_unmapped(unmapped_settings(given), surface)
    sources = {**environment, **(secrets or {})}
    sorted_keys = _Sorted.of(given, stores)
    values = sorted_keys.given.values
    of_stores = sorted_keys.models.values(), sorted_keys.options
    internal = {
        "command": command,
        "configuration": file.origin._replace(keys=frozenset(name for name in given.values if given.in_file(name))),
        "agent_environment": {name: value for name, value in environment.items() if name.upper() in AGENT_VARIABLES},
        "credentials": program_credentials(sources, values.get("tool_env")),
        "network_environment": network_variables(sources),
        "given_options": {**sorted_keys.options, **_secrets(command, of_stores, environment, secrets or {})},
        "publish_token": publish_token(
            values.get("publish_token_env") if command in PUBLISHING_COMMANDS else None, environment, secrets or {}
        ),
    }
    settings = _validated({**sorted_keys.generic, **internal}, sorted_keys)
    read = store_variables(sources, sorted_keys.variables(settings, stores), sorted_keys.passed)
    settings = settings.model_copy(update={"store_environment": read})
    if command != "doctor":
        refuse_unmapped(unmapped_variables(settings), surface)
    return settings


def _secrets(
    command: Command,
    of_stores: tuple[Collection[type[StoreOptions]], Mapping[str, Any]],
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
) -> Mapping[str, SecretStr]:
    """What the command gets to open a key store. `shims` opens none: it learns only whether the step has a secret."""
    if command in KEY_STORE_COMMANDS:
        return store_secrets(*of_stores, environment, secrets)
    return store_secrets((), {}, environment, secrets) if command in STORE_OPTION_COMMANDS else {}


class _Sorted(NamedTuple):
    """Given keys by what they are for: every run, or key stores (`options`); `models` are those that may be meant."""

    given: Given
    generic: Mapping[str, Any]
    options: Mapping[str, Any]
    chosen: type[StoreOptions] | None
    models: Mapping[str, type[StoreOptions]]

    @classmethod
    def of(cls, all_given: Given, stores: StoreModels) -> _Sorted:
        """Raises ConfigurationError for keys that no setting and no key store has."""
        name = all_given.values.get("key_store")
        try:
            chosen = stores.model(str(name).strip()) if name is not None else None
        except ConfigurationError as no_store:
            message = _with_lines(no_store.message, all_given)
            raise ConfigurationError(message, code=no_store.code, remedy=no_store.remedy) from None
        given = all_given.without_overruled(options_of(chosen)) if chosen is not None else all_given
        values = given.values
        generic = {key: value for key, value in values.items() if key in Settings.model_fields}
        rest = {key: value for key, value in values.items() if key in StoreOptions.model_fields or key not in generic}
        own = set(options_of(chosen)) if chosen is not None else set()
        if chosen is not None and set(rest) <= own:
            return cls(given, generic, rest, chosen, {str(name): chosen})
        if chosen is None and set(rest) <= set(StoreOptions.model_fields):
            return cls(given, generic, rest, None, {})  # of every store, and checked with the settings
        models = {**stores.built_in(), **({str(name): chosen} if chosen is not None else {})}
        if set(rest) - {key for model in models.values() for key in options_of(model)}:
            models = {**models, **stores.installed()}
        known = {key for model in models.values() for key in options_of(model)}
        if unknown := sorted(set(rest) - known):
            raise _unknown(unknown, known | _GENERIC, given)
        return cls(given, generic, rest, chosen, models)

    def variables(self, settings: Settings, stores: StoreModels) -> frozenset[str]:
        """What the chosen store reads of the environment, or that of the certificate; while neither is known, all that
        may be meant."""
        if self.chosen is not None:
            return self.chosen.variables
        if not self.models and settings.thumbprint is not None:
            known = stores.of_certificate(settings.store_folder, settings.thumbprint)
            return known.variables if known is not None else frozenset()
        return frozenset().union(*(model.variables for model in self.models.values()))

    @property
    def passed(self) -> frozenset[str]:
        """The variables that are named for the store's program; of every store while none is chosen."""
        models = self.models.values() if self.chosen is None else (self.chosen,)
        return frozenset().union(*(named_variables(model, self.options) for model in models))

    def foreign_faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with keys that the chosen store lacks: values that their own stores refuse."""
        own = set(options_of(self.chosen)) if self.chosen is not None else set(StoreOptions.model_fields)
        foreign = {key: value for key, value in self.options.items() if key not in own}
        for key in foreign:
            having = {name: model for name, model in self.models.items() if key in model.model_fields}
            field = next(iter(having.values())).model_fields[key]
            if marker(field, NeverIgnored) is not None:
                yield "", f"{option_name(key)} needs --key-store {' or '.join(sorted(having))}"
        for model in self.models.values() if foreign else ():
            mine = {key: value for key, value in foreign.items() if key in model.model_fields}
            try:
                model.model_validate(mine)
            except ValidationError as invalid:
                yield from ((place, text) for place, text in faults(invalid) if place)


def _validated(values: Mapping[str, Any], sorted_keys: _Sorted) -> Settings:
    """The settings with the chosen store's options; every fault of both is named at once."""
    found = [*sorted_keys.foreign_faults()]
    settings: Settings | None = None
    options: StoreOptions | None = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as invalid:
        found += faults(invalid)
    if sorted_keys.chosen is not None:
        try:
            options = validate_options(sorted_keys.chosen, values["given_options"])
        except ValidationError as invalid:
            found += faults(invalid)
    if settings is None or found:
        given = sorted_keys.given
        raise wrong_settings((_placed(place, given), _with_lines(text, given)) for place, text in found)
    return settings.model_copy(update={"store_options": options})


def _placed(place: str, given: Given) -> str:
    """The setting at `place` as an option, or with the line of the file that has it."""
    name, *more = place.split(".")
    if given.in_file(name):
        return given.shown(name, *(int(part) if part.isdigit() else part for part in more))
    return option_name(name) if name else ""


def _with_lines(text: str, given: Given) -> str:
    """`text` with options that are in the file named by their keys and lines."""
    named = {option_name(name): name for name in given.values if given.in_file(name)}
    return re.sub(_OPTION, lambda found: given.shown(named[found[0]]) if found[0] in named else found[0], text)


def _unknown(names: list[str], known: set[str] | frozenset[str], given: Given) -> ConfigurationError:
    said = (given.shown(name) if given.in_file(name) else name for name in names)
    near = (no_such(name, known).removeprefix(name) for name in names)
    return ConfigurationError(
        "there is no such setting: " + ", ".join(map("".join, zip(said, near, strict=True))),
        remedy=f"Correct it; known are {', '.join(sorted(known))}.",
    )


_GENERIC = frozenset(USER_FIELDS)
_OPTION = r"(?<![\w-])--[a-z][a-z0-9-]*"


def _from_camel(inputs: Mapping[str, Any], stores: StoreModels) -> dict[str, Any]:
    """The task's inputs by field; only built-in stores have inputs."""
    if not inputs:
        return {}
    models = stores.built_in().values()
    known = {
        to_camel(name): name for name in (*sorted(_GENERIC), *(key for model in models for key in options_of(model)))
    }
    unknown = sorted(set(inputs) - set(known))
    if unknown:
        raise ConfigurationError(
            f"unknown task input: {', '.join(no_such(name, known) for name in unknown)}",
            remedy=f"Known inputs: {', '.join(sorted(known))}.",
        )
    return {known[name]: value for name, value in inputs.items()}


def _config_file(config: Path | Literal["ambient"] | None, stores: StoreModels) -> ConfigFile:
    """Raises ConfigurationError for a file that can't be read, or that holds what no file or no ambient one may."""
    file = read_ambient(stores, USER_FIELDS.get) if config == "ambient" else read_named(config)
    internal = sorted((INTERNAL_FIELDS | {TASK_SECRET}) & set(file.values))
    if internal:
        raise ConfigurationError(
            f"{', '.join(internal)} is not allowed in a configuration file",
            remedy="Remove it.",
            file=file.origin.facts.name if file.origin.facts else None,
        )
    return file
