"""The digest document: what must be signed of files, and, once that is done elsewhere, the signatures.

The models are the format: `kspsign schema digest` prints their JSON schema, docs/reference/digest-document.md describes
them. Bytes are base64 (RFC 4648 §4).
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from kspsign.authenticode.cms.prepared import check_attributes
from kspsign.authenticode.vsix.profile import restored
from kspsign.model.errors import ConfigurationError, TrustError
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.settings.faults import faults

SCHEMA: Final = "kspsign.digests/1"
MAX_DOCUMENT: Final = 256 << 20
"""Bytes of a document: page hashes of large images take some megabytes each."""
_DRIVE = re.compile(r"[A-Za-z]:|.*[\\\0]")
_MAX_FILES = 100_000


def _decoded(value: object) -> object:
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


_Bytes = Annotated[
    bytes,
    BeforeValidator(_decoded, json_schema_input_type=str),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), return_type=str),
]
_Hex256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SignatureParts(_Model):
    """A signature that was made of a digest of the document."""

    value: _Bytes = Field(description="RSA PKCS#1 v1.5 (RFC 8017 section 8.2), or ECDSA as DER (RFC 3279 2.2.3).")
    certificates: tuple[_Bytes, ...] = Field(
        min_length=1, max_length=20, description="DER: the signer's certificate first, then its issuers."
    )
    timestamp: _Bytes | None = Field(None, description="RFC 3161 token (DER) over the value; null without one.")


class DigestEntry(_Model):
    """What is to be signed of one file."""

    path: str = Field(min_length=1, max_length=4096, description="The file below --folder, with / between folders.")
    format: Format = Field(description="The file's format.")
    size: int = Field(ge=0, description="Bytes of the file.")
    sha256: _Hex256 = Field(description="SHA-256 of the whole file, in hex.")
    algorithm: Literal["sha256", "sha384", "sha512"] = Field(description="Digest algorithm of file and signature.")
    content: _Bytes = Field(
        description="The signed content: DER of SpcIndirectDataContent or what the format has; VSIX: the Object (XML)."
    )
    attributes: _Bytes = Field(
        description="DER SET OF of the signed attributes (RFC 5652 section 5.4); VSIX: SignedInfo (canonical XML)."
    )
    digest: _Bytes = Field(description="Digest of the attributes: what the key signs.")
    certificate: _Bytes | None = Field(
        None, description="DER of the only certificate that may sign, where the attributes or the file name it."
    )
    signature: SignatureParts | None = Field(None, description="null until it is signed.")

    @model_validator(mode="after")
    def _agrees(self) -> DigestEntry:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or _DRIVE.match(self.path):
            raise ValueError(f"{self.path!r} is not a path below a folder")
        if hashlib.new(self.algorithm, self.attributes).digest() != self.digest:
            raise ValueError(f"{self.path}: the digest is not that of the signed attributes")
        try:
            if self.format is Format.VSIX:
                restored(DigestAlgorithm(self.algorithm), self.content, self.attributes)
            else:
                check_attributes(DigestAlgorithm(self.algorithm), self.content, self.attributes)
        except TrustError as malformed:
            raise ValueError(f"{self.path}: {malformed.message}") from malformed
        return self


class DigestDocument(_Model):
    """The whole document."""

    schema_: Literal["kspsign.digests/1"] = Field(alias="schema", description="The version of this format.")
    tool: str = Field(max_length=100, description="The program and version that wrote it.")
    created: str = Field(max_length=40, description="When the digests were taken (ISO 8601, UTC).")
    files: tuple[DigestEntry, ...] = Field(min_length=1, max_length=_MAX_FILES, description="One entry per file.")

    @model_validator(mode="after")
    def _names_once(self) -> DigestDocument:
        if len({entry.path.casefold() for entry in self.files}) != len(self.files):
            raise ValueError("it names a file twice")
        return self

    def encoded(self) -> bytes:
        """The document as JSON."""
        return self.model_dump_json(by_alias=True, indent=2).encode() + b"\n"


def read_document(path: Path) -> DigestDocument:
    """The document at `path`, every entry in agreement with itself.

    Raises ConfigurationError that names the file and what is wrong with it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_DOCUMENT + 1)
    except OSError as unreadable:
        raise _unusable(path, unreadable.strerror or str(unreadable)) from unreadable
    if len(text) > MAX_DOCUMENT:
        raise _unusable(path, f"it has more than {MAX_DOCUMENT >> 20} MiB")
    try:
        return DigestDocument.model_validate_json(text)
    except ValidationError as invalid:
        place, said = next(faults(invalid))
        raise _unusable(path, f"{place}: {said}" if place else said) from invalid


def digest_document_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of the document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **DigestDocument.model_json_schema()}


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"it is not a digest document that can be used: {why}",
        remedy="Take the document as `kspsign digest` or `kspsign sign --document` wrote it, unchanged.",
        file=str(path),
    )
