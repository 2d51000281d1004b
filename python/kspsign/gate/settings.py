"""The settings of the gate, resolved once: options, then the pipeline's variables."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from kspsign.azure_devops.values import DEV_TASK_ID, TASK_ID
from kspsign.model.errors import ConfigurationError
from kspsign.model.network_options import NetworkOptions
from kspsign.settings.azure_devops_token import DEFAULT_TOKEN_VARIABLE, azure_devops_token
from kspsign.settings.config_file import ConfigOrigin, read_named
from kspsign.settings.context import RunContext
from kspsign.settings.faults import faults, option_name
from kspsign.settings.layers import Given, no_such
from kspsign.settings.network import network_options
from kspsign.settings.secrets import network_variables
from kspsign.settings.store_options import AsGiven, Metavar, OneOf, Output
from kspsign.settings.unmapped import refuse_unmapped, unmapped_settings

BuildNumber = Annotated[int, Field(gt=0)]


class GateSettings(BaseModel):
    """The settings of `kspsign gate`."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    collection: Annotated[str, Metavar("URL")] = Field(
        min_length=1, description="URL of the collection (default: the pipeline's)."
    )
    project: Annotated[str, Metavar("NAME")] = Field(
        min_length=1, description="Name or id of the project (default: the pipeline's)."
    )
    build_id: Annotated[tuple[BuildNumber, ...], Metavar("ID")] = Field(
        min_length=1, description="Build to decide on; repeatable (default: the pipeline's)."
    )
    token_env: Annotated[str, Metavar("NAME")] = Field(DEFAULT_TOKEN_VARIABLE, description="Variable with the token.")
    files: Annotated[tuple[str, ...], Metavar("PATTERN")] = Field(
        (), description="Downloaded files that must match verified ones (globs)."
    )
    folder: Annotated[Path, Metavar("FOLDER")] = Field(
        Path(), description="Folder that relative patterns start from (default: the working folder)."
    )
    verdicts: int = Field(1, ge=1, description="Verdicts that the build must have, exactly.")
    wait: Annotated[int, Metavar("MINUTES")] = Field(
        0, ge=0, le=60 * 24, description="Minutes to wait for a missing verdict."
    )
    allow_test_signing: bool = Field(False, description="Accept artifacts signed with throw-away keys.")
    policy: Annotated[Path | None, OneOf("policy")] = Field(
        None, description="Policy file that must have judged the files, by the report."
    )
    policy_sha256: Annotated[str | None, OneOf("policy"), Metavar("HEX")] = Field(
        None, pattern="^[0-9A-Fa-f]{64}$", description="SHA-256 of that policy as stated in the report, instead."
    )
    variant: Literal["public", "dev"] = Field(
        "public", description="Extension whose task must have signed; dev: the private variant, for its own tests."
    )
    report: Annotated[Path | None, Output()] = Field(None, description="JSON report of the decision to write.")
    ca_file: Path | None = Field(None, description="PEM file with CA certificates for every connection.")

    token: SecretStr
    configuration: Annotated[ConfigOrigin, AsGiven] = ConfigOrigin()
    network_environment: dict[str, SecretStr] = Field(default_factory=dict, repr=False)

    @field_validator("policy_sha256")
    @classmethod
    def _lower(cls, value: str | None) -> str | None:
        return value.lower() if value else None

    @property
    def task_id(self) -> str:
        """The only task whose verdicts count."""
        return DEV_TASK_ID if self.variant == "dev" else TASK_ID

    @property
    def network(self) -> NetworkOptions:
        """How Azure DevOps is reached. Raises ConfigurationError for an unreadable list of the build agent."""
        return network_options(self.network_environment, self.ca_file)


GATE_INTERNAL_FIELDS = frozenset({"token", "configuration", "network_environment"})
"""Fields that no option and no configuration file sets."""

_DEFAULTS = {
    "collection": ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"),
    "project": ("SYSTEM_TEAMPROJECTID", "SYSTEM_TEAMPROJECT"),
    "build_id": ("BUILD_BUILDID",),
}


def resolve_gate(given: Mapping[str, Any], environment: Mapping[str, str]) -> GateSettings:
    """Settings from the options that were given, over the file that the option `config` names, over the variables of
    the step. No other file is read.

    Raises ConfigurationError with every fault named; a missing token is one.
    """
    options = {name: value for name, value in given.items() if name != "config"}
    file = read_named(given.get("config"))
    known = set(GateSettings.model_fields) - GATE_INTERNAL_FIELDS
    if foreign := sorted(set(file.values) - known):
        near = (no_such(name, known).removeprefix(name) for name in foreign)
        raise ConfigurationError(
            f"not a setting of the gate: {', '.join(map(''.join, zip(map(file.shown, foreign), near, strict=True)))}",
            remedy="Give the gate a file of its own, with its options as keys (snake_case).",
            file=str(given.get("config")),
        )
    all_given = Given.of(file, {}, options).without_overruled(GateSettings.model_fields)
    surface = RunContext.from_environment(environment, is_tty=False).surface
    refuse_unmapped(unmapped_settings(all_given), surface)
    merged = {**all_given.values}
    for field, names in _DEFAULTS.items():
        value = next((environment[name] for name in names if environment.get(name)), None)
        if field not in merged and value is not None:
            merged[field] = (value,) if field == "build_id" else value
    if merged.get("policy") is not None:
        if merged.get("policy_sha256") is not None:
            raise ConfigurationError("--policy and --policy-sha256 exclude each other", remedy="Leave one out.")
        merged["policy_sha256"] = _policy_digest(Path(merged["policy"]))
    name = str(merged.get("token_env", DEFAULT_TOKEN_VARIABLE))
    token = azure_devops_token(name, environment, surface)
    merged["network_environment"] = network_variables(environment)
    try:
        return GateSettings.model_validate({**merged, "token": token, "configuration": file.origin})
    except ValidationError as invalid:
        raise ConfigurationError(
            "; ".join(f"{option_name(place.split('.')[0])}: {text}" for place, text in faults(invalid)),
            remedy="Correct the named options; outside a pipeline --collection, --project and --build-id are needed.",
        ) from invalid


def _policy_digest(path: Path) -> str:
    """The digest that reports state: over the text with LF, whatever line ends the checkout has."""
    try:
        return hashlib.sha256(path.read_text(encoding="utf-8").encode("utf-8")).hexdigest()
    except (OSError, UnicodeDecodeError) as unreadable:
        raise ConfigurationError(
            f"the policy can't be read: {unreadable}", remedy="Correct --policy; save it as UTF-8.", file=str(path)
        ) from unreadable
