"""What the data plane answers: the state of an operation in both envelopes, and certificates base64-encoded twice."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from kspsign.certificates.file import parse_certificates
from kspsign.certificates.parse import extension
from kspsign.keys.azure_artifact_signing.errors import UnusableAnswerError, said_by
from kspsign.model.errors import TrustError

_SEQUENCE = 0x30
_MAX_NESTING = 3
_WHITE = re.compile(rb"[\s]+")
_ID = re.compile(r"[0-9A-Za-z-]{1,100}")
UNFINISHED: Final = frozenset({"inprogress", "running", "notstarted"})
ENDED: Final = frozenset({"failed", "timedout", "canceled"})
UNKNOWN_OPERATION: Final = "notfound"
SUCCEEDED: Final = "succeeded"


@dataclass(frozen=True, slots=True)
class OperationState:
    """One answer about an operation.

    `status` is in lower case, `id` None where the answer does not tell it. `said` is what the service says of a
    failure. Signature and certificates are still encoded.
    """

    status: str
    id: str | None = None
    said: str = ""
    encoded_signature: str | None = None
    encoded_certificates: str | None = None

    @property
    def is_unfinished(self) -> bool:
        """Whether the service is still at work."""
        return self.status in UNFINISHED

    def signature(self) -> bytes:
        """The bare value. Raises UnusableAnswerError."""
        if self.encoded_signature is None:
            raise UnusableAnswerError("it holds no signature")
        return _decoded(self.encoded_signature, "signature")

    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The leaf and its issuers, in no order; () when the answer holds none. Raises UnusableAnswerError."""
        return () if self.encoded_certificates is None else read_certificates(self.encoded_certificates.encode())


def read_operation(body: bytes) -> OperationState:
    """The state in a body: `signature` next to `status` (2022-06-15-preview), or below `result` (2023-06-15-preview).

    Raises UnusableAnswerError.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as broken:
        raise UnusableAnswerError("it is not JSON") from broken
    if not isinstance(parsed, dict):
        raise UnusableAnswerError("it is not a JSON object")
    status = parsed.get("status")
    if not isinstance(status, str):
        raise UnusableAnswerError("it has no status")
    result = parsed.get("result")
    inside: Mapping[str, Any] = result if isinstance(result, dict) else parsed
    identifier = parsed.get("operationId", parsed.get("id"))
    value, chain = inside.get("signature"), inside.get("signingCertificate")
    return OperationState(
        status=status.casefold(),
        id=identifier if isinstance(identifier, str) and _ID.fullmatch(identifier) else None,
        said=said_by(body) if status.casefold() not in {SUCCEEDED, *UNFINISHED} else "",
        encoded_signature=value if isinstance(value, str) and value else None,
        encoded_certificates=chain if isinstance(chain, str) and chain else None,
    )


def read_certificates(content: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in DER, PKCS#7 or PEM, base64-encoded as often as it may be. Raises UnusableAnswerError."""
    for _ in range(_MAX_NESTING):
        if content[:1] == bytes([_SEQUENCE]) or content.lstrip().startswith(b"-----BEGIN"):
            break
        content = _decoded(content.decode("ascii", "replace").strip('" \r\n\t'), "certificate")
    found = parse_certificates(content)
    if not found:
        raise UnusableAnswerError("it holds no certificate")
    return found


def leaf_among(certificates: tuple[x509.Certificate, ...]) -> x509.Certificate:
    """The end-entity certificate, in whatever order they are; of several the newest. Raises UnusableAnswerError."""
    leaves = [certificate for certificate in dict.fromkeys(certificates) if not _is_ca(certificate)]
    if not leaves:
        raise UnusableAnswerError("it holds no end-entity certificate")
    return max(leaves, key=lambda leaf: leaf.not_valid_before_utc)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        constraints = extension(certificate, x509.BasicConstraints)
    except TrustError:
        return False
    return constraints is not None and constraints.value.ca


def _decoded(text: str, what: str) -> bytes:
    """Base64 with or without line breaks (RFC 2045 §6.8)."""
    try:
        return base64.b64decode(_WHITE.sub(b"", text.encode()), validate=True)
    except binascii.Error as broken:
        raise UnusableAnswerError(f"its {what} is not base64") from broken
