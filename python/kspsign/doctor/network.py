"""The checks of the network: proxies, certificate authorities for TLS, and the timestamp servers."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from kspsign.doctor.trust import TrustChecks
from kspsign.keys.open import timestamp_urls
from kspsign.keys.prerequisites import Prerequisite, failed, not_checked, passed, warned
from kspsign.model.errors import KspSignError, PrerequisiteError, TimestampError, TrustError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import DigestAlgorithm
from kspsign.network.address import shown_url
from kspsign.network.proxy import Proxy, ProxyChoice
from kspsign.network.tls import client_context
from kspsign.settings.model import Settings
from kspsign.settings.timestamp_limits import TimestampLimits
from kspsign.timestamping.client import TimestampClient

_PROXY, _AUTHORITIES, _SERVER, _CLOCK = "proxy", "CA certificates", "timestamp server", "clock"
_SECONDS = 5.0
_UNREACHED = "Let the agent reach the server (proxy; firewall: plain http, port 80), or name another: --timestamp-url."
_SKEW = timedelta(minutes=5)
_ANYWHERE = "{scheme}://kspsign.invalid/"


def network_checks(settings: Settings) -> Iterator[Prerequisite]:
    """Proxy and certificate authorities, as every connection of the run has them."""
    try:
        options = settings.network
        choice = ProxyChoice(options)
    except KspSignError as error:
        yield failed(_PROXY, error)
        return
    yield from _proxies(choice, options)
    try:
        context = client_context(options)
    except KspSignError as error:
        yield failed(_AUTHORITIES, error)
        return
    count = context.cert_store_stats()["x509_ca"]
    named = "" if options.ca_file is None else f", and those of {options.ca_file.path} ({options.ca_file.setting})"
    yield passed(_AUTHORITIES, f"the system's{named}; {count} are loaded")


def _proxies(choice: ProxyChoice, options: NetworkOptions) -> Iterator[Prerequisite]:
    """Each proxy that is used, and whether it takes a connection; what it lets through the other checks show."""
    used: dict[Proxy, list[str]] = {}
    try:
        for scheme in ("http", "https"):
            proxy = choice.for_url(_ANYWHERE.format(scheme=scheme))
            if proxy is not None:
                used.setdefault(proxy, []).append(scheme)
    except KspSignError as error:
        yield failed(_PROXY, error)
        return
    excepted = ", ".join(entry for entry in options.no_proxy if entry)
    for proxy, schemes in used.items():
        yield _proxy(proxy, f"for {' and '.join(schemes)}" + (f", but not for {excepted}" if excepted else ""))
    if not used:
        yield passed(_PROXY, "none is set: connections are direct")


def _proxy(proxy: Proxy, used: str) -> Prerequisite:
    parts = urlsplit(proxy.url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), _SECONDS).close()
    except OSError as refused:
        error = PrerequisiteError(
            f"{proxy.url} ({used}) accepts no connection: {refused.strerror or refused}",
            code="PROXY_UNREACHABLE",
            remedy="Correct HTTPS_PROXY and HTTP_PROXY (or the agent's own proxy), or except the hosts in NO_PROXY.",
        )
        return failed(_PROXY, error)
    return passed(_PROXY, f"{proxy.url} accepts connections ({used})")


def timestamp_checks(settings: Settings, key_store: str | None, trust: TrustChecks) -> Iterator[Prerequisite]:
    """Each server is asked for a real token, which costs nothing, and the token is judged as in a signed file.

    `key_store` is the one that signs, which may have a server of its own; None where it is not known.
    """
    try:
        urls = timestamp_urls(settings, key_store)
    except KspSignError as error:
        yield failed(_SERVER, error)
        return
    if settings.no_timestamp:
        yield not_checked(_SERVER, "--no-timestamp is set: signatures expire with the certificate")
        return
    if key_store == "embedded" and not settings.timestamp_url:
        yield not_checked(_SERVER, "test signing has its own server, which runs only during a run")
        return
    ahead: list[timedelta] = []
    found = [_server(url, settings, trust, ahead) for url in urls]
    if any(check.state == "ok" for check in found):
        # One that answers is enough: a run asks them in their order.
        found = [check._replace(state="warning") if check.state == "failed" else check for check in found]
    yield from found
    yield _clock(ahead)


def _server(url: str, settings: Settings, trust: TrustChecks, ahead: list[timedelta]) -> Prerequisite:
    """What the server answers; `ahead` gets how far this machine's clock is ahead of the token's time."""
    signature = secrets.token_bytes(256)
    try:
        client = TimestampClient((url,), TimestampLimits(1), threading.Event(), settings.network)
        try:
            token = client.stamp(signature, DigestAlgorithm(settings.digest))
        finally:
            client.close()
        ahead.append(datetime.now(UTC) - token.time)
        trust.check_token(token.der, signature)
    except TrustError as refused:
        untrusted = TimestampError(
            f"{shown_url(url)} answers, but its token would not verify ({refused.check}: {refused.message})",
            code="TIMESTAMP_UNTRUSTED",
            remedy="Name the authority's root with --trust-root if you trust it, or another server with "
            "--timestamp-url.",
        )
        return failed(_SERVER, untrusted)
    except TimestampError as error:
        return failed(_SERVER, error)._replace(remedy=_UNREACHED)
    except KspSignError as error:
        return failed(_SERVER, error)
    return passed(_SERVER, f"{shown_url(url)} answers; its token is trusted ({token.authority})")


def _clock(ahead: Sequence[timedelta]) -> Prerequisite:
    """This machine's clock against the timestamps': certificates and sign-ins count on it."""
    if not ahead:
        return not_checked(_CLOCK, "no timestamp server answered, so there is nothing to compare with")
    off = min(ahead, key=abs)
    if abs(off) <= _SKEW:
        return passed(_CLOCK, f"agrees with the timestamp server's, within {_SKEW.seconds // 60} minutes")
    way = "ahead of" if off > timedelta() else "behind"
    detail = f"is {abs(off).total_seconds() / 60:.0f} minutes {way} the timestamp server's"
    return warned(_CLOCK, detail, "Set the agent's clock (time service): TLS, sign-ins and certificates depend on it.")
