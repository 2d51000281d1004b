"""The messages of key store command, version 1: what is asked, and what a program may answer.

The models are the protocol: `kspsign schema key-command` prints their JSON schema, docs/reference/command-key-store.md
describes them. An answer may have further keys, which are ignored.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import models_json_schema

VERSION = 1
DigestName = Literal["sha256", "sha384", "sha512"]
ErrorKind = Literal["busy", "refused", "spent"]
Subject = Literal["credentials", "host", "key", "permission", "certificate"]


class UnusableMessageError(Exception):
    """An answer that is not one of the protocol; the text says why."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class ChainRequest(_Message):
    """The first request to each process: which certificate signs, and what the key can do. Free."""

    id: int = Field(description="Number of the request, repeated by its answer.")
    op: Literal["chain"]
    protocol: Literal[1] = Field(description="Version of the protocol.")
    alias: str | None = Field(None, description="The run's --keypair-alias, if one was given.")


class SignRequest(_Message):
    """One signature of one digest."""

    id: int = Field(description="Number of the request, repeated by its answer.")
    op: Literal["sign"]
    algorithm: DigestName = Field(description="The digest algorithm.")
    digest: str = Field(description="The digest, base64 (RFC 4648 section 4).")
    alias: str | None = Field(None, description="The run's --keypair-alias, if one was given.")


class ChainAnswer(_Message):
    """The answer to `chain`."""

    id: int = Field(description="That of the request.")
    certificates: tuple[str, ...] = Field(
        min_length=1, max_length=20, strict=False, description="DER in base64: the signing one first, then its issuers."
    )
    alias: str | None = Field(None, max_length=200, description="What the key pair is called, for people.")
    digests: tuple[DigestName, ...] = Field(
        ("sha256", "sha384", "sha512"), min_length=1, strict=False, description="The digests that the key signs."
    )
    concurrent: int = Field(1, ge=1, le=256, description="Requests that one process takes at the same time.")
    costly: bool = Field(True, description="false: signatures cost nothing, and a lost one is simply made again.")
    fixed_certificate: bool = Field(
        True, description="false: the service chooses the certificate of each signature, which comes with it."
    )


class SignAnswer(_Message):
    """The answer to `sign`."""

    id: int = Field(description="That of the request.")
    signature: str = Field(
        description="base64: RSA PKCS#1 v1.5 (RFC 8017 section 8.2), or ECDSA as DER (RFC 3279 section 2.2.3)."
    )
    certificates: tuple[str, ...] | None = Field(
        None, max_length=20, strict=False, description="Of this signature, where the certificate is not fixed."
    )


class Fault(_Message):
    """Why there is no answer."""

    kind: ErrorKind = Field(
        description="busy: nothing was signed, ask again; refused: nothing was signed; spent: a signature may have "
        "been made, and is lost."
    )
    message: str = Field(description="What happened, in one line; no secret.")
    retry_after: float | None = Field(
        None, ge=0, strict=False, description="busy: seconds to wait before asking again."
    )
    about: Subject | None = Field(None, description="What it is about; kspsign doctor sorts it by that.")


class ErrorAnswer(_Message):
    """The answer to any request that can't be met, also to an `op` or `algorithm` that the program does not know."""

    id: int = Field(description="That of the request.")
    error: Fault


_AnswerT = TypeVar("_AnswerT", ChainAnswer, SignAnswer)


def chain_request(alias: str | None) -> dict[str, Any]:
    """Without its id."""
    return {"op": "chain", "protocol": VERSION, **_aliased(alias)}


def sign_request(digest: bytes, algorithm: str, alias: str | None) -> dict[str, Any]:
    """Without its id."""
    return {"op": "sign", "algorithm": algorithm, "digest": base64.b64encode(digest).decode(), **_aliased(alias)}


def read_answer(answer: Mapping[str, Any], kind: type[_AnswerT]) -> _AnswerT | Fault:
    """The answer as the protocol has it. Raises UnusableMessageError."""
    if "error" in answer:
        return _read(answer, ErrorAnswer).error
    return _read(answer, kind)


def decode(text: str, what: str) -> bytes:
    """The bytes of base64. Raises UnusableMessageError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as broken:
        raise UnusableMessageError(f"{what} is not base64") from broken


def key_command_schema() -> dict[str, Any]:
    """The JSON schema (2020-12): `$defs` has each message, and one of the answers is what a program writes."""
    models: list[type[BaseModel]] = [ChainRequest, SignRequest, ChainAnswer, SignAnswer, ErrorAnswer]
    _, schema = models_json_schema([(model, "validation") for model in models])
    answers = ("ChainAnswer", "SignAnswer", "ErrorAnswer")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answers of a program that is a key store of kspsign (version 1)",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in answers],
        **schema,
    }


_MessageT = TypeVar("_MessageT", bound=_Message)


def _read(answer: Mapping[str, Any], kind: type[_MessageT]) -> _MessageT:
    try:
        return kind.model_validate(answer)
    except ValidationError as invalid:
        (first, *_) = invalid.errors(include_url=False, include_context=False, include_input=False)
        place = ".".join(str(part) for part in first["loc"])
        raise UnusableMessageError(f"its {place} is wrong: {first['msg']}") from invalid


def _aliased(alias: str | None) -> dict[str, str]:
    return {} if alias is None else {"alias": alias}
