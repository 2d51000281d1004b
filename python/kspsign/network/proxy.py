"""Which proxy a URL is reached through: the variables' (NO_PROXY excepted), the build agent's, the system's."""

from __future__ import annotations

import ipaddress
import re
import sys
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from kspsign.model.errors import ConfigurationError
from kspsign.model.network_options import NamedProxy, NetworkOptions
from kspsign.network.address import Origin, basic

_SCHEMES = frozenset({"http", "https"})
_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]+(?:%[\w.-]+)?")
_REMEDY = "Set it to http://HOST:PORT (https:// where the proxy itself speaks TLS; user:password@ before the host if \
it wants a login, with %40 for @), or remove it."


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy as a URL without login, and the Proxy-Authorization header that it wants (None: no login)."""

    url: str
    authorization: str | None = field(default=None, repr=False)


class ProxyChoice:
    """The proxies of a run. Raises ConfigurationError for one that can't be used, naming its setting."""

    def __init__(self, options: NetworkOptions) -> None:
        self._own = {scheme: _parsed(given) for scheme, given in options.proxies.items()}
        self._agent = None if options.agent_proxy is None else _parsed(options.agent_proxy)
        self._agent_bypass = tuple(re.compile(pattern, re.IGNORECASE) for pattern in options.agent_bypass)
        self._direct = tuple(entry for entry in options.no_proxy if entry)

    def for_url(self, url: str) -> Proxy | None:
        """The proxy for `url`; None when it is reached directly."""
        origin = Origin.of(url)
        if is_excepted(origin, self._direct):
            return None
        if origin.scheme in self._own:
            return self._own[origin.scheme]
        if self._agent is not None:
            return None if any(pattern.search(url) for pattern in self._agent_bypass) else self._agent
        return _system_proxy(origin)


def is_excepted(origin: Origin, entries: tuple[str, ...]) -> bool:
    """Whether NO_PROXY's `entries` name `origin`: *, a host and all below it, an address, a network (CIDR); a port
    may follow each but the network."""
    return any(_names(entry.lower(), origin) for entry in entries)


def _names(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    address = _address(origin.host)
    if "/" in entry:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
        return address is not None and address in network
    host, port = _host_and_port(entry)
    if port is not None and port != str(origin.port):
        return False
    named = _address(host)
    if named is not None or address is not None:
        return named == address
    host = host.removeprefix("*").strip(".")
    return bool(host) and (origin.host.rstrip(".") == host or origin.host.rstrip(".").endswith(f".{host}"))


def _host_and_port(entry: str) -> tuple[str, str | None]:
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, rest.removeprefix(":") or None
    if entry.count(":") == 1:
        host, _, port = entry.partition(":")
        return host, port
    return entry, None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _parsed(given: NamedProxy) -> Proxy | None:
    text = given.text
    if not text:
        return None
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "http", text
    scheme = scheme.lower()
    shown = f"{scheme}://{rest.rpartition('@')[2].partition('/')[0]}"
    if scheme not in _SCHEMES:
        kind = "SOCKS proxies are not supported" if scheme.startswith("socks") else f"{scheme!r} is not http or https"
        raise _unusable(given, shown, kind)
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        host, port = parts.hostname or "", parts.port or (443 if scheme == "https" else 80)
    except ValueError:
        raise _unusable(given, shown, "it is not a URL") from None  # the cause would carry the password
    if not _HOST.fullmatch(host) or port == 0 or " " in rest:
        raise _unusable(given, shown, "it does not name a host")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    user, password = user or given.username, password or given.password
    place = f"[{host}]" if ":" in host else host
    return Proxy(f"{scheme}://{place}:{port}", basic(user, password) if user or password else None)


def _unusable(given: NamedProxy, shown: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{given.setting} names a proxy that can't be used, {shown}: {reason}", code="PROXY_UNUSABLE", remedy=_REMEDY
    )


if sys.platform == "win32":
    # typeshed does not list them
    from urllib.request import getproxies_registry, proxy_bypass_registry  # type: ignore[attr-defined]

    def _system_proxy(origin: Origin) -> Proxy | None:
        """What Windows' Internet settings say."""
        text = getproxies_registry().get(origin.scheme)
        if not text or proxy_bypass_registry(origin.host):
            return None
        return _parsed(NamedProxy("the proxy in Windows' Internet settings", text))

elif sys.platform == "darwin":
    from urllib.request import getproxies_macosx_sysconf, proxy_bypass_macosx_sysconf

    def _system_proxy(origin: Origin) -> Proxy | None:
        """What macOS' network settings say."""
        text = getproxies_macosx_sysconf().get(origin.scheme)
        if not text or proxy_bypass_macosx_sysconf(origin.host):
            return None
        return _parsed(NamedProxy("the proxy in macOS' network settings", text))

else:

    def _system_proxy(_origin: Origin) -> Proxy | None:
        """Other systems have variables only."""
        return None
