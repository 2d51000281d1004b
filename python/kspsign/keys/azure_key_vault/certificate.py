"""A certificate in the vault: its versions, what of them can sign, and the issuers in its secret."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from azure.keyvault.certificates import CertificateProperties, KeyVaultCertificate
from cryptography import x509
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from kspsign.certificates.file import parse_certificates
from kspsign.keys.azure_key_vault.identifier import Identifier
from kspsign.model.errors import PrerequisiteError


@dataclass(frozen=True, slots=True)
class VaultCertificate:
    """One version of a certificate: its identifier, DER, and the identifiers of its key and secret."""

    identifier: str
    der: bytes
    key: str
    secret: str | None
    name: str


class CertificateVersions(NamedTuple):
    """Versions of a certificate that can sign, those valid now first.

    `passed_over` has a remark on each newer version that can't sign yet. `listed` is false where the identity may not
    list: then there is the current version alone.
    """

    found: list[VaultCertificate]
    passed_over: tuple[str, ...] = ()
    listed: bool = True


def described(found: KeyVaultCertificate) -> VaultCertificate:
    """Raises PrerequisiteError for a version that is disabled, and for a request that the CA has not answered yet."""
    if found.properties is not None and found.properties.enabled is False:
        raise PrerequisiteError(
            f"certificate {found.name} is disabled in the vault (version {found.properties.version})",
            code="KEY_VAULT_DISABLED",
            remedy="Enable the certificate version in the vault, or name another version.",
        )
    if not found.cer:
        raise PrerequisiteError(
            f"certificate {found.name} is pending: the vault holds its request, and no certificate yet",
            code="CERTIFICATE_PENDING",
            remedy="Have the CA sign the request and merge its answer in the vault; until then name an older version.",
        )
    return VaultCertificate(str(found.id), bytes(found.cer), str(found.key_id), found.secret_id, str(found.name))


def begin_of(properties: CertificateProperties) -> datetime:
    """When a version begins to be valid; a request that the CA has not answered, when it was made."""
    return properties.not_before or properties.created_on or datetime.min.replace(tzinfo=UTC)


def passed_over_remark(wanted: Identifier, version: CertificateProperties, *, pending: bool) -> str:
    """Why a newer version is not used."""
    why = "pending: the CA's answer is not merged" if pending else "not enabled: disabled, or pending"
    return f"{wanted.vault} {wanted.name}: version {version.version} is newer and not used, since it is {why}"


def is_valid(properties: CertificateProperties, now: datetime) -> bool:
    """Whether the version's dates include `now`."""
    return (properties.not_before or now) <= now <= (properties.expires_on or now)


def parse_secret(value: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a secret: PEM, or base64 of PKCS#12 without password, as the vault writes it."""
    if "-----BEGIN CERTIFICATE" in value:
        return parse_certificates(value.encode())
    try:
        content = load_pkcs12(base64.b64decode(value), None)
    except ValueError:
        return ()
    return tuple(entry.certificate for entry in (content.cert, *content.additional_certs) if entry is not None)
