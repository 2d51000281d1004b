"""The digest document: what must be signed of files, and, once that is done elsewhere, the signatures.

The models are the format: `kspsign schema digest` prints their JSON schema, docs/reference/digest-document.md describes
them. Bytes are base64 (RFC 4648 §4).
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from kspsign.authenticode.appx.names import windows_fault
from kspsign.authenticode.formats import NAMING_CERTIFICATE, load_format
from kspsign.model.errors import ConfigurationError, TrustError
from kspsign.model.strict_json import strict_json
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.settings.faults import faults

SCHEMA: Final = "kspsign.digests/1"
MAX_DOCUMENT: Final = 256 << 20
"""Bytes of a document: page hashes of large images take some megabytes each."""
_MAX_FILES = 100_000
_MAX_KEYS, _MAX_VALUES, _MAX_PARTS = 16, 64, 8
"""Keys of an object; values, and objects and lists, of an entry with all that it holds."""


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    data, end = base64.b64decode(value, validate=True), value[-4:]
    if base64.b64encode(base64.b64decode(end)).decode() != end:
        raise ValueError("bits that are not 0 fill up the base64")
    return data


def path_fault(path: str) -> str | None:
    """Why a document can't name a file by `path`, None when it can: the same document goes to any system."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "it has bytes that are not UTF-8"
    if path.startswith("/") or {"", ".", ".."} & set(path.split("/")):
        return "it is not a path below a folder"
    if "\\" in path:
        return "it has a backslash"
    return windows_fault(path)


def same_names(paths: Iterable[str]) -> tuple[str, str] | None:
    """The first two paths that are one file's on some system: case and Unicode's forms do not count there."""
    known: dict[str, str] = {}
    for path in paths:
        key = unicodedata.normalize("NFC", path).casefold()
        if key in known:
            return known[key], path
        known[key] = path
    return None


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
    size: int = Field(ge=0, le=1 << 63, strict=True, description="Bytes of the file.")
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
        fault = path_fault(self.path)
        if fault is not None:
            raise ValueError(f"{self.path!r}: {fault}")
        if hashlib.new(self.algorithm, self.attributes).digest() != self.digest:
            raise ValueError(f"{self.path}: the digest is not that of the signed attributes")
        if self.format in NAMING_CERTIFICATE and self.certificate is None:
            raise ValueError(f"{self.path}: the certificate is not named on which its digest depends")
        profile = load_format(self.format).detachable
        if profile is None:
            raise ValueError(f"{self.path}: files of the format {self.format} are not signed in two phases")
        try:
            profile.restore(DigestAlgorithm(self.algorithm), self.content, self.attributes, self.certificate)
        except TrustError as malformed:
            raise ValueError(f"{self.path}: {malformed.message}") from malformed
        return self


class DigestDocument(_Model):
    """The whole document."""

    schema_: Literal["kspsign.digests/1"] = Field(alias="schema", description="The version of this format.")
    tool: str = Field(max_length=100, description="The program and version that wrote it.")
    created: str = Field(max_length=40, description="When the digests were taken (ISO 8601, UTC).")
    files: Annotated[tuple[DigestEntry, ...], FailFast()] = Field(
        min_length=1, max_length=_MAX_FILES, description="One entry per file."
    )

    @model_validator(mode="after")
    def _names_once(self) -> DigestDocument:
        same = same_names(entry.path for entry in self.files)
        if same is not None:
            raise ValueError(f"it names a file twice, as {same[0]} and as {same[1]}")
        return self

    def encoded(self) -> bytes:
        """The document as JSON."""
        return self.model_dump_json(by_alias=True, indent=2).encode() + b"\n"


def read_document(path: Path) -> DigestDocument:
    """The document at `path`, every entry in agreement with itself.

    Raises ConfigurationError that names the file and what is wrong with it.
    """
    try:
        return DigestDocument.model_validate(_read_json(path))
    except ValidationError as invalid:
        place, said = next(faults(invalid))
        raise _unusable(path, f"{place}: {said}" if place else said) from invalid


def _read_json(path: Path) -> Any:
    """What the file holds, where that is not more than a document may have: objects take many times their text."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_DOCUMENT + 1)
    except OSError as unreadable:
        raise _unusable(path, unreadable.strerror or str(unreadable)) from unreadable
    if len(text) > MAX_DOCUMENT:
        raise _unusable(path, f"it has more than {MAX_DOCUMENT >> 20} MiB")
    if text.count(b",") > _MAX_FILES * _MAX_VALUES or text.count(b"{") + text.count(b"[") > _MAX_FILES * _MAX_PARTS:
        raise _unusable(path, f"it has more values than {_MAX_FILES} files take")
    try:
        return strict_json(text, most_keys=_MAX_KEYS)
    except ValueError as broken:
        raise _unusable(path, f"it is not JSON: {broken}") from broken


def digest_document_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of the document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **DigestDocument.model_json_schema()}


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"it is not a digest document that can be used: {why}",
        remedy="Take the document as `kspsign digest` or `kspsign sign --document` wrote it, unchanged.",
        file=str(path),
    )
