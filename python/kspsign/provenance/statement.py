"""The statement: which files, built by what, from which source (in-toto Statement v1 with SLSA Provenance v1).

Sources: in-toto/attestation, spec/v1/statement.md and resource_descriptor.md; slsa.dev/spec/v1.0/provenance. The models
are strict: a field that they do not know could change what the statement says, so that it is refused, and so is one
that says the same thing twice in different words, since programs differ in which of them they read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)

from kspsign.model.project import DOCUMENTATION, PROJECT
from kspsign.provenance.strict_json import refused, strict_json
from kspsign.settings.context import Caller

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILDERS: Final[Mapping[Caller, str]] = {caller: f"{PROJECT}/builders/{caller}" for caller in get_args(Caller)}
"""Who signed, by what called kspsign: the extension's task, the action ..."""
BUILD_TYPE: Final = f"{DOCUMENTATION}/reference/provenance.md"
"""What the external and internal parameters mean."""

_Text = Annotated[str, Field(min_length=1)]
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Nothing = Annotated[dict[str, str], Field(max_length=0)]
_State = Literal["signed", "rebuilt", "as found", "before signing", "SPDX SBOM", "CycloneDX SBOM"]


def is_commit(text: str) -> bool:
    """Whether it is the name of a commit of Git: SHA-1 or SHA-256, in lower case."""
    return re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", text) is not None


def _checked_commit(given: str) -> str:
    if not is_commit(given):
        raise ValueError("it is not a commit of Git")
    return given


def _checked_time(given: str) -> str:
    """A time in UTC as `iso_utc` writes it."""
    if given != f"{datetime.fromisoformat(given).replace(tzinfo=None).isoformat(timespec='seconds')}Z":
        raise ValueError("it is not a time in UTC: 2026-01-31T12:00:00Z")
    return given


_Commit = Annotated[str, AfterValidator(_checked_commit)]
_Time = Annotated[str, AfterValidator(_checked_time)]


class _StatementPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceCommit(_StatementPart):
    """The resolved dependency that was built: a commit of a Git repository."""

    uri: _Text
    digest: dict[Literal["gitCommit"], _Commit] = Field(min_length=1)
    annotations: _Nothing = Field(default_factory=dict)


class ReadFile(_StatementPart):
    """A resolved dependency that the signing run read: its policy or its configuration."""

    name: _Text
    digest: dict[Literal["sha256"], _Sha256] = Field(min_length=1)
    annotations: dict[Literal["kind"], Literal["policy", "configuration"]] = Field(min_length=1)


class Subject(_StatementPart):
    """A file, by its SHA-256."""

    name: _Text
    digest: dict[Literal["sha256"], _Sha256] = Field(min_length=1)
    annotations: dict[Literal["state"], _State] = Field(default_factory=dict)


class Definition(_StatementPart):
    """The pipeline that ran, by name and number."""

    name: _Text
    id: str


class ExternalParameters(_StatementPart):
    """What whoever starts a build decides."""

    repository: _Text
    ref: _Text
    definition: Definition

    @property
    def source(self) -> str:
        """The address of what was built (SPDX download location)."""
        return f"git+{self.repository}@{self.ref}"


class InternalParameters(_StatementPart):
    """What the service decides, or who started the build."""

    host: Literal["azure-pipelines", "github-actions"]
    hosted: StrictBool
    reason: str
    requestedFor: str  # noqa: N815 - camelCase as in the predicate
    job: str
    attempt: StrictInt


def _checked_build_type(given: str) -> str:
    """Raise ValueError for a way of building whose parameters mean something else."""
    if given != BUILD_TYPE:
        raise ValueError(f"the build type is not {BUILD_TYPE}")
    return given


def _checked_builder(given: str) -> str:
    """Raise ValueError for a builder that is not one of kspsign's."""
    if given not in BUILDERS.values():
        raise ValueError("the builder is not one of kspsign's")
    return given


class BuildDefinition(_StatementPart):
    """How the files were made."""

    buildType: Annotated[str, AfterValidator(_checked_build_type)]  # noqa: N815
    externalParameters: ExternalParameters  # noqa: N815
    internalParameters: InternalParameters  # noqa: N815
    resolvedDependencies: tuple[SourceCommit | ReadFile, ...]  # noqa: N815

    @property
    def commit(self) -> str:
        """The commit that was built."""
        return next(found.digest["gitCommit"] for found in self.resolvedDependencies if isinstance(found, SourceCommit))

    @model_validator(mode="after")
    def _has_one_source(self) -> BuildDefinition:
        """The source is what the parameters name, and other programs read it here."""
        sources = [found for found in self.resolvedDependencies if isinstance(found, SourceCommit)]
        if [found.uri for found in sources] != [self.externalParameters.source]:
            raise ValueError("the resolved dependencies do not have exactly one source, that of the parameters")
        read = [found for found in self.resolvedDependencies if isinstance(found, ReadFile)]
        _refuse_repeated([found.annotations["kind"] for found in read])
        return self


class Builder(_StatementPart):
    """Who made them."""

    id: Annotated[str, AfterValidator(_checked_builder)]
    version: dict[Literal["kspsign"], str]


class BuildMetadata(_StatementPart):
    """When, and in which run."""

    invocationId: _Text  # noqa: N815
    startedOn: _Time  # noqa: N815
    finishedOn: _Time  # noqa: N815


class RunDetails(_StatementPart):
    """Details of this run."""

    builder: Builder
    metadata: BuildMetadata


class Provenance(_StatementPart):
    """The predicate."""

    buildDefinition: BuildDefinition  # noqa: N815
    runDetails: RunDetails  # noqa: N815


class Statement(_StatementPart):
    """The whole statement."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1)
    predicateType: Literal["https://slsa.dev/provenance/v1"]  # noqa: N815
    predicate: Provenance

    @model_validator(mode="after")
    def _names_each_once(self) -> Statement:
        _refuse_repeated([subject.name for subject in self.subject])
        return self

    @property
    def digests(self) -> frozenset[str]:
        """The SHA-256 of each subject, in hex."""
        return frozenset(subject.digest["sha256"] for subject in self.subject)


def _refuse_repeated(names: Sequence[str]) -> None:
    repeated = next((name for name, number in Counter(names).items() if number > 1), None)
    if repeated is not None:
        raise ValueError(f"{repeated!r} comes twice")


def statement_text(statement: Statement) -> bytes:
    """The statement as JSON, which is what is signed."""
    content = statement.model_dump(mode="json", by_alias=True, exclude_defaults=False, exclude_none=True)
    return json.dumps(content, separators=(",", ":")).encode()


def read_statement(text: bytes) -> Statement:
    """The statement in a payload. Raises TrustError for anything but one of ours."""
    try:
        return Statement.model_validate(strict_json(text))
    except ValidationError as invalid:
        first = invalid.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise refused(f"the statement is not one of kspsign's: {place}: {first['msg']}") from invalid
