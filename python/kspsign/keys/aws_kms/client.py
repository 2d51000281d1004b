"""AWS KMS over its JSON protocol: a POST per operation, signed with Signature Version 4.

    GetPublicKey, DescribeKey   free, asked again where that may help
    Sign                        asked for once

https://docs.aws.amazon.com/kms/latest/APIReference/
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self

from kspsign.keys.attempts import Attempts
from kspsign.keys.aws_kms.address import KeyAddress
from kspsign.keys.aws_kms.credentials import AwsCredential, find_source
from kspsign.keys.aws_kms.errors import BUSY, ERRORS, is_passing, read_refusal, refused
from kspsign.keys.aws_kms.key import KeyState, PublicKey, check_state, read_public_key, read_state
from kspsign.keys.aws_kms.options import AwsKmsOptions
from kspsign.keys.aws_kms.sigv4 import signed_headers
from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import USER_AGENT, Silence, read_object, request_id, retry_after, send
from kspsign.model.errors import PrerequisiteError, SigningError, ThrottledError
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.network.exchange import HttpAnswer, Question
from kspsign.network.pool import Pool

DRY_RUN: Final = "DryRunOperationException"
"""What a request with DryRun is refused with when it would have been carried out."""
_EXCHANGE_SECONDS = 60.0
_GATEWAY = frozenset({502, 504})
_BUSY_STATUS = frozenset({429, 503})


class KmsClient:
    """One region's KMS; safe to share between threads."""

    def __init__(self, address: KeyAddress, credential: AwsCredential, pool: Pool, attempts: Attempts) -> None:
        self.address, self.credential = address, credential
        self._pool, self._attempts = pool, attempts

    @classmethod
    def connect(cls, address: KeyAddress, options: AwsKmsOptions, surroundings: Surroundings) -> Self:
        """Nothing is sent yet. Raises ConfigurationError when the sign-in is set up by half."""
        pool = Pool(surroundings.network, deadline=_EXCHANGE_SECONDS, connections=surroundings.jobs)
        source = find_source(options, surroundings, address, pool)
        return cls(address, AwsCredential(source), pool, Attempts.of(surroundings, ERRORS))

    def public_key(self) -> PublicKey:
        """The key as it is now. Raises PrerequisiteError when it can't be used to sign code, CancelledError."""
        asked = f"the public key of {self.address}"
        return read_public_key(self._read("GetPublicKey", asked), asked)

    def state(self, key: PublicKey) -> KeyState | None:
        """Whether it is enabled; None where the identity may not read that: the right to sign is enough.

        Raises PrerequisiteError, CancelledError.
        """
        asked = f"the state of {self.address}"
        try:
            return read_state(self._read("DescribeKey", asked, key.arn), asked)
        except PrerequisiteError as refusal:
            if refusal.code != "AWS_KMS_FORBIDDEN":
                raise
            return None

    def usable_key(self) -> PublicKey:
        """The key, which can sign now as far as AWS says. Raises PrerequisiteError, CancelledError."""
        key = self.public_key()
        state = self.state(key)
        if state is not None:
            check_state(key, state)
        return key

    def may_sign(self, key: PublicKey, algorithm: DigestAlgorithm) -> None:
        """Ask whether a signature would be made, without having one made (DryRun). Raises PrerequisiteError."""
        asked = f"a signature by {self.address} (dry run)"
        content = _request(key, bytes(_size(algorithm)), algorithm)
        answer = self._asked("Sign", {**content, "DryRun": True}, asked)
        if answer.status != 200 and read_refusal(answer).name != DRY_RUN:
            raise refused(answer, asked, PrerequisiteError)

    def sign(self, key: PublicKey, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """RSA PKCS#1 v1.5, or ECDSA as DER, with the request id that CloudTrail has.

        It is sent again only where no connection came about.

        Raises ThrottledError when the service is too busy, LostSignatureError when it is unknown whether it signed,
        SigningError for a refusal; CancelledError.
        """
        asked = f"a {algorithm} signature by {self.address}"
        content = _request(key, digest, algorithm)
        answer = self._attempts.once(lambda attempt: self._send("Sign", content, attempt), asked)
        value = self._signature(answer, key, content, asked)
        return RawSignature(algorithm, value, request_id=request_id(answer.headers.get("x-amzn-requestid")))

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _signature(self, answer: HttpAnswer, key: PublicKey, content: Mapping[str, Any], asked: str) -> bytes:
        if answer.status == 200:
            return _read_signature(answer.body, key, content, asked)
        name = read_refusal(answer).name
        if name == "DependencyTimeoutException" or (not name and answer.status in _GATEWAY | {500}):
            said = refused(answer, asked, SigningError).message
            raise ERRORS.maybe_spent(asked, said, timed_out=name != "" or answer.status == 504)
        failure = refused(answer, asked, SigningError)
        if name in BUSY or (not name and answer.status in _BUSY_STATUS):
            raise ThrottledError.of(failure, retry_after(answer))
        raise failure

    def _read(self, operation: str, asked: str, key: str | None = None) -> Mapping[str, Any]:
        """The answer to a free operation. Raises PrerequisiteError, CancelledError."""
        answer = self._asked(operation, {"KeyId": key or self.address.key}, asked)
        if answer.status != 200:
            raise refused(answer, asked, PrerequisiteError)
        return read_object(answer.body, asked, ERRORS)

    def _asked(self, operation: str, content: Mapping[str, Any], asked: str) -> HttpAnswer:
        """The answer, asked for again while that may help. Raises PrerequisiteError when there is none."""
        return self._attempts.free(lambda attempt: self._send(operation, content, attempt), asked, is_passing)

    def _send(self, operation: str, content: Mapping[str, Any], attempt: int) -> HttpAnswer | Silence:
        """Raises PrerequisiteError when there is no credential, CancelledError."""
        keys, url = self.credential.get(), f"{self.address.endpoint}/"
        body = json.dumps(content).encode()
        target = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"TrentService.{operation}"}
        signed = signed_headers(
            url, body, target, keys=keys, region=self.address.region, service="kms", now=datetime.now(UTC)
        )
        headers = {**signed, "Accept": "application/json", "User-Agent": USER_AGENT}
        return send(self._pool, Question("POST", url, body, headers), attempt=attempt, secrets=keys.secrets)


def _request(key: PublicKey, digest: bytes, algorithm: DigestAlgorithm) -> dict[str, Any]:
    message = base64.b64encode(digest).decode()
    return {
        "KeyId": key.arn,
        "Message": message,
        "MessageType": "DIGEST",
        "SigningAlgorithm": key.algorithm(algorithm),
    }


def _read_signature(body: bytes, key: PublicKey, content: Mapping[str, Any], asked: str) -> bytes:
    """The value, which must be said to be of the key and algorithm that were asked for. Raises LostSignatureError."""
    try:
        parsed = json.loads(body)
        value = base64.b64decode(parsed["Signature"], validate=True)
        named = parsed["KeyId"], parsed["SigningAlgorithm"]
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error) as broken:
        raise ERRORS.maybe_spent(asked, "it is not the answer of AWS KMS") from broken
    if named != (key.arn, content["SigningAlgorithm"]) or not value:
        raise ERRORS.maybe_spent(asked, f"it is of {named[0]} by {named[1]}")
    return value


def _size(algorithm: DigestAlgorithm) -> int:
    return int(algorithm.removeprefix("sha")) // 8
