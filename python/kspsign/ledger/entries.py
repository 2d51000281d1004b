"""The lines of a ledger (schema kspsign.ledger/1): what runs asked a key for, and what became of each signature.

A run begins with a `run` entry; `asked` is written before a request leaves and `signed` when its answer is there, so
that a run that is killed in between leaves a trace. `outcome` says what became of the signature. A signature that came
from a cache is not a use of the key: it is a `reused` entry. The models are the format: `kspsign schema ledger` prints
their JSON schema, docs/reference/ledger.md describes them. Nothing in them is secret.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from kspsign.ledger.text import MAX_TEXT
from kspsign.model.run_facts import BuildFacts

SCHEMA: Final = "kspsign.ledger/1"
GENESIS: Final = "0" * 64
"""The `previous` of the first line."""

Hex256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Identifier = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Moment = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", description="Time in UTC, to the millisecond."),
]
ShaThumbprint = Annotated[str, Field(pattern="^[0-9A-F]{40}$")]
Algorithm = Literal["sha1", "sha256", "sha384", "sha512"]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{40,128}$")]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Outcome = Literal["embedded", "kept", "discarded", "lost", "refused"]


class _LedgerModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Entry(_LedgerModel):
    run: Identifier = Field(description="The run that wrote the line.")
    time: Moment


class KeyFacts(_LedgerModel):
    """The key of a run. `reference` is the key store's own address of it, never a secret."""

    store: Text = Field(description="The key store, as --key-store names it.")
    alias: Text | None = Field(None, description="What the store calls the key pair.")
    reference: dict[str, Text] = Field(default_factory=dict, description="The store's own address of the key.")


class LedgerCertificate(_LedgerModel):
    """A certificate, as the ledger keeps it."""

    thumbprint: ShaThumbprint
    sha256: Hex256
    subject: Text
    serial: Text
    not_after: Text


class RunEntry(_Entry):
    """A run begins to use a key."""

    kind: Literal["run"] = "run"
    tool: Text = Field(description="Name and version of the program.")
    command: Text
    engine: Text
    key: KeyFacts
    certificate: LedgerCertificate
    build: BuildFacts | None = Field(None, description="The build that the run is part of.")
    branch: Text | None = Field(None, description="The branch that is built, as refs/heads/main.")
    requested_for: Text | None = Field(None, description="The person for whom the build runs.")


class AskedEntry(_Entry):
    """A signature is about to be asked for."""

    kind: Literal["asked"] = "asked"
    use: Identifier = Field(description="This use of the key.")
    attempt: int = Field(ge=1, description="How often this run has asked for a signature of this digest, with this.")
    digest: Digest | None = Field(None, description="What is signed; null where a tool of others takes the digest.")
    algorithm: Algorithm
    file: Text | None = Field(None, description="The file that it is for; <container>/<entry> inside a container.")


class SignedEntry(_Entry):
    """The key store answered with a signature, or with the operation by which it can be fetched."""

    kind: Literal["signed"] = "signed"
    use: Identifier
    certificate: ShaThumbprint | None = Field(None, description="Thumbprint of the certificate that it belongs to.")
    request_id: Text | None = Field(None, description="What the service's log calls the request.")
    operation: Text | None = Field(None, description="The operation that the service began.")


class OutcomeEntry(_Entry):
    """What became of a signature.

    `embedded`: it is in the file. `kept`: the run ended, and the journal keeps it for the next one. `discarded`: it was
    made, and no file will have it. `lost`: its answer was never seen, and it may have been made. `refused`: the key
    store made none. A use may be embedded in several files with the same content; a signature that a former run
    obtained is embedded by a later one under its use.
    """

    kind: Literal["outcome"] = "outcome"
    use: Identifier
    outcome: Outcome
    digest: Digest | None = None
    algorithm: Algorithm
    file: Text | None = None
    sha256_before: Hex256 | None = Field(None, description="SHA-256 of the file before it was signed.")
    reason: Text | None = Field(None, description="The code of the error, where there is one.")
    asked: Moment | None = Field(None, description="When it was asked for, where another run did.")


class ReusedEntry(_Entry):
    """A signature in a file that this run did not ask for: NOT a use of the key."""

    kind: Literal["reused"] = "reused"
    origin: Literal["journal", "cache"]
    digest: Digest
    algorithm: Algorithm
    file: Text | None = None
    sha256_before: Hex256 | None = None


class RotatedEntry(_Entry):
    """The certificate of the key is another one than that of the run before."""

    kind: Literal["rotated"] = "rotated"
    old: LedgerCertificate
    new: LedgerCertificate


class EndEntry(_Entry):
    """A run ended by itself; one without this entry was killed, or goes on."""

    kind: Literal["end"] = "end"
    asked: int = Field(ge=0, description="Signatures that the run asked for.")
    outcomes: dict[Outcome, int] = Field(description="What became of them.")


Entry = Annotated[
    RunEntry | AskedEntry | SignedEntry | OutcomeEntry | ReusedEntry | RotatedEntry | EndEntry,
    Field(discriminator="kind"),
]


class LedgerLine(_LedgerModel):
    """One line of a ledger; `previous` is the SHA-256 of the bytes of the line before, without its line feed."""

    schema_: Literal["kspsign.ledger/1"] = Field(SCHEMA, alias="schema")
    number: int = Field(ge=1, description="The line's place in the file, from 1.")
    previous: Hex256
    entry: Entry


LINES: Final[TypeAdapter[LedgerLine]] = TypeAdapter(LedgerLine)


def ledger_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of one line of a ledger."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **LedgerLine.model_json_schema()}
