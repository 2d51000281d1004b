"""Google Cloud KMS over REST: asking for a signature may cost, everything else is free.

    GET  {key}/cryptoKeyVersions?filter=state=ENABLED   the versions that may sign
    GET  {version}                                      the state of one
    GET  {version}/publicKey                            its public key
    POST {version}:asymmetricSign                       a signature, asked for once

https://cloud.google.com/kms/docs/reference/rest
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import urlencode

from kspsign.keys.attempts import Attempts
from kspsign.keys.google_cloud_kms.address import KeyName
from kspsign.keys.google_cloud_kms.crc32c import crc32c
from kspsign.keys.google_cloud_kms.credentials import GoogleCredential, find_source
from kspsign.keys.google_cloud_kms.errors import BUSY, ERRORS, is_passing, read_refusal, refused
from kspsign.keys.google_cloud_kms.key import ENABLED, VersionKey, read_public_key
from kspsign.keys.google_cloud_kms.options import GoogleKmsOptions
from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import USER_AGENT, Silence, read_object, retry_after, send
from kspsign.model.errors import PrerequisiteError, SigningError, ThrottledError
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.network.exchange import HttpAnswer, Question
from kspsign.network.pool import Pool

_EXCHANGE_SECONDS = 60.0
REASON: Final = "X-Goog-Request-Reason"
"""What Cloud Audit Logs keep of a request in our words; the service names none in its answer.
https://cloud.google.com/apis/docs/system-parameters"""
_MOST_PAGES = 50
_LOST = frozenset({500, 502, 504})
_BUSY_STATUS = frozenset({429, 503})


class GoogleKmsClient:
    """One key; safe to share between threads."""

    def __init__(self, name: KeyName, credential: GoogleCredential, pool: Pool, attempts: Attempts) -> None:
        self.name, self.credential = name, credential
        self._pool, self._attempts = pool, attempts

    @classmethod
    def connect(cls, name: KeyName, options: GoogleKmsOptions, surroundings: Surroundings) -> Self:
        """Nothing is sent yet. Raises ConfigurationError, PrerequisiteError when the sign-in is set up wrong."""
        pool = Pool(surroundings.network, deadline=_EXCHANGE_SECONDS, connections=surroundings.jobs)
        source = find_source(options, surroundings, pool)
        return cls(name, GoogleCredential(source), pool, Attempts.of(surroundings, ERRORS))

    def enabled_versions(self) -> list[str]:
        """The resource names of the key's enabled versions, newest first. Raises PrerequisiteError, CancelledError."""
        asked, found, page = f"the versions of {self.name.key}", [], ""
        for _page in range(_MOST_PAGES):
            query = {"filter": f"state={ENABLED}", "pageSize": "1000", **({"pageToken": page} if page else {})}
            content = self._read(f"{self.name.key}/cryptoKeyVersions?{urlencode(query)}", asked)
            listed = content.get("cryptoKeyVersions", [])
            if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
                raise ERRORS.unusable(asked, "it is not a list of versions")
            found += [str(entry.get("name")) for entry in listed if entry.get("state") == ENABLED]
            page = str(content.get("nextPageToken") or "")
            if not page:
                break
        begin = f"{self.name.key}/cryptoKeyVersions/"
        numbers = [name.removeprefix(begin) for name in found if name.startswith(begin)]
        return [f"{begin}{number}" for number in sorted(filter(str.isdecimal, numbers), key=int, reverse=True)]

    def state(self, version: str) -> str | None:
        """The version's state; None where the identity may not read it: the right to sign is enough.

        Raises PrerequisiteError, CancelledError.
        """
        try:
            return str(self._read(version, f"the state of {version}").get("state"))
        except PrerequisiteError as refusal:
            if refusal.code != "GOOGLE_KMS_FORBIDDEN":
                raise
            return None

    def public_key(self, version: str) -> VersionKey:
        """Raises PrerequisiteError when it can't be used to sign code, CancelledError."""
        asked = f"the public key of {version}"
        return read_public_key(self._read(f"{version}/publicKey", asked), version, asked)

    def sign(self, key: VersionKey, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """RSA PKCS#1 v1.5, or ECDSA as DER, with the reason that the audit log has of the request.

        It is sent again only where no connection came about.

        Raises ThrottledError when the service is too busy, LostSignatureError when it is unknown whether it signed,
        SigningError for a refusal; CancelledError.
        """
        asked = f"a {algorithm} signature by {key.name}"
        content = {
            "digest": {str(algorithm): base64.b64encode(digest).decode()},
            "digestCrc32c": str(crc32c(digest)),
        }
        body, reason = json.dumps(content).encode(), f"kspsign {uuid.uuid4()}"
        resource = f"{key.name}:asymmetricSign"
        answer = self._attempts.once(lambda attempt: self._send("POST", resource, body, attempt, reason), asked)
        return RawSignature(algorithm, _signature(answer, key, asked), request_id=reason)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _read(self, resource: str, asked: str) -> Mapping[str, Any]:
        """The answer to a free request, asked for again while that may help. Raises PrerequisiteError."""
        answer = self._attempts.free(lambda attempt: self._send("GET", resource, None, attempt), asked, is_passing)
        if answer.status != 200:
            raise refused(answer, asked, PrerequisiteError)
        return read_object(answer.body, asked, ERRORS)

    def _send(
        self, method: str, resource: str, body: bytes | None, attempt: int, reason: str | None = None
    ) -> HttpAnswer | Silence:
        """Raises PrerequisiteError when there is no token, CancelledError."""
        token = self.credential.get()
        headers = {"Accept": "application/json", "Authorization": f"Bearer {token}", "User-Agent": USER_AGENT}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if reason is not None:
            headers[REASON] = reason
        question = Question(method, f"{self.name.endpoint}/v1/{resource}", body, headers)
        return send(self._pool, question, attempt=attempt, secrets=(token,))


def _signature(answer: HttpAnswer, key: VersionKey, asked: str) -> bytes:
    if answer.status == 200:
        return _read_signature(answer.body, key, asked)
    status = read_refusal(answer).status
    failure = refused(answer, asked, SigningError)
    if answer.status in _LOST:
        raise ERRORS.maybe_spent(asked, failure.message, timed_out=answer.status == 504)
    if status in BUSY or (not status and answer.status in _BUSY_STATUS):
        raise ThrottledError.of(failure, retry_after(answer))
    raise failure


def _read_signature(body: bytes, key: VersionKey, asked: str) -> bytes:
    """The value, whose checksum holds, of the version that was asked. Raises LostSignatureError."""
    try:
        parsed = json.loads(body)
        value = base64.b64decode(parsed["signature"], validate=True)
        name, checksum, verified = parsed["name"], parsed["signatureCrc32c"], parsed.get("verifiedDigestCrc32c")
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error) as broken:
        raise ERRORS.maybe_spent(asked, "it is not the answer of Google Cloud KMS") from broken
    if name != key.name:
        raise ERRORS.maybe_spent(asked, f"it is of {name}")
    if verified is not True:
        raise ERRORS.maybe_spent(
            asked, "the service did not check the digest's CRC32C: it may have been changed on its way"
        )
    if str(checksum) != str(crc32c(value)) or not value:
        raise ERRORS.maybe_spent(asked, "the signature's CRC32C does not hold: it was changed on its way")
    return value
