"""The options of one key store: the base class of every store's model, and what a field says besides its type.

A store declares its options as a pydantic model. The command line, the task's inputs, kspsign.yml, its JSON schema and
the documentation follow from the fields; nothing else needs to know them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from kspsign.settings.faults import faults, option_name, wrong_settings

TASK_SECRET = "password"  # noqa: S105 - a name
"""The task's and the action's input for the key store's secret, whatever the store calls it."""


class Metavar(NamedTuple):
    """The placeholder of the value in --help: FILE, NAME, URL."""

    text: str


class Ambient(Enum):
    """Marks whether a setting may come from an ambient file: a kspsign.yml that lies in the working folder, unnamed.

    Whoever can put a file there, such as a pull request, must not decide what is trusted, what code runs, what is
    written, which credentials are used or which files count. A field without this marker is refused.
    """

    HARMLESS = "harmless"
    REFUSED = "refused"


class AloneMeans(NamedTuple):
    """Marks a list that its option alone gives a value: `--inside` is `--inside=true`. Other values follow `=`, so that
    the option never takes the next argument for its value."""

    text: str


class Output(NamedTuple):
    """Marks a field that names a file which the run writes: never one of the files that it works on.

    `text` ("module:function") makes its content of a run's report: a text, or the pieces of one that is too large to be
    in memory.
    """

    text: str | None = None


class SecretVariable(NamedTuple):
    """Marks a field that names an environment variable; the variable's value becomes the field `secret`."""

    secret: str


class VariableNames(NamedTuple):
    """Marks a field that names environment variables which the store's program gets; no other store receives them."""


class OneOf(NamedTuple):
    """Marks fields that exclude each other, by what they choose: one that was given on the command line or as an input
    overrules the others in a configuration file."""

    choice: str


class NeverIgnored(NamedTuple):
    """Marks a field that is refused with a key store that lacks it. Other fields of other stores are ignored."""


class AsGiven:
    """Marks a field that takes an instance of its class as it is, like pydantic's InstanceOf; that one makes a schema
    of the class besides, which every start would pay for."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """See pydantic."""
        return core_schema.is_instance_schema(source)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: object, _handler: object) -> dict[str, Any]:
        """No file holds such a field."""
        return {}


def _forty_hex_digits(value: str | None) -> str | None:
    if value is None:
        return None
    # Windows' certificate dialog puts a hidden U+200E before the thumbprint that is copied from it.
    bare = "".join(char for char in value if char.isprintable() and char not in ": ").upper()
    if not re.fullmatch("[0-9A-F]{40}", bare):
        raise ValueError(f"a thumbprint has 40 hex digits; {value!r} does not (SHA-1 picks the certificate only)")
    return bare


Thumbprint = Annotated[
    str | None,
    AfterValidator(_forty_hex_digits),
    Ambient.HARMLESS,
    Metavar("HEX"),
    Field(description="SHA-1 thumbprint of the certificate (40 hex digits)."),
]
"""Which certificate signs: asked of every key store, and enough for one that was synchronised before."""


class StoreOptions(BaseModel):
    """The options of every key store; a store's own model derives from it. Secrets are `SecretStr` fields.

    `variables` are the environment variables that the store reads by itself, such as a cloud's sign-in;
    `program_credentials` is true where it also gets SM_* and the variables that --tool-env names, which are for
    programs and libraries of vendors. No other store gets them. `timestamp_server` is asked before the default ones,
    and `needs_timestamp` true where certificates end so soon that a signature without timestamp is worth nothing.
    """

    # Built when first used: a run has one key store, and needs no validator for the others.
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, defer_build=True)

    variables: ClassVar[frozenset[str]] = frozenset()
    program_credentials: ClassVar[bool] = False
    timestamp_server: ClassVar[str | None] = None
    needs_timestamp: ClassVar[bool] = False

    keypair_alias: Annotated[str | None, Ambient.HARMLESS, Metavar("ALIAS")] = Field(
        None, description="Alias of the key pair in the key store (case-sensitive)."
    )
    thumbprint: Thumbprint = None

    def reads(self, variable: str) -> bool:
        """Whether the store receives this environment variable."""
        return variable in self.variables or variable in named_variables(type(self), dict(self))

    @property
    def means_synchronised(self) -> bool:
        """Whether these options are too few to open the store, so that --thumbprint means an earlier certsync."""
        return False

    def check(self) -> None:
        """Raise ConfigurationError for what is wrong with them or the files that they name; makes no request."""


class StoreModels(Protocol):
    """Which key stores there are, and the options of each: the table of `kspsign.keys` as the settings see it."""

    def built_in(self) -> Mapping[str, type[StoreOptions]]:
        """Of every built-in store, by name."""
        ...

    def model(self, name: str) -> type[StoreOptions]:
        """Of the store `name`, built in or installed.

        Raises ConfigurationError when there is none, PrerequisiteError when its package can't be loaded.
        """
        ...

    def of_certificate(self, store_folder: Path, thumbprint: str) -> type[StoreOptions] | None:
        """Of the store that a synchronised certificate is from; None when that can't be told."""
        ...

    def installed(self) -> Mapping[str, type[StoreOptions]]:
        """Of every store that another package brings and that can be loaded; slow."""
        ...


_Model = TypeVar("_Model", bound=StoreOptions)
_Marker = TypeVar("_Marker")


def is_secret(field: FieldInfo) -> bool:
    """Whether the field holds a secret: it is never an option, an input or a key of a file."""
    return SecretStr in {field.annotation, *get_args(field.annotation)}


def options_of(model: type[StoreOptions]) -> dict[str, FieldInfo]:
    """The fields that users may set."""
    return {name: field for name, field in model.model_fields.items() if not is_secret(field)}


def marker(field: FieldInfo, kind: type[_Marker]) -> _Marker | None:
    """What the field says of itself besides its type."""
    return next((item for item in field.metadata if isinstance(item, kind)), None)


def is_harmless(field: FieldInfo) -> bool:
    """Whether an ambient configuration file may hold the setting."""
    return marker(field, Ambient) is Ambient.HARMLESS


def secret_text(text: str) -> SecretStr:
    """A secret as it was given, without the line ends that files, `echo` and PowerShell leave around it."""
    return SecretStr(text.strip("\r\n"))


def secret_variables(model: type[StoreOptions]) -> Iterator[tuple[str, SecretVariable]]:
    """The fields that name an environment variable."""
    for name, field in model.model_fields.items():
        found = marker(field, SecretVariable)
        if found is not None:
            yield name, found


def named_variables(model: type[StoreOptions], given: Mapping[str, Any]) -> frozenset[str]:
    """The environment variables that `given` names for the store's program, as they are written there."""
    named: set[str] = set()
    for name, field in model.model_fields.items():
        if marker(field, VariableNames) is not None:
            value = given.get(name) or ()
            named.update(value.split() if isinstance(value, str) else map(str, value))
    return frozenset(named)


def make_options(model: type[_Model], given: Mapping[str, Any]) -> _Model:
    """The options of one store from flat keys and secrets; keys that it does not have are left out.

    Raises ConfigurationError with every fault named.
    """
    try:
        return validate_options(model, given)
    except ValidationError as invalid:
        raise wrong_settings((option_name(name) if name else "", text) for name, text in faults(invalid)) from invalid


def validate_options(model: type[_Model], given: Mapping[str, Any]) -> _Model:
    """`make_options` for callers who have further faults to name. Raises ValidationError."""
    own = {name: value for name, value in given.items() if name in model.model_fields}
    for _name, variable in list(secret_variables(model))[:1]:
        if given.get(TASK_SECRET) is not None:
            own.setdefault(variable.secret, given[TASK_SECRET])
    return model.model_validate(own)
