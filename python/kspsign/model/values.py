"""The values handed from step to step along the path, all frozen.

What the report holds (report.py) has exactly its keys; bytes never appear there. Times are ISO 8601 in UTC
("2026-01-31T12:00:00Z"), durations are seconds, sizes are bytes, thumbprints are 40 upper-case hex digits (SHA-1 of
the certificate), sha256 values 64 lower-case hex digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal, NamedTuple

from kspsign.model.checks import CHECKS, CheckName
from kspsign.model.errors import KspSignError
from kspsign.model.hresults import Hresult

COPY_PREFIX = ".kspsign-tmp."
"""The prefix of signed copies next to their targets; they are never signed themselves."""


class DigestAlgorithm(StrEnum):
    """Digest algorithms; values are hashlib's names. SHA-1 is only ever read, never written."""

    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class Format(StrEnum):
    """File formats, found by content."""

    PE = "pe"
    MSI = "msi"
    CAB = "cab"
    CAT = "cat"
    APPX = "appx"
    APPX_BUNDLE = "appx-bundle"
    NUGET = "nuget"
    VSIX = "vsix"
    NAVX = "navx"
    CLICKONCE_APPLICATION = "clickonce-application"
    CLICKONCE_DEPLOYMENT = "clickonce-deployment"
    POWERSHELL = "powershell"
    POWERSHELL_XML = "powershell-xml"
    VBSCRIPT = "vbscript"
    JSCRIPT = "jscript"
    WSF = "wsf"


class Artifact(NamedTuple):
    """One file to sign or verify: its real path (as text, since a Path takes more memory than all else), the name shown
    to people, its format and size in bytes.

    `format` is None when the content is of no type that we know, or not `readable`; the file then fails with its own
    outcome. `container` is the name of the container that holds the file, whose `real` path is then that of a private
    copy. `aliases` are further names that lead to a file to be signed. `to_sign` is false for a file that a signing
    run only judges.
    """

    real: str
    name: str
    format: Format | None
    size: int
    aliases: tuple[str, ...] = ()
    to_sign: bool = True
    readable: bool = True
    container: str | None = None

    @property
    def path(self) -> Path:
        """Its real path."""
        return Path(self.real)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name by which it was found."""
        return (self.name, *self.aliases)


class SyncedCertificate(NamedTuple):
    """The result of certsync: a certificate that is found by thumbprint, and how to reach its key.

    `chain` is DER, leaf first, root last if known. `key_reference` is the key store's own address of the key
    (never a secret). `test_signing` is true for throw-away keys.
    """

    thumbprint: str
    chain: tuple[bytes, ...]
    alias: str | None
    key_store: str
    key_reference: dict[str, str]
    test_signing: bool


class RawSignature(NamedTuple):
    """A bare signature value as the key store returned it (RSA PKCS#1 v1.5, or ECDSA as DER).

    `chain` is the certificate that the value belongs to and its issuers (DER, leaf first), where the key store says
    so with each signature; None where the certificate is fixed. `request_id` is what the service's log calls the
    request that made it; None where the store has no such log or does not say.
    """

    algorithm: DigestAlgorithm
    value: bytes
    chain: tuple[bytes, ...] | None = None
    request_id: str | None = None


class TimestampToken(NamedTuple):
    """A checked RFC 3161 token: the DER ContentInfo, the time it states, the authority's name, the digest algorithm of
    its imprint, the server's URL."""

    der: bytes
    time: datetime
    authority: str
    digest_algorithm: DigestAlgorithm
    server: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one named check; `hresult` is None when it passed, else Windows' code for the failure.

    `remedy` is what to do about it where that is not what the term itself says. `number` is that of the signature that
    was checked, from 1.
    """

    check: CheckName
    detail: str
    hresult: Hresult | None = None
    remedy: str | None = None
    number: int = 1

    def __post_init__(self) -> None:
        if self.check not in CHECKS:
            raise ValueError(f"model/checks.py names no check {self.check!r}")

    @property
    def name(self) -> str:
        """The check as the report names it: on all signatures but the first it ends in their number ("digest#2")."""
        return self.check if self.number == 1 else f"{self.check}#{self.number}"


@dataclass(frozen=True, slots=True)
class Check:
    """One named verification step: passed or not, and what was seen."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class RootFacts:
    """Report: a root of trust."""

    thumbprint: str
    subject: str


@dataclass(frozen=True, slots=True)
class TimestampFacts:
    """Report: when a signature was stamped, by whom, with which digest, and the root that the authority's chain ends
    in (None: the chain does not hold). `thumbprint` is that of the authority's certificate."""

    time: str
    authority: str
    digest: str
    root: RootFacts | None = None
    thumbprint: str = ""


@dataclass(frozen=True, slots=True)
class SignatureFacts:
    """Report: one signature of a file. `key` is the kind of the signer's ("RSA 3072", "EC P-256"), `root` the one that
    its chain ends in (None: the chain does not hold). `inside` is the file in this one that carries it, such as a
    package in a bundle; None for the file's own."""

    thumbprint: str
    subject: str
    digest: str
    timestamp: TimestampFacts | None
    key: str = ""
    root: RootFacts | None = None
    inside: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Report: the outcome of strict verification, with every check by name."""

    result: Literal["verified", "failed", "not-checked"]
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether the file is verified; "not-checked" is not."""
        return self.result == "verified"


NOT_CHECKED = Verdict("not-checked", ())


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """Report: an error with its stable code, the Windows HRESULT if any ("0x800B0100"), and the remedy."""

    code: str
    hresult: str | None
    message: str
    remedy: str

    @classmethod
    def of(cls, error: KspSignError) -> ErrorFacts:
        """`error` as people and the report see it, the file it names included."""
        return cls(error.code, error.hresult.hex if error.hresult else None, str(error), error.remedy)


class Verification(NamedTuple):
    """The result of verifying one file: the verdict, its signatures, the file's sha256, and the first failure."""

    verdict: Verdict
    signatures: tuple[SignatureFacts, ...]
    sha256: str
    error: ErrorFacts | None


def iso_utc(moment: datetime, *, timespec: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """`moment` (timezone-aware) as ISO 8601 in UTC with a trailing Z, without fractions unless they are asked for."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec)}Z"
