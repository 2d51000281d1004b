"""The statement: which files, built by what, from which source (in-toto Statement v1 with SLSA Provenance v1).

Sources: in-toto/attestation, spec/v1/statement.md and resource_descriptor.md; slsa.dev/spec/v1.0/provenance. The models
are strict: a field that they do not know could change what the statement says, so that it is refused.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.project import DOCUMENTATION, PROJECT

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
TASK_BUILDER: Final = f"{PROJECT}/builders/task"
"""The builder where the extension's task signed."""
BUILD_TYPE: Final = f"{DOCUMENTATION}/reference/provenance.md"
"""What the external and internal parameters mean."""

_Hex = Annotated[str, Field(pattern="^[0-9a-f]{40,128}$")]


class _StatementPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Resource(_StatementPart):
    """A resource descriptor."""

    name: str | None = None
    uri: str | None = None
    digest: dict[Literal["sha256", "gitCommit", "sha1"], _Hex] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Subject(_StatementPart):
    """A file, by its SHA-256."""

    name: str = Field(min_length=1)
    digest: dict[Literal["sha256"], Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(min_length=1)
    annotations: dict[str, str] = Field(default_factory=dict)


class Definition(_StatementPart):
    """The pipeline that ran, by name and number."""

    name: str
    id: str


class ExternalParameters(_StatementPart):
    """What whoever starts a build decides."""

    repository: str
    ref: str
    definition: Definition


class InternalParameters(_StatementPart):
    """What the service decides, or who started the build."""

    host: Literal["azure-pipelines", "github-actions"]
    hosted: StrictBool
    reason: str
    requestedFor: str  # noqa: N815 - camelCase as in the predicate
    job: str
    attempt: StrictInt


def _is_build_type(given: str) -> str:
    """Raise ValueError for a way of building whose parameters mean something else."""
    if given != BUILD_TYPE:
        raise ValueError(f"the build type is not {BUILD_TYPE}")
    return given


class BuildDefinition(_StatementPart):
    """How the files were made."""

    buildType: Annotated[str, AfterValidator(_is_build_type)]  # noqa: N815
    externalParameters: ExternalParameters  # noqa: N815
    internalParameters: InternalParameters  # noqa: N815
    resolvedDependencies: tuple[Resource, ...]  # noqa: N815


class Builder(_StatementPart):
    """Who made them."""

    id: str
    version: dict[str, str]


class BuildMetadata(_StatementPart):
    """When, and in which run."""

    invocationId: str  # noqa: N815
    startedOn: str  # noqa: N815
    finishedOn: str  # noqa: N815


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

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(STATEMENT_TYPE, alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1)
    predicateType: Literal["https://slsa.dev/provenance/v1"] = PREDICATE_TYPE  # noqa: N815
    predicate: Provenance

    @property
    def digests(self) -> frozenset[str]:
        """The SHA-256 of each subject, in hex."""
        return frozenset(subject.digest["sha256"] for subject in self.subject)

    @property
    def commit(self) -> str:
        """The commit that was built; "" where the statement does not say."""
        dependencies = self.predicate.buildDefinition.resolvedDependencies
        return next((found.digest["gitCommit"] for found in dependencies if "gitCommit" in found.digest), "")


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


def strict_json(text: bytes) -> Any:
    """JSON in UTF-8 (RFC 8259, no byte order mark) with each key of an object once, and no number that JSON does not
    have: other programs could read such a text differently. Raises TrustError."""
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as broken:
        raise refused(f"it is not JSON: {broken}") from broken


def refused(detail: str, hresult: Hresult = Hresult.TRUST_E_MALFORMED_SIGNATURE) -> TrustError:
    """The error for a provenance that does not hold."""
    return TrustError(
        hresult,
        f"the provenance does not hold: {detail}",
        check="provenance",
        remedy="Use the file that the signing run wrote, unchanged, with the files that it signed.",
    )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a value of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found
