"""Access tokens of Google Cloud: by a service account's key, by federation, by impersonation, of the machine."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from kspsign.keys.attempts import Attempts
from kspsign.keys.google_cloud_kms.errors import ACCOUNT, ERRORS, FEDERATION, IMPERSONATION, is_passing, no_sign_in
from kspsign.keys.rest import USER_AGENT, ServiceMeaning, read_life, read_object, send
from kspsign.network.exchange import Question
from kspsign.network.pool import Pool

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
_LIFE = 3600
TOKEN_URL: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
"""Whom every assertion is for, whatever address a key file names."""
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token and when it ends, in seconds since 1970."""

    value: str = field(repr=False)
    end: float


@dataclass(frozen=True, slots=True)
class TokenClient:
    """Asks Google's sign-in through `pool`; `pause` waits and returns true when the run was cancelled."""

    pool: Pool
    pause: Callable[[float], bool]

    def by_service_account(self, email: str, key: rsa.RSAPrivateKey, key_id: str, url: str) -> AccessToken:
        """A token for a JWT that the service account's key signs (RFC 7523 §2.1). Raises PrerequisiteError."""
        now = int(time.time())
        claims = {"iss": email, "sub": email, "aud": TOKEN_URL, "iat": now, "exp": now + _LIFE, "scope": SCOPE}
        text = f"{_part({'alg': 'RS256', 'typ': 'JWT', 'kid': key_id})}.{_part(claims)}"
        signature = key.sign(text.encode(), PKCS1v15(), SHA256())
        form = {"grant_type": _JWT_BEARER, "assertion": f"{text}.{_url64(signature)}"}
        return self._token(url, form, f"a token for {email}", ACCOUNT)

    def by_exchange(self, subject: str, kind: str, audience: str, url: str) -> AccessToken:
        """A federated token for a pipeline's or host's own (RFC 8693 §2.1). Raises PrerequisiteError."""
        form = {
            "grant_type": _EXCHANGE,
            "audience": audience,
            "scope": SCOPE,
            "requested_token_type": _ACCESS_TOKEN,
            "subject_token": subject,
            "subject_token_type": kind,
        }
        return self._token(url, form, f"to exchange a token by {audience}", FEDERATION, (subject,))

    def by_impersonation(self, federated: AccessToken, url: str) -> AccessToken:
        """A service account's token for one that may impersonate it. Raises PrerequisiteError."""
        asked = f"to impersonate {url.rpartition('/')[2].partition(':')[0]}"
        content = json.dumps({"scope": [SCOPE], "lifetime": f"{_LIFE}s"}).encode()
        headers = {"Authorization": f"Bearer {federated.value}", "Content-Type": "application/json"}
        found = self._asked(url, content, headers, asked, IMPERSONATION, (federated.value,))
        try:
            return AccessToken(_text(found["accessToken"]), datetime.fromisoformat(found["expireTime"]).timestamp())
        except (KeyError, TypeError, ValueError) as broken:
            raise ERRORS.unusable(f"the request {asked}", "it holds no token") from broken

    def _token(
        self, url: str, form: Mapping[str, str], asked: str, step: ServiceMeaning, secrets: tuple[str, ...] = ()
    ) -> AccessToken:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return read_token(self._asked(url, urlencode(form).encode(), headers, asked, step, secrets), asked)

    def _asked(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        asked: str,
        step: ServiceMeaning,
        secrets: tuple[str, ...],
    ) -> Mapping[str, Any]:
        own = {"Accept": "application/json", "User-Agent": USER_AGENT, **headers}
        question = Question("POST", url, body, own)
        answer = Attempts(self.pause, ERRORS, _ATTEMPTS).free(
            lambda attempt: send(self.pool, question, attempt=attempt, secrets=secrets),
            f"a request {asked}",
            is_passing,
        )
        if answer.status != 200:
            raise no_sign_in(answer, asked, step)
        return read_object(answer.body, f"the request {asked}", ERRORS)


def read_token(found: Mapping[str, Any], asked: str) -> AccessToken:
    """The token of an OAuth answer (RFC 6749 §5.1). Raises PrerequisiteError."""
    try:
        return AccessToken(_text(found["access_token"]), time.time() + read_life(found.get("expires_in", _LIFE)))
    except (KeyError, TypeError, ValueError) as broken:
        raise ERRORS.unusable(f"the request {asked}", "it holds no token") from broken


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise ValueError("not a token")
    return value


def _part(content: Mapping[str, Any]) -> str:
    return _url64(json.dumps(content, separators=(",", ":")).encode())


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
