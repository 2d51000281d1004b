"""Settings from what is given: arguments > task inputs / pipeline variables > configuration file, resolved once.

No other module reads the environment or a configuration file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from kspsign.model.errors import ConfigurationError
from kspsign.model.suggest import suggest
from kspsign.settings.config_file import ConfigFile, read_ambient, read_named
from kspsign.settings.model import INTERNAL_FIELDS, JUDGING_COMMANDS, USER_FIELDS, Command, Settings
from kspsign.settings.network import network_variables
from kspsign.settings.store_options import (
    TASK_SECRET,
    NeverIgnored,
    StoreModels,
    StoreOptions,
    faults,
    marker,
    options_of,
    secret_variables,
    validate_options,
    wrong_settings,
)

CREDENTIAL_PREFIX = "SM_"
"""DigiCert's client tools and KSP read their host, API key and client certificate from such variables."""

_AGENT_VARIABLES = frozenset(
    {
        "ALLUSERSPROFILE",
        "APPDATA",
        "COMMONPROGRAMFILES",
        "COMMONPROGRAMFILES(X86)",
        "COMMONPROGRAMW6432",
        "COMPUTERNAME",
        "COMSPEC",
        "HOME",
        "HOMEDRIVE",
        "HOMEPATH",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "LANG",
        "LC_ALL",
        "LOCALAPPDATA",
        "NO_PROXY",
        "NUMBER_OF_PROCESSORS",
        "OS",
        "PATH",
        "PATHEXT",
        "PROCESSOR_ARCHITECTURE",
        "PROGRAMDATA",
        "PROGRAMFILES",
        "PROGRAMFILES(X86)",
        "PROGRAMW6432",
        "PUBLIC",
        "SYSTEMDRIVE",
        "SYSTEMROOT",
        "TEMP",
        "TMP",
        "TMPDIR",
        "USERDOMAIN",
        "USERNAME",
        "USERPROFILE",
        "WINDIR",
    }
)
"""What every child process gets of the agent's environment; everything else may be some other step's secret."""


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
    named, PrerequisiteError when the key store's package can't be loaded.
    """
    file = _config_file(None if config == "ambient" and command in JUDGING_COMMANDS else config, stores)
    from_inputs = _from_camel(inputs or {}, stores)
    given = {**file.values, **from_inputs, **arguments}
    sources = {**environment, **(secrets or {})}
    sorted_keys = _Sorted.of(given, stores)
    internal = {
        "command": command,
        "configuration": replace(file.origin, keys=file.origin.keys - {*arguments, *from_inputs}),
        "agent_environment": {name: value for name, value in environment.items() if name.upper() in _AGENT_VARIABLES},
        "credentials": _credentials(sources, given.get("tool_env")),
        "network_environment": network_variables(sources),
        "store_environment": {
            name.upper(): SecretStr(value)
            for name, value in sources.items()
            if value and name.upper() in sorted_keys.variables
        },
        "given_options": {**sorted_keys.given, **_store_secrets(sorted_keys, environment, secrets or {})},
        "publish_token": _secret(
            (secrets or {}).get("accessToken"), "publish_token_env", given.get("publish_token_env"), environment
        ),
    }
    return _validated({**sorted_keys.generic, **internal}, sorted_keys)


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Given keys by what they are for: every run, or key stores (`given`); `models` are those that may be meant."""

    generic: Mapping[str, Any]
    given: Mapping[str, Any]
    chosen: type[StoreOptions] | None
    models: Mapping[str, type[StoreOptions]]

    @classmethod
    def of(cls, given: Mapping[str, Any], stores: StoreModels) -> _Sorted:
        """Raises ConfigurationError for keys that no setting and no key store has."""
        name = given.get("key_store")
        chosen = stores.model(str(name).strip()) if name is not None else None
        generic = {key: value for key, value in given.items() if key in Settings.model_fields}
        rest = {key: value for key, value in given.items() if key in StoreOptions.model_fields or key not in generic}
        own = set(options_of(chosen)) if chosen is not None else set()
        if chosen is not None and set(rest) <= own:
            return cls(generic, rest, chosen, {str(name): chosen})
        if chosen is None and not rest:
            return cls(generic, rest, None, {})
        models = {**stores.built_in(), **({str(name): chosen} if chosen is not None else {})}
        if set(rest) - {key for model in models.values() for key in options_of(model)}:
            models = {**models, **stores.installed()}
        known = {key for model in models.values() for key in options_of(model)}
        if unknown := sorted(set(rest) - known):
            raise ConfigurationError(
                "unknown setting: " + ", ".join(_with_near(key, known | _GENERIC) for key in unknown),
                remedy=f"Correct it; known are {', '.join(sorted(known | _GENERIC))}.",
            )
        return cls(generic, rest, chosen, models)

    @property
    def variables(self) -> frozenset[str]:
        """What the chosen store reads of the environment; the others too while none is chosen."""
        if self.chosen is not None:
            return self.chosen.variables
        return frozenset().union(*(model.variables for model in self.models.values()))

    def foreign_faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with keys that the chosen store lacks: values that their own stores refuse."""
        own = set(options_of(self.chosen)) if self.chosen is not None else set(StoreOptions.model_fields)
        foreign = {key: value for key, value in self.given.items() if key not in own}
        for key in foreign:
            having = {name: model for name, model in self.models.items() if key in model.model_fields}
            field = next(iter(having.values())).model_fields[key]
            if marker(field, NeverIgnored) is not None:
                yield "", f"{key} needs key_store {', '.join(sorted(having))}"
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
        raise wrong_settings(found)
    return settings.model_copy(update={"store_options": options})


def _store_secrets(
    sorted_keys: _Sorted, environment: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, SecretStr]:
    """The task's secret, else the values of the variables that options of a key store name.

    Raises ConfigurationError when one is not set, or options of two key stores name one each.
    """
    named = {
        name: variable.secret
        for model in sorted_keys.models.values()
        for name, variable in secret_variables(model)
        if sorted_keys.given.get(name) is not None
    }
    if named and not any(set(named) <= set(model.model_fields) for model in sorted_keys.models.values()):
        raise ConfigurationError(
            f"{' and '.join(named)} exclude each other: a run has one key store",
            remedy="Name the one secret of the key store that signs.",
        )
    task = secrets.get(TASK_SECRET)
    if task is not None:
        return {TASK_SECRET: SecretStr(task)}
    return {
        secret: value
        for name, secret in named.items()
        if (value := _secret(None, name, sorted_keys.given[name], environment)) is not None
    }


def _secret(given: str | None, setting: str, name: object, environment: Mapping[str, str]) -> SecretStr | None:
    """The task's secret, else the value of the variable `name`, which `setting` names."""
    if given is None and name is not None:
        given = environment.get(str(name))
        if given is None:
            raise ConfigurationError(
                f"the environment variable {name} ({setting}) is not set",
                remedy=f"Map the secret variable into the step: env: {{ {name}: $(yourSecret) }}.",
            )
    return None if given is None else SecretStr(given)


_GENERIC = frozenset(USER_FIELDS)


def _credentials(variables: Mapping[str, str], more: object) -> dict[str, SecretStr]:
    """What only the tools get that sign: SM_* and the variables that tool_env names; an empty one is none."""
    named = set(more) if isinstance(more, (list, tuple)) else {more}
    return {
        name: SecretStr(value)
        for name, value in variables.items()
        if value and (name.upper().startswith(CREDENTIAL_PREFIX) or name in named)
    }


def _with_near(word: str, known: Collection[str]) -> str:
    near = suggest(word, known)
    return f"{word} (did you mean {near[0]}?)" if near else word


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
            f"unknown task input: {', '.join(_with_near(name, known) for name in unknown)}",
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
