"""URLs: the login that one may hold, and how one is shown without it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: who answers."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of `url`. Raises ValueError for a port that is not a number."""
        parts = urlsplit(url)
        return cls(parts.scheme.lower(), (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme.lower()))


def without_login(url: str) -> tuple[str, str | None]:
    """`url` without user, password and fragment, and the value of the header that carries them (RFC 7617), if any."""
    parts = urlsplit(url)
    login, found, place = parts.netloc.rpartition("@")
    bare = parts._replace(netloc=place, fragment="").geturl()
    return bare, basic(*_user_and_password(login)) if found else None


def basic(user: str, password: str) -> str:
    """The value of Authorization or Proxy-Authorization, in UTF-8 (RFC 7617 §2.1)."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")


def shown_url(url: str) -> str:
    """`url` for logs and reports: without user, password, query and fragment. Whatever it is, this raises nothing."""
    head = url.partition("?")[0].partition("#")[0]
    scheme, found, rest = head.rpartition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{found}{place.rpartition('@')[2]}{slash}{path}"


def _user_and_password(login: str) -> tuple[str, str]:
    user, _, password = login.partition(":")
    return unquote(user), unquote(password)
