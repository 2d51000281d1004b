"""SignServer over its REST interface (version 1): asking for a signature uses the key, everything else is free.

    POST {url}/rest/v1/workers/{worker}/process      a signature of a hash (client-side hashing), asked for once
    GET  {url}/healthcheck/signserverhealth          whether the server is well, for those whom it admits

https://docs.keyfactor.com/signserver/latest/rest-interface
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from kspsign.keys.attempts import Attempts
from kspsign.keys.client_certificate import tls_context
from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import USER_AGENT, Silence, checked_endpoint, request_id, retry_after, send
from kspsign.keys.signserver.credentials import CODE, SignServerCredentials
from kspsign.keys.signserver.errors import ERRORS, is_before_signing, is_busy, refused
from kspsign.keys.signserver.options import SignServerOptions
from kspsign.model.errors import ConfigurationError, SigningError, ThrottledError
from kspsign.model.text import decode_base64
from kspsign.model.values import DigestAlgorithm
from kspsign.network.exchange import HttpAnswer, Question
from kspsign.network.pool import Pool

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
    """One worker; safe to share between threads."""

    def __init__(self, address: WorkerAddress, credentials: SignServerCredentials, surroundings: Surroundings) -> None:
        """Nothing is sent yet. Raises ConfigurationError when a client certificate is given for plain HTTP,
        PrerequisiteError when TLS can't take it."""
        self.address, self._credentials = address, credentials
        client = credentials.client
        if client is not None and urlsplit(address.url).scheme != "https":
            raise ConfigurationError(
                f"a client certificate needs TLS, and {address.url} is plain HTTP",
                code=CODE,
                remedy="Give --signserver-url with https, at the port where SignServer asks for client certificates.",
            )
        network = surroundings.network
        context = None if client is None else tls_context(client, None, surroundings.temp_folder, network)
        self._pool = Pool(network, deadline=_EXCHANGE_SECONDS, connections=surroundings.jobs, context=context)
        self._attempts = Attempts.of(surroundings, ERRORS)

    def sign(self, digest: bytes, algorithm: DigestAlgorithm, asked: str) -> Processed:
        """A signature of `digest`; USES THE KEY. It is sent again only where no connection came about.

        Raises ThrottledError when the load balancer is too busy, LostSignatureError when it is unknown whether the
        worker signed, SigningError for a refusal; CancelledError.
        """
        return _processed(self._attempts.once(lambda attempt: self._process(digest, algorithm, attempt), asked), asked)

    def probe(self, asked: str) -> HttpAnswer:
        """The answer to a hash of no bytes, which nothing is signed of. Raises PrerequisiteError, CancelledError."""
        empty, algorithm = b"", DigestAlgorithm.SHA256
        return self._attempts.free(lambda attempt: self._process(empty, algorithm, attempt), asked, is_busy)

    def _process(self, data: bytes, algorithm: DigestAlgorithm, attempt: int) -> HttpAnswer | Silence:
        """One request with `data` as the hash, sent once."""
        content = {
            "data": base64.b64encode(data).decode(),
            "encoding": "BASE64",
            "metaData": {"USING_CLIENTSUPPLIED_HASH": "true", "CLIENTSIDE_HASHDIGESTALGORITHM": _NAMES[algorithm]},
        }
        return self._send("POST", self.address.process, json.dumps(content).encode(), attempt)

    def health(self) -> HttpAnswer | Silence:
        """The server's health check."""
        return self._send("GET", f"{self.address.url}/healthcheck/signserverhealth", None, 1)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _send(self, method: str, url: str, body: bytes | None, attempt: int) -> HttpAnswer | Silence:
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
    if is_busy(answer):
        raise ThrottledError.of(failure, retry_after(answer))
    if answer.status in _GATEWAY or (answer.status == 500 and not is_before_signing(answer)):
        raise ERRORS.maybe_spent(asked, failure.message, timed_out=answer.status == 504)
    raise failure


def read_processed(body: bytes, asked: str) -> Processed:
    """The signature in the body of an answer. Raises LostSignatureError."""
    try:
        parsed: Any = json.loads(body)
        value = decode_base64(parsed["data"])
        encoded = parsed.get("signerCertificate")
        certificate = None if encoded is None else decode_base64(encoded)
        identifier = request_id(parsed.get("requestId"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as broken:
        raise ERRORS.maybe_spent(asked, "what came is not SignServer's") from broken
    if not value:
        raise ERRORS.maybe_spent(asked, "what came holds no signature")
    return Processed(value, certificate, identifier)
