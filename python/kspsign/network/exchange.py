"""One question and its whole answer, within limits of size and time, along redirects where they are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

import urllib3

from kspsign.network.address import Origin, shown_url, without_login
from kspsign.network.pool import Pool

_REDIRECTS = frozenset({301, 302, 307, 308})
_CARRIED = frozenset({"accept", "content-type", "connection"})
"""What another host gets of the headers: everything else may be a secret."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request. The URL may hold a login, which is sent and never shown."""

    method: str
    url: str = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, headers (names in lower case) and body, which is cut one byte beyond the limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RedirectError(urllib3.exceptions.HTTPError):
    """A redirect that is not followed; the text says where to and why."""


def ask(pool: Pool, question: Question, *, limit: int, attempt: int = 1, redirects: int = 0) -> HttpAnswer:
    """The answer to `question`, or where up to `redirects` redirects (301, 302, 307, 308) lead.

    The method and body stay. A redirect from https to http is not followed, and another host gets no header that
    may hold a secret; the pool of a client certificate is asked without redirects. Without `redirects` the
    redirecting answer is the answer. Raises urllib3's HTTPError, ValueError for what is not a URL, RedirectError.
    """
    for followed in range(redirects + 1):
        answer = _once(pool, question, limit, attempt)
        location = answer.headers.get("location")
        if not redirects or answer.status not in _REDIRECTS or not location:
            return answer
        if followed == redirects:
            raise RedirectError(f"more than {redirects} redirects")
        question = _redirected(question, location)
    raise AssertionError  # the last turn returns or raises


def _once(pool: Pool, question: Question, limit: int, attempt: int) -> HttpAnswer:
    with pool.request(
        question.method, question.url, body=question.body, headers=question.headers, attempt=attempt
    ) as reply:
        content = reply.read(limit + 1)
        if len(content) > limit:
            reply.close()  # what is left unread must not be there when the connection is used again
        return HttpAnswer(reply.status, {name.lower(): value for name, value in reply.headers.items()}, content)


def _redirected(question: Question, location: str) -> Question:
    """What to ask next. A login in the new address is not used."""
    bare, login = without_login(question.url)
    target, _ = without_login(urljoin(bare, location))
    old, new = Origin.of(bare), Origin.of(target)
    if new.scheme not in {"http", "https"} or (old.scheme, new.scheme) == ("https", "http"):
        raise RedirectError(f"a redirect to {shown_url(target)} is not followed")
    if old != new:
        carried = {name: value for name, value in question.headers.items() if name.lower() in _CARRIED}
    else:
        carried = {**question.headers, **({} if login is None else {"Authorization": login})}
    return replace(question, url=target, headers=carried)
