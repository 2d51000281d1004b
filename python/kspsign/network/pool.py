"""The one place that opens connections: kept alive, through the URL's proxy, trusting the run's CAs, with a
deadline."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import urllib3

from kspsign.model.network_options import NetworkOptions
from kspsign.network.address import Origin, without_login
from kspsign.network.deadline import timed_pools
from kspsign.network.headers import check_headers
from kspsign.network.proxy import Proxy, ProxyChoice
from kspsign.network.tls import shared_context
from kspsign.network.trace import Trace

_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0


class Pool:
    """Connections to any host, at most `connections` kept per host; safe to share between threads.

    `timeout` bounds connecting and each wait for a byte, `deadline` (seconds) each exchange as a whole, unless
    `options` set another. `context` is for hosts alone (a client certificate may be in it): proxies never see it.
    `bundle` is a PEM file with further roots.
    Raises ConfigurationError for a proxy or a CA file that can't be used.
    """

    def __init__(
        self,
        options: NetworkOptions,
        *,
        deadline: float,
        connections: int = 1,
        timeout: urllib3.Timeout | None = None,
        context: ssl.SSLContext | None = None,
        bundle: Path | None = None,
    ) -> None:
        self._options, self._bundle = options, bundle
        self._deadline = deadline if options.deadline is None else options.deadline
        self._connections = connections
        self._timeout = timeout or urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
        self._proxies = ProxyChoice(options)
        self._own_context = context
        self._common_context = shared_context(options.ca_file, bundle) if options.ca_file is not None else None
        self._managers: dict[tuple[str, Proxy | None], urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._trace = Trace()

    def proxy_for(self, url: str) -> Proxy | None:
        """The proxy that `url` is reached through, if any."""
        return self._proxies.for_url(url)

    def connections(self, url: str) -> urllib3.PoolManager:
        """What opens the connections for `url`; for packages that bring a client of their own."""
        key = Origin.of(url).scheme, self.proxy_for(url)
        with self._lock:
            if key not in self._managers:
                self._managers[key] = self._open(*key)
            return self._managers[key]

    @contextlib.contextmanager
    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        attempt: int = 1,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer to one request, whose body is read within the block; neither retried nor redirected.

        A login in `url` is sent as Authorization. Raises urllib3's HTTPError; ValueError for what is not a URL;
        ConfigurationError for a header that can't be sent, before anything is.
        """
        bare, authorization = without_login(url)
        sent = dict(headers or {})
        if authorization is not None:
            sent.setdefault("Authorization", authorization)
        check_headers(sent, bare)
        manager = self.connections(bare)
        with self._trace.call(method, bare, attempt, sent) as answered:
            reply = manager.request(
                method, bare, body=body, headers=sent, timeout=self._timeout, retries=False, redirect=False,
                preload_content=False,
            )  # fmt: skip
            try:
                yield reply
            except BaseException:
                reply.close()
                raise
            reply.release_conn()
            answered(reply.status, reply.headers)

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    def _open(self, scheme: str, proxy: Proxy | None) -> urllib3.PoolManager:
        manager: urllib3.PoolManager
        if scheme == "https" or (proxy is not None and proxy.url.startswith("https:")):
            self._common_context = self._common_context or shared_context(self._options.ca_file, self._bundle)
        context = self._own_context or self._common_context
        if proxy is None:
            manager = urllib3.PoolManager(maxsize=self._connections, ssl_context=context)
        else:
            login = None if proxy.authorization is None else {"Proxy-Authorization": proxy.authorization}
            manager = urllib3.ProxyManager(
                proxy.url, maxsize=self._connections, ssl_context=context, proxy_headers=login,
                proxy_ssl_context=self._common_context,
            )  # fmt: skip
        manager.pool_classes_by_scheme = timed_pools(self._deadline)
        return manager
