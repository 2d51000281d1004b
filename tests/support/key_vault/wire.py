"""The service's JSON, field by field: keys and certificates in lists and alone, and their attributes."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from support.key_vault.world import Version, url64


def bytes64(text: str) -> bytes:
    """base64url with or without padding. Raises binascii.Error."""
    bare = text.rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)


def policy(base: str, name: str, version: Version) -> dict[str, Any]:
    """A certificate's policy, as far as clients read it."""
    content = {"id": f"{base}/certificates/{name}/policy", "key_props": version.key_properties}
    return {**content, "secret_props": {"contentType": "application/x-pem-file"}}


def item(base: str, kind: str, name: str, version: Version) -> dict[str, Any]:
    """A version in a list."""
    identifier = f"{base}/{kind}/{name}/{version.version}"
    if kind == "keys":
        return {"kid": identifier, "attributes": attributes(version), "managed": version.certificate is not None}
    thumbprint = url64(hashlib.sha1(der(version), usedforsecurity=False).digest())
    return {"id": identifier, "x5t": thumbprint, "attributes": attributes(version)}


def attributes(version: Version) -> dict[str, Any]:
    """State and dates of a version."""
    shown: dict[str, Any] = {"enabled": version.enabled, "recoveryLevel": "Recoverable"}
    if version.certificate is not None:
        begin, end = version.certificate.not_valid_before_utc, version.certificate.not_valid_after_utc
        shown |= {"nbf": int(begin.timestamp()), "exp": int(end.timestamp()), "created": int(begin.timestamp())}
    if version.expires is not None:
        shown["exp"] = int(version.expires.timestamp())
    return shown


def der(version: Version) -> bytes:
    """The certificate of a version that has one."""
    assert version.certificate is not None
    return version.certificate.public_bytes(Encoding.DER)
