"""Azure Key Vault through Microsoft's own clients: one sign-in, one challenge, connections that are kept."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError
from azure.core.rest import HttpRequest
from azure.keyvault.certificates import CertificateClient
from azure.keyvault.keys import KeyClient, KeyVaultKey
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kspsign.keys.azure_identity.credential import open_credential
from kspsign.keys.azure_identity.transport import AzureTransport
from kspsign.keys.azure_key_vault.certificate import (
    CertificateVersions,
    VaultCertificate,
    begin_of,
    described,
    is_valid,
    parse_secret,
    passed_over_remark,
)
from kspsign.keys.azure_key_vault.errors import MISREAD, explained, lost_signature, no_signature, unreadable
from kspsign.keys.azure_key_vault.identifier import Identifier, sign_in_host
from kspsign.keys.azure_key_vault.key import check_key
from kspsign.keys.azure_key_vault.options import AzureKeyVaultOptions
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import PrerequisiteError, SigningError
from kspsign.model.values import DigestAlgorithm, RawSignature

_ALGORITHMS: Final = {
    (DigestAlgorithm.SHA256, False): SignatureAlgorithm.rs256,
    (DigestAlgorithm.SHA384, False): SignatureAlgorithm.rs384,
    (DigestAlgorithm.SHA512, False): SignatureAlgorithm.rs512,
    (DigestAlgorithm.SHA256, True): SignatureAlgorithm.es256,
    (DigestAlgorithm.SHA384, True): SignatureAlgorithm.es384,
    (DigestAlgorithm.SHA512, True): SignatureAlgorithm.es512,
}
_SIGNING_RETRIES: Final = {"retry_status": 0, "retry_read": 0}
"""A signature request is repeated only if no connection was established; the caller decides in all other cases."""
_MOST_VERSIONS = 20
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Challenge:
    """For which resource (https://...) and in which Entra tenant the vault wants a sign-in."""

    resource: str
    tenant: str


class VaultClient:
    """A vault or Managed HSM, signed in to when first needed; safe to share between threads."""

    def __init__(self, vault: str, credential: Any, transport: AzureTransport) -> None:
        for name in ("azure", "msal"):
            logging.getLogger(name).addHandler(logging.NullHandler())  # what they warn of becomes an error of ours
        self._vault = vault
        self._transport = transport
        self._credential = credential
        self._options: dict[str, Any] = {"transport": transport, "retry_total": 6, "retry_backoff_max": 30}
        self._certificates = CertificateClient(vault, credential, **self._options)
        self._keys = KeyClient(vault, credential, **self._options)
        self._signer: CryptographyClient | None = None

    @classmethod
    def connect(cls, vault: str, options: AzureKeyVaultOptions, surroundings: Surroundings) -> Self:
        """Nothing is sent yet. Raises ConfigurationError when what the sign-in needs is missing."""
        transport = AzureTransport(surroundings.network, surroundings.jobs, surroundings.cancelled)
        return cls(vault, open_credential(options, surroundings, transport, authority=sign_in_host(vault)), transport)

    def challenge(self) -> Challenge:
        """For what the host wants a sign-in, which it says to whoever comes without one; whether it is there at all.

        Raises PrerequisiteError when it can't be reached, or is not a vault.
        """
        with _asking("answer", self._vault):
            answer = self._transport.send(HttpRequest("GET", f"{self._vault}/keys?api-version=7.4"))
            answer.read()
        said = dict(_CHALLENGE.findall(answer.headers.get("WWW-Authenticate", "")))
        resource = said.get("resource") or said.get("scope", "").removesuffix("/.default")
        place = urlsplit(said.get("authorization") or said.get("authorization_uri", ""))
        domain, host = urlsplit(resource).hostname, urlsplit(self._vault).hostname or ""
        if answer.status_code != HTTPStatus.UNAUTHORIZED or not domain or not host.endswith(f".{domain}"):
            raise PrerequisiteError(
                f"{self._vault} answers HTTP {answer.status_code}, and not as a Key Vault does",
                code="KEY_VAULT_UNREACHABLE",
                remedy="Correct the host in --key-identifier; a proxy's or firewall's page may have answered instead.",
            )
        return Challenge(resource, place.path.strip("/").partition("/")[0])

    def sign_in(self, challenge: Challenge) -> datetime:
        """Get a token as the challenge asks for, and say until when it is valid. Raises PrerequisiteError."""
        with _asking("sign in for", challenge.resource):
            token = self._credential.get_token(f"{challenge.resource}/.default", tenant_id=challenge.tenant)
        return datetime.fromtimestamp(token.expires_on, UTC)

    def certificate(self, wanted: Identifier) -> VaultCertificate:
        """One version, or the current one. Raises PrerequisiteError."""
        with _asking("read certificate", wanted.name):
            if wanted.version:
                return described(self._certificates.get_certificate_version(wanted.name, wanted.version))
            return described(self._certificates.get_certificate(wanted.name))

    def certificate_versions(self, wanted: Identifier, now: datetime) -> CertificateVersions:
        """The enabled versions that have their certificate. Raises PrerequisiteError, also when there is none."""
        try:
            with _asking("list versions of certificate", wanted.name):
                listed = list(self._certificates.list_properties_of_certificate_versions(wanted.name))
        except PrerequisiteError as refused:
            if refused.code != "KEY_VAULT_FORBIDDEN":
                raise
            return CertificateVersions([self.certificate(wanted)], listed=False)
        enabled = [version for version in listed if version.enabled and version.version]
        enabled.sort(key=lambda version: (is_valid(version, now), version.not_before or now), reverse=True)
        found: list[VaultCertificate] = []
        pending = set()
        for version in enabled[:_MOST_VERSIONS]:
            try:
                found.append(self.certificate(Identifier(wanted.vault, "certificates", wanted.name, version.version)))
            except PrerequisiteError as unanswered:
                if unanswered.code != "CERTIFICATE_PENDING":
                    raise
                pending.add(version.version)
        if not found:
            return CertificateVersions([self.certificate(wanted)])  # which says what is wrong: not there, or disabled
        newest = max(begin_of(version) for version in enabled if version.version not in pending)
        idle = [version for version in listed if version.version in pending or not version.enabled]
        newer = [version for version in idle if begin_of(version) > newest and (version.expires_on or now) >= now]
        return CertificateVersions(
            found, tuple(passed_over_remark(wanted, version, pending=version.version in pending) for version in newer)
        )

    def issuers(self, of: VaultCertificate) -> tuple[x509.Certificate, ...]:
        """The other certificates in the certificate's secret; () where it might hold the private key or may not be
        read."""
        if of.secret is None:
            return ()
        try:
            with _asking("read the policy of certificate", of.name):
                policy = self._certificates.get_certificate_policy(of.name)
            if policy.exportable is not False:
                return ()
            with _asking("read the chain of certificate", of.name):
                reply = self._certificates.send_request(HttpRequest("GET", of.secret))
                reply.raise_for_status()
                return parse_secret(str(reply.json()["value"]))
        except PrerequisiteError as refused:
            if refused.code in {"KEY_VAULT_FORBIDDEN", "KEY_VAULT_NOT_FOUND"}:
                return ()
            raise

    def key_identifier(self, wanted: Identifier) -> str:
        """The key's identifier with its version. Raises PrerequisiteError."""
        if wanted.kind == "keys" and wanted.version:
            return f"{wanted.vault}/keys/{wanted.name}/{wanted.version}"
        with _asking("read key", wanted.name):
            return str(self._keys.get_key(wanted.name, wanted.version).id)

    def read_key(self, identifier: str) -> KeyVaultKey | None:
        """The key with its attributes; None where the identity may not read it: the right to sign alone is enough.

        Raises PrerequisiteError.
        """
        wanted = Identifier.parse(identifier)
        try:
            with _asking("read key", wanted.name):
                return self._keys.get_key(wanted.name, wanted.version)
        except PrerequisiteError as refused:
            if refused.code != "KEY_VAULT_FORBIDDEN":
                raise
            return None

    def use_key(self, identifier: str, leaf: x509.Certificate) -> None:
        """Sign with this key from now on, whose certificate is `leaf`. Raises PrerequisiteError beforehand when the
        key is gone, disabled, expired, may not sign or belongs to another certificate."""
        key = self.read_key(identifier)
        if key is not None:
            check_key(key, leaf, datetime.now(UTC))
        options = {**self._options, **_SIGNING_RETRIES}
        self._signer = CryptographyClient(key or identifier, self._credential, **options)

    def sign(self, digest: bytes, algorithm: DigestAlgorithm, *, is_ec: bool) -> RawSignature:
        """RSA PKCS#1 v1.5, or ECDSA as DER, with the id that the vault's log has (correlationId); asked for once.

        Raises ThrottledError when the vault is too busy, LostSignatureError when its answer does not arrive,
        SigningError when it refuses; CancelledError while waiting for a connection.
        """
        if self._signer is None:
            raise ValueError("use_key comes first")
        request_id = str(uuid.uuid4())
        try:
            value: object = self._signer.sign(_ALGORITHMS[algorithm, is_ec], digest, request_id=request_id).signature
        except AzureError as broken:
            raise no_signature(broken) from broken
        except MISREAD as foreign:
            if _is_challenge(foreign):
                raise _other_host(SigningError) from foreign
            raise lost_signature(f"its answer can't be read: {foreign}") from foreign
        if not isinstance(value, bytes) or not value:
            raise lost_signature("its answer holds no signature")
        return RawSignature(algorithm, _der(value) if is_ec else value, request_id=request_id)

    def close(self) -> None:
        """Close the connections; calling it again does nothing."""
        self._transport.close()


_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)


@contextmanager
def _asking(action: str, name: str) -> Iterator[None]:
    try:
        yield
    except AzureError as refused:
        raise explained(refused, f"{action} {name}", PrerequisiteError) from refused
    except MISREAD as foreign:
        if _is_challenge(foreign):
            raise _other_host(PrerequisiteError) from foreign
        raise unreadable(f"{action} {name}", str(foreign), PrerequisiteError) from foreign


def _is_challenge(foreign: Exception) -> bool:
    """Whether the client sent no token, since the host asks for one for another domain."""
    return "challenge" in str(foreign)


def _other_host(error_class: type[_ErrorT]) -> _ErrorT:
    return error_class(
        "the vault asks for a sign-in for another domain than its own name is in, so no token was sent to it",
        code="KEY_VAULT_UNREACHABLE",
        remedy="Name the vault by its own name in --key-identifier: VAULT.vault.azure.net (vault.azure.cn in China, "
        "vault.usgovcloudapi.net for US Government). It stays the same with a private endpoint: privatelink names and "
        "addresses are for DNS alone.",
    )


def _der(raw: bytes) -> bytes:
    """r and s side by side (RFC 7518 §3.4) as Ecdsa-Sig-Value (RFC 3279 §2.2.3)."""
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
