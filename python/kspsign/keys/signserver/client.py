"""SignServer over its REST interface (version 1): asking for a signature uses the key, everything else is free.

    POST {url}/rest/v1/workers/{worker}/process      a signature of a hash (client-side hashing), asked for once
    GET  {url}/healthcheck/signserverhealth          whether the server is well, for those whom it admits

https://docs.keyfactor.com/signserver/latest/rest-interface
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from kspsign.keys.client_certificate import tls_context
from kspsign.keys.rest import USER_AGENT, Silence, checked_endpoint, request_id, retry_after, send
from kspsign.keys.signserver.credentials import CODE, SignServerCredentials
from kspsign.keys.signserver.errors import error_in, is_before_signing, maybe_spent, refused, unreachable
from kspsign.keys.signserver.options import SignServerOptions
from kspsign.model.errors import CancelledError, ConfigurationError, SigningError, ThrottledError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import DigestAlgorithm
from kspsign.network.exchange import HttpAnswer, Question
from kspsign.network.pool import Pool
from kspsign.network.retry import pause_before

ATTEMPTS, FIRST_PAUSE = 5, 0.5
_EXCHANGE_SECONDS = 60.0
_GATEWAY = frozenset({502, 504})
_NAMES: Final = {
    DigestAlgorithm.SHA256: "SHA-256",
    DigestAlgorithm.SHA384: "SHA-384",
    DigestAlgorithm.SHA512: "SHA-512",
}


@dataclass(frozen=True, slots=True)
class WorkerAddress:
    """A worker of a server: `url` without a slash at its end, `worker` its name or id."""

    url: str
    worker: str

    @classmethod
    def find(cls, options: SignServerOptions) -> WorkerAddress:
        """As the options name it. Raises ConfigurationError."""
        if options.signserver_url is None:
            raise ConfigurationError(
                "key store signserver needs the server's URL",
                remedy="Give it with --signserver-url: https://HOST/signserver.",
            )
        if options.keypair_alias is None:
            raise ConfigurationError(
                "key store signserver needs the worker", remedy="Give its name or id with --keypair-alias."
            )
        url = checked_endpoint(options.signserver_url, "--signserver-url", path=True)
        return cls(url.removesuffix("/rest/v1"), options.keypair_alias)

    @property
    def process(self) -> str:
        """Where signatures are asked for."""
        return f"{self.url}/rest/v1/workers/{quote(self.worker, safe='')}/process"


@dataclass(frozen=True, slots=True)
class Processed:
    """A signature with the certificate (DER) that came with it, and the request's id in SignServer's log; None for what
    did not come."""

    value: bytes
    certificate: bytes | None
    request_id: str | None


class SignServerClient:
    """One worker; safe to share between threads. `pause` waits and returns true when the run was cancelled.

    Raises ConfigurationError when a client certificate is given for plain HTTP.
    """

    def __init__(
        self,
        address: WorkerAddress,
        credentials: SignServerCredentials,
        pause: Callable[[float], bool],
        *,
        network: NetworkOptions,
        connections: int,
        temp_folder: Path | None,
    ) -> None:
        self.address = address
        self._credentials, self._pause = credentials, pause
        client = credentials.client
        if client is not None and urlsplit(address.url).scheme != "https":
            raise ConfigurationError(
                f"a client certificate needs TLS, and {address.url} is plain HTTP",
                code=CODE,
                remedy="Give --signserver-url with https, at the port where SignServer asks for client certificates.",
            )
        context = None if client is None else tls_context(client, None, temp_folder, network)
        self._pool = Pool(network, deadline=_EXCHANGE_SECONDS, connections=connections, context=context)

    def sign(self, digest: bytes, algorithm: DigestAlgorithm, asked: str) -> Processed:
        """A signature of `digest`; USES THE KEY. It is sent again only where no connection came about.

        Raises ThrottledError when the load balancer is too busy, LostSignatureError when it is unknown
        whether it signed, SigningError for a refusal; CancelledError.
        """
        for attempt in range(1, ATTEMPTS + 1):
            answer = self.process(digest, algorithm, attempt)
            if isinstance(answer, HttpAnswer):
                return _processed(answer, asked)
            if answer.sent:
                raise maybe_spent(asked, answer.reason, timed_out=answer.timed_out)
            failure = unreachable(answer, asked, SigningError)
            if answer.timed_out:
                raise ThrottledError(failure.message, code=failure.code, remedy=failure.remedy)
            wait = None if attempt == ATTEMPTS else pause_before(attempt, FIRST_PAUSE, None)
            if wait is None:
                raise failure
            if self._pause(wait):
                raise CancelledError
        raise AssertionError  # the last attempt returns or raises

    def process(self, data: bytes, algorithm: DigestAlgorithm, attempt: int = 1) -> HttpAnswer | Silence:
        """One request with `data` as the hash, sent once. Raises CancelledError."""
        content = {
            "data": base64.b64encode(data).decode(),
            "encoding": "BASE64",
            "metaData": {"USING_CLIENTSUPPLIED_HASH": "true", "CLIENTSIDE_HASHDIGESTALGORITHM": _NAMES[algorithm]},
        }
        return self._send("POST", self.address.process, json.dumps(content).encode(), attempt)

    def health(self) -> HttpAnswer | Silence:
        """The server's health check. Raises CancelledError."""
        return self._send("GET", f"{self.address.url}/healthcheck/signserverhealth", None, 1)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _send(self, method: str, url: str, body: bytes | None, attempt: int) -> HttpAnswer | Silence:
        if self._pause(0):
            raise CancelledError
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT, "X-Keyfactor-Requested-With": "kspsign"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._credentials.authorization is not None:
            headers["Authorization"] = self._credentials.authorization
        question = Question(method, url, body, headers)
        return send(self._pool, question, attempt=attempt, secrets=self._credentials.secrets)


def _processed(answer: HttpAnswer, asked: str) -> Processed:
    """The signature in an answer, or the error that it means."""
    if answer.status == 200:
        return read_processed(answer.body, asked)
    failure = refused(answer, asked, SigningError)
    said = error_in(answer)
    if answer.status == 429 or (answer.status == 503 and said is None):
        wait = retry_after(answer)
        raise ThrottledError(failure.message, code=failure.code, remedy=failure.remedy, retry_after=wait)
    if answer.status in _GATEWAY or (answer.status == 500 and not is_before_signing(answer)):
        raise maybe_spent(asked, failure.message, timed_out=answer.status == 504)
    raise failure


def read_processed(body: bytes, asked: str) -> Processed:
    """The signature in the body of an answer. Raises LostSignatureError."""
    try:
        parsed: Any = json.loads(body)
        value = base64.b64decode(parsed["data"], validate=True)
        encoded = parsed.get("signerCertificate")
        certificate = None if encoded is None else base64.b64decode(encoded, validate=True)
        identifier = request_id(parsed.get("requestId"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error) as broken:
        raise maybe_spent(asked, "what came is not SignServer's") from broken
    if not value:
        raise maybe_spent(asked, "what came holds no signature")
    return Processed(value, certificate, identifier)
