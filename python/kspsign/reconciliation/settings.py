"""The settings of `kspsign reconcile`, resolved once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from kspsign.azure_devops.values import DEV_TASK_ID, TASK_ID
from kspsign.model.errors import ConfigurationError
from kspsign.model.network_options import NetworkOptions
from kspsign.reconciliation.key_logs.named_columns import COLUMNS
from kspsign.settings.azure_devops_token import DEFAULT_TOKEN_VARIABLE, azure_devops_token
from kspsign.settings.context import RunContext
from kspsign.settings.faults import faults, option_name
from kspsign.settings.network import network_options
from kspsign.settings.secrets import network_variables
from kspsign.settings.store_options import Metavar, Output
from kspsign.settings.unmapped import in_text, refuse_unmapped

_DURATION: Final = re.compile(r"(\d{1,6})\s*([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_SKEW: Final = 86400
_DEFAULTS: Final = {
    "collection": ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"),
    "project": ("SYSTEM_TEAMPROJECTID", "SYSTEM_TEAMPROJECT"),
}
DefinitionId = Annotated[int, Field(gt=0)]


class Place(NamedTuple):
    """A project whose builds are asked for, and since when (seconds since 1970)."""

    collection: str
    project: str
    token: SecretStr
    since: float


class ReconcileSettings(BaseModel):
    """The settings of `kspsign reconcile`."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    key_log: tuple[Path, ...] = Field(
        min_length=1, description="Exported log of the key, or a folder of its files; repeatable."
    )
    log_format: Literal[
        "auto", "azure-key-vault", "azure-artifact-signing", "digicert-one", "aws-cloudtrail", "google-cloud", "csv"
    ] = Field("auto", description="Whose log it is; auto: by its first record.")
    log_column: Annotated[tuple[str, ...], Metavar("NAME=COLUMN")] = Field(
        (), description=f"Column of a log of your own; repeatable. Names: {', '.join(COLUMNS)}."
    )
    ledger: tuple[Path, ...] = Field((), description="Ledger of builds, or a folder of ledgers; repeatable.")
    from_azure_devops: bool = Field(False, description="Fetch the ledgers that builds of --definition attached.")
    definition: Annotated[tuple[DefinitionId, ...], Metavar("ID")] = Field(
        (), description="Pipeline whose builds count, by its definition id; repeatable."
    )
    collection: Annotated[str | None, Metavar("URL")] = Field(
        None, description="URL of the collection (default: the pipeline's)."
    )
    project: Annotated[str | None, Metavar("NAME")] = Field(
        None, description="Name or id of the project (default: the pipeline's)."
    )
    token_env: Annotated[str, Metavar("NAME")] = Field(
        DEFAULT_TOKEN_VARIABLE, description="Variable with the token for Azure DevOps."
    )
    variant: Literal["public", "dev"] = Field(
        "public", description="Extension whose task attached the ledgers; dev: the private variant."
    )
    since: Annotated[str | None, Metavar("TIME")] = Field(
        None, description="Compare uses and signatures from this time on (ISO 8601, UTC where no zone is named)."
    )
    until: Annotated[str | None, Metavar("TIME")] = Field(None, description="Compare those before this time.")
    key: Annotated[tuple[str, ...], Metavar("NAME")] = Field(
        (), description="Compare uses of this key only, by a part of its name in the log; repeatable."
    )
    clock_skew: Annotated[str, Metavar("TIME")] = Field(
        "5m", description="By how much the clocks of log and builds may differ: 90s, 5m, 1h."
    )
    report: Annotated[Path | None, Output()] = Field(None, description="JSON file of the comparison to write.")
    summary: Annotated[Path | None, Output()] = Field(None, description="Markdown file of the comparison to write.")
    html: Annotated[Path | None, Output()] = Field(None, description="HTML page of the comparison to write.")
    ca_file: Path | None = Field(None, description="PEM file with CA certificates for every connection.")

    token: SecretStr | None = None
    network_environment: dict[str, SecretStr] = Field(default_factory=dict, repr=False)

    @field_validator("since", "until")
    @classmethod
    def _is_time(cls, value: str | None) -> str | None:
        if value is not None:
            _seconds(value)
        return value

    @field_validator("clock_skew")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        if _duration(value) > _LONGEST_SKEW:
            raise ValueError("clocks that differ by more than a day can't be compared")
        return value

    @field_validator("log_column")
    @classmethod
    def _are_columns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [item.partition("=")[0] for item in value]
        wrong = next(
            (item for item in value if item.partition("=")[0] not in COLUMNS or not item.partition("=")[2]), None
        )
        if wrong is not None:
            raise ValueError(f"{wrong!r} is not NAME=COLUMN with a NAME of {', '.join(COLUMNS)}")
        if len(set(names)) < len(names):
            raise ValueError("a name is given twice")
        if value and "time" not in names:
            raise ValueError("the column of times must be named: time=COLUMN")
        return value

    @model_validator(mode="after")
    def _has_ledgers(self) -> ReconcileSettings:
        if not self.from_azure_devops:
            if not self.ledger:
                raise ValueError("name the ledgers with --ledger, or fetch them with --from-azure-devops")
            if self.definition:
                raise ValueError("--definition goes with --from-azure-devops")
        elif not (self.definition and self.collection and self.project and self.since):
            raise ValueError("--from-azure-devops needs --definition, --since, --collection and --project")
        if self.log_column and self.log_format not in {"auto", "csv"}:
            raise ValueError(f"--log-column is for logs of your own, and not for --log-format {self.log_format}")
        if self.since is not None and self.until is not None and _seconds(self.since) >= _seconds(self.until):
            raise ValueError("--since is not before --until")
        return self

    @property
    def skew_seconds(self) -> float:
        """By how many seconds clocks may differ."""
        return float(_duration(self.clock_skew))

    @property
    def columns(self) -> dict[str, str]:
        """The columns of a log of one's own: its name by ours."""
        return {item.partition("=")[0]: item.partition("=")[2] for item in self.log_column}

    @property
    def period(self) -> tuple[float | None, float | None]:
        """`since` and `until` in seconds since 1970."""
        return (
            None if self.since is None else _seconds(self.since),
            None if self.until is None else _seconds(self.until),
        )

    @property
    def azure_devops(self) -> Place:
        """Where ledgers are fetched from, where they are."""
        since = self.period[0]
        if self.collection is None or self.project is None or self.token is None or since is None:
            raise ValueError("nothing is fetched: see _has_ledgers")
        return Place(self.collection, self.project, self.token, since)

    @property
    def task_id(self) -> str:
        """The only task whose ledgers count."""
        return DEV_TASK_ID if self.variant == "dev" else TASK_ID

    @property
    def network(self) -> NetworkOptions:
        """How Azure DevOps is reached. Raises ConfigurationError for an unreadable list of the build agent."""
        return network_options(self.network_environment, self.ca_file)


RECONCILE_INTERNAL_FIELDS: Final = frozenset({"token", "network_environment"})
"""Fields that no option sets."""


def resolve_reconcile(given: Mapping[str, Any], environment: Mapping[str, str]) -> ReconcileSettings:
    """Settings from the options that were given, over the variables of the step; no file is read.

    Raises ConfigurationError with every fault named; where ledgers are fetched, a missing token is one.
    """
    merged = dict(given)
    surface = RunContext.from_environment(environment, is_tty=False).surface
    refuse_unmapped([fault for name, value in given.items() for fault in in_text(name, str(value))], surface)
    merged["network_environment"] = network_variables(environment)
    if merged.get("from_azure_devops"):
        for field, names in _DEFAULTS.items():
            value = next((environment[name] for name in names if environment.get(name)), None)
            if field not in merged and value is not None:
                merged[field] = value
        merged["token"] = azure_devops_token(str(merged.get("token_env", DEFAULT_TOKEN_VARIABLE)), environment, surface)
    try:
        return ReconcileSettings.model_validate(merged)
    except ValidationError as invalid:
        raise ConfigurationError(
            "; ".join(
                f"{option_name(place.split('.')[0])}: {text}" if place else text for place, text in faults(invalid)
            ),
            remedy="Correct the named options; `kspsign help reconcile` lists them.",
        ) from invalid


def _is_column(item: str) -> bool:
    name, _, column = item.partition("=")
    return name in COLUMNS and bool(column)


def _seconds(written: str) -> float:
    try:
        found = datetime.fromisoformat(written)
    except ValueError as wrong:
        raise ValueError(f"{written!r} is not a date or a time in ISO 8601, such as 2026-11-01T06:00Z") from wrong
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _duration(written: str) -> int:
    found = _DURATION.fullmatch(written.strip().lower())
    if found is None:
        raise ValueError(f"{written!r} is not a duration, such as 90s, 5m or 1h")
    return int(found[1]) * _UNITS[found[2]]
