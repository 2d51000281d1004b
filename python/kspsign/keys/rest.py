"""One request to a key store's service and what came of it: a reply, silence with what is known of it, or an error."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, quote_plus, urlsplit

import urllib3

from kspsign.model.errors import ConfigurationError, LostSignatureError, PrerequisiteError, SigningError
from kspsign.model.version import VERSION
from kspsign.network.address import shown_url
from kspsign.network.exchange import HttpAnswer, Question, ask
from kspsign.network.failures import reason, surely_not_sent, timed_out
from kspsign.network.pool import Pool
from kspsign.network.retry import retry_after_seconds

USER_AGENT: Final = f"kspsign/{VERSION}"
MAX_REPLY: Final = 1 << 20
_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)
_LONGEST = 400
_LEAST_IN_DATA = 16
"""Characters of a secret that is made unreadable in data too: a shorter one may be a part of it by chance."""
_LONGEST_LIFE = 86400.0
_LONGEST_ID = 100
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f]+")
_TAGS = re.compile(r"<(?:script|style)\b.{0,4000}?</|<[^>]{0,2000}>", re.DOTALL | re.IGNORECASE)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class ServiceMeaning:
    """Our code for a service's refusal and what to do about it."""

    code: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer: why, whether the request may have reached the service, and whether time ran out."""

    reason: str
    sent: bool
    timed_out: bool


@dataclass(frozen=True, slots=True)
class ServiceErrors:
    """What is said of every service that does not answer as it should: `service` is its name in a sentence.

    `silence` and `elsewhere` are the meanings of no answer and of an answer that is not the service's; `log` says where
    people can see whether a signature was made.
    """

    service: str
    silence: ServiceMeaning
    elsewhere: ServiceMeaning
    log: str

    def unusable(self, asked: str, detail: str) -> PrerequisiteError:
        """The error for an answer that is not the service's, where nothing can have been spent."""
        return PrerequisiteError(
            f"the response to {asked} is not from {self.service}: {detail}",
            code=self.elsewhere.code,
            remedy=self.elsewhere.remedy,
        )

    def unreachable(self, silence: Silence, asked: str, error_class: type[_ErrorT]) -> _ErrorT:
        """The error for no answer at all."""
        return error_class(
            f"{self.service} did not respond to {asked}: {silence.reason}",
            code=self.silence.code,
            remedy=self.silence.remedy,
        )

    def maybe_spent(self, asked: str, reason: str, *, timed_out: bool = False) -> LostSignatureError:
        """The error for a signature that was asked for, and whose answer never came whole."""
        return LostSignatureError(
            f"{asked} was sent, and the response was lost ({reason}): it may have spent a signature",
            code="SIGNATURE_MAY_BE_SPENT",
            remedy=self.log,
            timed_out=timed_out,
        )


def send(pool: Pool, question: Question, *, attempt: int = 1, secrets: tuple[str, ...] = ()) -> HttpAnswer | Silence:
    """The answer to `question`, without `secrets` that the service may repeat: they must not reach the log."""
    try:
        answer = ask(pool, question, limit=MAX_REPLY, attempt=attempt)
    except urllib3.exceptions.HTTPError as broken:
        return Silence(reason(broken), not surely_not_sent(broken), timed_out(broken))
    is_data = 200 <= answer.status < 300
    return without(answer, (secret for secret in secrets if not is_data or len(secret) >= _LEAST_IN_DATA))


def without(answer: HttpAnswer, secrets: Iterable[str]) -> HttpAnswer:
    """The answer with each of `secrets` made unreadable in its body, also as JSON, HTML and URLs write it."""
    spelled = {text for secret in secrets if secret for text in _spellings(secret)}
    if not spelled:
        return answer
    longest_first = sorted(spelled, key=len, reverse=True)
    pattern = b"|".join(re.escape(text.encode("utf-8", "surrogatepass")) for text in longest_first)
    return HttpAnswer(answer.status, answer.headers, re.sub(pattern, b"***", answer.body, flags=re.IGNORECASE))


def _spellings(secret: str) -> Iterator[str]:
    """`secret` as it may be repeated; escapes have either case."""
    yield secret
    for is_ascii in (True, False):
        quoted = json.dumps(secret, ensure_ascii=is_ascii)[1:-1]
        yield quoted
        yield quoted.replace("/", "\\/")
    yield html.escape(secret)
    yield html.escape(secret).replace("&#x27;", "&#39;")
    yield quote(secret, safe="")
    yield quote_plus(secret)


def read_object(body: bytes, asked: str, errors: ServiceErrors) -> Mapping[str, Any]:
    """The JSON object of an answer to what was `asked`. Raises PrerequisiteError."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as broken:
        raise errors.unusable(asked, "it is not JSON") from broken
    if not isinstance(found, dict):
        raise errors.unusable(asked, "it is not a JSON object")
    return found


def read_life(value: object) -> float:
    """For how many seconds a token is valid, by expires_in (RFC 6749 §5.1), which some services write as text; a day
    at most. Raises ValueError for what is not a number of seconds, TypeError for what is not a number at all."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError("not a number")
    seconds = float(value) if isinstance(value, str) else min(value, _LONGEST_LIFE)
    if not seconds > 0:  # NaN neither
        raise ValueError("not a number of seconds")
    return float(min(seconds, _LONGEST_LIFE))


def retry_after(answer: HttpAnswer | Silence) -> float | None:
    """Seconds that the service asks to wait."""
    return None if isinstance(answer, Silence) else retry_after_seconds(answer.headers.get("retry-after"))


def is_header_token(text: str) -> bool:
    """Whether a header can carry `text` as a credential: printable ASCII without blanks, at least one character."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def request_id(text: object) -> str | None:
    """What a service calls a request, if it is an id: printable ASCII, not too long; it goes to logs and reports."""
    is_id = isinstance(text, str) and 0 < len(text) <= _LONGEST_ID and text.isascii() and text.isprintable()
    return str(text) if is_id else None


def one_line(text: str) -> str:
    """What a service says, on one line and not too long; of a page its words."""
    line = _BLANKS.sub(" ", _TAGS.sub(" ", text)).strip()
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def checked_endpoint(url: str, option: str, *, path: bool = False) -> str:
    """`url` as scheme and host, with `path` also a path, no slash at the end: https, or http on this machine.

    Raises ConfigurationError for anything else; `option` names where it was given.
    """
    text = url.strip().rstrip("/")
    if _is_endpoint(text, path=path):
        return text
    without = "login and query" if path else "login, path and query"
    raise ConfigurationError(
        f"{shown_url(url)!r} is not an endpoint ({option})",
        remedy=f"Give https://HOST{'/PATH' if path else ''}, with :PORT where it is not 443, without {without}.",
    )


def _is_endpoint(text: str, *, path: bool) -> bool:
    try:
        parts = urlsplit(text)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    whole = f"{parts.scheme}://{parts.netloc}"
    if path and _PATH.fullmatch(parts.path):
        whole += parts.path
    return bool(parts.hostname) and has_port and is_safe and "@" not in parts.netloc and text == whole
