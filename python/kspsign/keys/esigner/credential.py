"""A credential of eSigner as the service describes it, and the choice among those of an account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.choice import choose_newest
from kspsign.certificates.for_key import end_entities
from kspsign.certificates.parse import display_name, parse_certificate, thumbprint_of, to_der
from kspsign.certificates.public_key import check_signing_key
from kspsign.keys.esigner.client import ESignerClient
from kspsign.keys.esigner.environment import TOTP
from kspsign.keys.esigner.errors import CREDENTIAL, ERRORS
from kspsign.keys.esigner.options import ESignerOptions
from kspsign.keys.protocol import WRITTEN_DIGESTS
from kspsign.keys.rest import one_line
from kspsign.model.errors import ConfigurationError, PrerequisiteError, TrustError
from kspsign.model.suggest import suggest
from kspsign.model.text import decode_base64
from kspsign.model.values import DigestAlgorithm

_MOST_LOOKED_AT = 20
_RSA: Final[Mapping[DigestAlgorithm, str]] = {
    DigestAlgorithm.SHA256: "1.2.840.113549.1.1.11",
    DigestAlgorithm.SHA384: "1.2.840.113549.1.1.12",
    DigestAlgorithm.SHA512: "1.2.840.113549.1.1.13",
}
"""sha256WithRSAEncryption and its like (RFC 4055 §5)."""
_ECDSA: Final[Mapping[DigestAlgorithm, str]] = {
    DigestAlgorithm.SHA256: "1.2.840.10045.4.3.2",
    DigestAlgorithm.SHA384: "1.2.840.10045.4.3.3",
    DigestAlgorithm.SHA512: "1.2.840.10045.4.3.4",
}
"""ecdsa-with-SHA256 and its like (RFC 5758 §3.2)."""
_ANY_DIGEST: Final = frozenset({"1.2.840.113549.1.1.1", "1.2.840.10045.2.1"})
"""rsaEncryption and ecPublicKey: the key's own algorithms, which leave the digest open."""


@dataclass(frozen=True, slots=True)
class Credential:
    """`chain` is the certificate with its issuers (DER), as far as the service has them.

    `several` is whether one authorisation may be for several hashes, `needs_otp` whether it takes a one-time password.
    """

    id: str
    chain: tuple[bytes, ...]
    algorithms: Mapping[DigestAlgorithm, str]
    several: bool
    needs_otp: bool

    @classmethod
    def read(cls, identifier: str, said: Mapping[str, Any]) -> Self:
        """From the answer to credentials/info (CSC API §11.5).

        Raises PrerequisiteError when it is not one, or the credential can't sign code.
        """
        asked = f"credential {identifier}"
        key, cert, pin, otp = (_part(said, name) for name in ("key", "cert", "PIN", "OTP"))
        chain = _chain(cert.get("certificates"), asked)
        _check_enabled(identifier, str(key.get("status", "enabled")), str(cert.get("status", "valid")))
        leaf = parse_certificate(chain[0])
        check_signing_key(leaf)
        if _is_true(pin.get("presence")):
            raise PrerequisiteError(
                f"{asked} asks for a PIN with each authorisation",
                code="ESIGNER_PIN",
                remedy="Use a credential of a code-signing certificate whose second factor is an OTP app (TOTP).",
            )
        if _is_true(otp.get("presence")) and otp.get("type") == "online":
            raise PrerequisiteError(
                f"{asked} gets its one-time passwords by text message",
                code="ESIGNER_OTP_TYPE",
                remedy="Choose OTP APP as the second factor at the certificate's order at SSL.com: a program "
                "can't read text messages.",
            )
        needs_otp = _is_true(otp.get("presence")) if otp else str(said.get("authMode", "explicit")) == "explicit"
        several = str(said.get("multisign", True)).lower() not in {"false", "0", "1"}  # later versions say how many
        return cls(identifier, chain, _algorithms(leaf, key.get("algo"), asked), several, needs_otp)


def find_credential(client: ESignerClient, options: ESignerOptions) -> Credential:
    """The credential that is named, or whose certificate is; else the only one of the account.

    Raises ConfigurationError when there are several, PrerequisiteError, CancelledError.
    """
    listed = client.credentials()
    if not listed:
        raise PrerequisiteError(
            f"the account {client.login.user} has no credential for code signing",
            code=CREDENTIAL.code,
            remedy="Enrol the certificate's order in eSigner at SSL.com; check --esigner-environment as well.",
        )
    named = options.keypair_alias
    if named is not None:
        if named not in listed:
            near = suggest(named, listed)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise PrerequisiteError(
                f"the account {client.login.user} has no credential {named}; "
                f"it has {one_line(', '.join(listed))}{hint}",
                code=CREDENTIAL.code,
                remedy=CREDENTIAL.remedy,
            )
        found = Credential.read(named, client.info(named))
    elif len(listed) == 1:
        found = Credential.read(listed[0], client.info(listed[0]))
    else:
        return _among_several(client, listed, options.thumbprint)
    if options.thumbprint not in {None, thumbprint_of(found.chain[0])}:
        raise PrerequisiteError(
            f"the certificate of credential {found.id} is {thumbprint_of(found.chain[0])}, not {options.thumbprint}",
            code=CREDENTIAL.code,
            remedy="Correct --thumbprint or --keypair-alias; one of them is enough.",
        )
    return found


def check_valid(credential: Credential) -> None:
    """Raise PrerequisiteError when the certificate is not valid now."""
    choose_newest([parse_certificate(credential.chain[0])], datetime.now(UTC), f"credential {credential.id}")


def check_totp(credential: Credential, totp: bytes | None) -> None:
    """Raise ConfigurationError when one-time passwords are needed and their secret was not given."""
    if credential.needs_otp and totp is None:
        raise ConfigurationError(
            f"credential {credential.id} needs one-time passwords, and {TOTP} is not set",
            code="ESIGNER_CREDENTIALS",
            remedy=f"Map the TOTP secret into the step: env: {{ {TOTP}: $({TOTP}) }}.",
        )


def _among_several(client: ESignerClient, listed: tuple[str, ...], thumbprint: str | None) -> Credential:
    described: list[str] = []
    for identifier in listed[:_MOST_LOOKED_AT]:
        said = client.info(identifier)
        chain = _chain(_part(said, "cert").get("certificates"), f"credential {identifier}")
        if thumbprint is not None and thumbprint_of(chain[0]) == thumbprint:
            return Credential.read(identifier, said)
        leaf = parse_certificate(chain[0])
        end = leaf.not_valid_after_utc.date()
        described.append(f"{identifier} ({display_name(leaf)}, until {end}, {thumbprint_of(chain[0])})")
    seen = "them" if len(listed) <= _MOST_LOOKED_AT else f"the first {_MOST_LOOKED_AT}"
    which = f"none of {seen} has the certificate of --thumbprint" if thumbprint else "which of them signs is not said"
    raise ConfigurationError(
        f"the account {client.login.user} has {len(listed)} credentials, and {which}: {'; '.join(described)}",
        code=CREDENTIAL.code,
        remedy="Name one with --keypair-alias, or its certificate with --thumbprint.",
    )


def _check_enabled(identifier: str, key: str, certificate: str) -> None:
    if key != "enabled":
        raise PrerequisiteError(
            f"the key of credential {identifier} is {one_line(key)}",
            code="ESIGNER_DISABLED",
            remedy="Enable the signing credential at the certificate's order at SSL.com.",
        )
    if certificate in {"revoked", "suspended"}:
        raise PrerequisiteError(
            f"the certificate of credential {identifier} is {certificate}",
            code="CERTIFICATE_REVOKED",
            remedy="Have the certificate reissued at SSL.com, and enrol it in eSigner.",
        )


def _algorithms(leaf: x509.Certificate, said: object, asked: str) -> Mapping[DigestAlgorithm, str]:
    """The digests that the key signs, each with the OID of the signature's algorithm."""
    own = _RSA if isinstance(leaf.public_key(), rsa.RSAPublicKey) else _ECDSA
    listed = {str(oid) for oid in said} if isinstance(said, list) else set()
    if not listed or listed & _ANY_DIGEST:
        return {algorithm: own[algorithm] for algorithm in WRITTEN_DIGESTS}
    found = {algorithm: oid for algorithm, oid in own.items() if oid in listed}
    if not found:
        raise PrerequisiteError(
            f"the key of {asked} signs with {one_line(', '.join(sorted(listed)))}, none of which Authenticode uses",
            code="UNSUPPORTED_KEY",
            remedy="Use a credential of a code-signing certificate.",
        )
    return found


def _chain(encoded: object, asked: str) -> tuple[bytes, ...]:
    """Raises PrerequisiteError."""
    if not isinstance(encoded, list) or not encoded:
        raise ERRORS.unusable(asked, "it holds no certificate")
    try:
        found = [parse_certificate(decode_base64(str(text))) for text in encoded]
        return ordered_chain(to_der(end_entities(found)[0]), found)
    except (ValueError, TrustError) as broken:
        raise ERRORS.unusable(asked, "its certificate can't be read") from broken


def _part(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = said.get(name)
    return found if isinstance(found, dict) else {}


def _is_true(value: object) -> bool:
    """The API writes "true", "false" and "optional" as text."""
    return str(value).lower() == "true"
