"""The keys of a policy file as one frozen model; the defaults apply without a file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from kspsign.certificates.identity import is_durable_usage
from kspsign.model.globs import expand_braces, pattern_fault
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.verifying.policy.names import parse_name, thumbprint_digits
from kspsign.verifying.strength import STRONG, Strength

Curve = Literal["P-256", "P-384", "P-521"]


def _glob(pattern: str) -> str:
    if "\\" in pattern:
        raise ValueError(f"{pattern!r} has a backslash: write folders with / on every system")
    if not pattern.strip() or pattern.startswith("!"):
        raise ValueError(f"{pattern!r} is not a pattern: name files, ** for any folders, without ! at its beginning")
    if fault := pattern_fault(pattern):
        raise ValueError(f"{pattern!r} {fault[0]}. {fault[1]}")
    expand_braces(pattern)
    return pattern


def _name(text: str) -> str:
    parse_name(text)
    return text


def _name_or_thumbprint(text: str) -> str:
    return text if thumbprint_digits(text) else _name(text)


def _thumbprint(text: str) -> str:
    digits = thumbprint_digits(text)
    if digits is None:
        raise ValueError(f"a thumbprint has 40 hex digits (SHA-1) or 64 (SHA-256), {text!r} has not; quote it")
    return digits


def _refs(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Patterns of full names: what does not begin with refs/ names branches, as in the triggers of Azure Pipelines."""
    for pattern in patterns:
        if not pattern or "\\" in pattern or pattern.startswith("!"):
            raise ValueError(f"{pattern!r} is not a pattern of branches: write main, release/* or refs/tags/v*")
        if fault := pattern_fault(pattern):
            raise ValueError(f"{pattern!r} {fault[0]}. {fault[1]}")
    expanded = (name for pattern in patterns for name in expand_braces(pattern))
    return tuple(name if name.startswith("refs/") else f"refs/heads/{name}" for name in expanded)


Glob = Annotated[str, AfterValidator(_glob)]


def _subscriber(text: str) -> str:
    if not is_durable_usage(text):
        raise ValueError(
            f"{text!r} is not the usage of one subscriber: those of Azure Artifact Signing begin with "
            "1.3.6.1.4.1.311.97 and end in numbers of their own"
        )
    return text


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Publisher(_Part):
    """Whose certificate it must be: every key that is given must hold."""

    subject: Annotated[str, AfterValidator(_name)] | None = Field(
        None, description="Parts that its subject must all have: CN=Contoso Ltd, C=IE; without = the common name."
    )
    issuer: Annotated[str, AfterValidator(_name_or_thumbprint)] | None = Field(
        None, description="Parts of its issuer's name, or the thumbprint of a CA in its chain."
    )
    thumbprint: Annotated[str, AfterValidator(_thumbprint)] | None = Field(
        None, description="Its thumbprint: 40 hex digits (SHA-1) or 64 (SHA-256)."
    )

    eku: Annotated[str, AfterValidator(_subscriber)] | None = Field(
        None, description="The extended key usage that names a subscriber of Azure Artifact Signing (dotted OID)."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Publisher:
        if not (self.subject or self.issuer or self.thumbprint or self.eku):
            raise ValueError("give subject, issuer, thumbprint or eku")
        return self


Publishers = Annotated[tuple[Publisher, ...], Field(min_length=1)]
Globs = Annotated[tuple[Glob, ...], Field(min_length=1)]


class SignedRule(_Part):
    """What must be signed, whatever else the policy lets stay unsigned."""

    files: Globs = Field((), description="Patterns; each must match a file, and all that match must be signed.")
    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = Field(
        (), description="Formats of which every file must be signed."
    )


class TimestampRule(_Part):
    """Whether signatures must be timestamped, and by whom."""

    required: bool = Field(True, description="Whether every signature must have a timestamp that holds.")
    authorities: Publishers = Field((), description="Whose timestamps count (default: any trusted authority's).")


class AlgorithmRule(_Part):
    """What counts as strong enough. A weaker value than the default admits it in chains and timestamps too."""

    digests: Annotated[tuple[DigestAlgorithm, ...], Field(min_length=1)] = Field(
        tuple(sorted(STRONG.digests)), description="Digests that files, their signatures and timestamps may use."
    )
    rsa_bits: int = Field(STRONG.rsa_bits, ge=1024, le=16384, description="Smallest RSA key of a signer, in bits.")
    curves: Annotated[tuple[Curve, ...], Field(min_length=1)] = Field(
        ("P-256", "P-384", "P-521"), description="Curves of a signer's EC key."
    )
    sha1_beside_sha256: bool = Field(
        False, description="Tolerate an old SHA-1 signature in a file that has a stronger one which holds."
    )

    @property
    def strength(self) -> Strength:
        """These rules as the verifier's term."""
        return Strength(frozenset(self.digests), self.rsa_bits, frozenset(self.curves))


class PackageRule(_Part):
    """What counts in packages of Windows Installer."""

    metadata: bool = Field(
        False, description="Whether names, order and sizes of the streams must be signed (MsiDigitalSignatureEx)."
    )
    unallocated_data: Globs = Field(
        (), description="Patterns of packages that may hold unsigned rests where no stream is, as some vendors' do."
    )


class ProvenanceRule(_Part):
    """What the provenance of the files (--provenance) must say."""

    repository: str = Field(min_length=1, description="Address of the repository; case and a final .git are ignored.")
    branches: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_refs)] = Field(
        (), description="Patterns of branches (main is refs/heads/main) and of full names, refs/tags/* (default: any)."
    )
    definition: str | None = Field(None, min_length=1, description="Name of the pipeline (default: any).")
    by_task: bool = Field(False, description="Whether the extension's task must have signed.")


class VendorRule(_Part):
    """Files that carry their vendor's signature and keep it; `run` leaves them alone."""

    files: Globs = Field(description="Patterns of the files.")
    publisher: Publishers = Field((), description="Whose signature it must be (default: any trusted publisher's).")


class Policy(_Part):
    """What a release demands of the files that it judges."""

    name: str | None = Field(None, min_length=1, max_length=100, description="Its name (default: the file's).")
    publisher: Publishers = Field((), description="Who must have signed: one of these (default: anybody trusted).")
    signed: SignedRule = Field(SignedRule(), description="What must be signed.")
    timestamp: TimestampRule = Field(TimestampRule(), description="Whether and by whom signatures are timestamped.")
    algorithms: AlgorithmRule = Field(AlgorithmRule(), description="What counts as strong enough.")
    validity_days: int = Field(0, ge=0, le=3650, description="Days that the signer's certificate must remain valid.")
    msi: PackageRule = Field(PackageRule(), description="What counts in packages of Windows Installer.")
    inside: Literal["required"] | None = Field(
        None, description="required: every file inside containers that can be signed is judged too."
    )
    unsigned: Globs = Field((), description="Patterns of files that may stay unsigned; `run` does not sign them.")
    provenance: ProvenanceRule | None = Field(None, description="What the provenance of the files must say.")
    vendor: tuple[VendorRule, ...] = Field((), description="Files that keep their vendor's signature.")

    @model_validator(mode="after")
    def _says_whose_provenance(self) -> Policy:
        if self.provenance is not None and not self.publisher:
            raise ValueError(
                "provenance needs publisher: without it anyone with a trusted certificate may state the source"
            )
        return self
