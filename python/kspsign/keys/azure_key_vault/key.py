"""Whether a key of the vault may be used for signing, as far as its attributes show; nothing is signed."""

from __future__ import annotations

from datetime import datetime

from azure.keyvault.keys import KeyVaultKey
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kspsign.certificates.parse import display_name
from kspsign.model.errors import PrerequisiteError
from kspsign.model.values import iso_utc

_SIGN = "sign"


def check_key(key: KeyVaultKey, leaf: x509.Certificate, now: datetime) -> None:
    """Raise PrerequisiteError when the service would refuse to sign with `key`, or `leaf` is not its certificate."""
    name, properties = f"key {key.name}", key.properties
    if properties.enabled is False:
        raise PrerequisiteError(
            f"{name} is disabled in the vault",
            code="KEY_VAULT_DISABLED",
            remedy="Enable the key version in the vault, or name another version.",
        )
    begin, end = properties.not_before, properties.expires_on
    outside = f"expired on {iso_utc(end)}" if end is not None and end < now else ""
    if begin is not None and now < begin:
        outside = f"is not active before {iso_utc(begin)}"
    if outside:
        raise PrerequisiteError(
            f"{name} {outside}: the vault does not sign with it",
            code="KEY_VAULT_KEY_EXPIRED",
            remedy="Renew the certificate, whose new version has a new key, or move the key's dates in the vault.",
        )
    operations = [str(getattr(operation, "value", operation)) for operation in key.key_operations or ()]
    if operations and _SIGN not in operations:
        raise PrerequisiteError(
            f"{name} may not sign: its permitted operations are {', '.join(operations)}",
            code="KEY_VAULT_OPERATION",
            remedy="Add sign to the key's permitted operations in the vault, or name a key that has it.",
        )
    if not _fits(key, leaf):
        raise PrerequisiteError(
            f"{name} does not match the certificate {display_name(leaf)}",
            code="KEY_MISMATCH",
            remedy="Name the key version that the certificate was issued for, or the certificate of this key.",
        )


def _fits(key: KeyVaultKey, leaf: x509.Certificate) -> bool:
    """Whether the public parts are the same (RFC 7517: n and e, or x and y)."""
    public, shown = leaf.public_key(), vars(key.key)
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return _number(shown.get("n")) == numbers.n and _number(shown.get("e")) == numbers.e
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        return _number(shown.get("x")) == point.x and _number(shown.get("y")) == point.y
    return False


def _number(value: object) -> int | None:
    return int.from_bytes(value) if isinstance(value, bytes) else None
