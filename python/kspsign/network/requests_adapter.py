"""Our connections for packages that use requests: Microsoft's clients for Azure and Azure DevOps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, urldefragauth

from kspsign.model.network_options import NetworkOptions
from kspsign.network.pool import Pool
from kspsign.network.trace import Trace


def open_session(options: NetworkOptions, *, connections: int, deadline: float) -> requests.Session:
    """A session whose connections are a `Pool`'s: what requests makes of variables and .netrc does not count.

    It trusts the bundle of requests too. Raises ConfigurationError for a proxy or a CA file that can't be used.
    """
    adapter = _PoolAdapter(
        Pool(options, deadline=deadline, connections=connections, bundle=Path(DEFAULT_CA_BUNDLE_PATH))
    )
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _PoolAdapter(HTTPAdapter):
    """A transport of requests whose connections `pool` opens."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._trace = Trace()

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """The answer, as far as its headers."""
        with self._trace.call(str(request.method), str(request.url)) as answered:
            response = super().send(request, *args, **options)
            answered(response.status_code, response.headers)
        return response

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> Any:
        """The connections to the request's host."""
        return self._pool.connections(str(request.url)).connection_from_url(str(request.url))

    def cert_verify(self, *_: Any) -> None:
        """Nothing: the pool's context verifies."""

    def request_url(self, request: requests.PreparedRequest, _proxies: Any) -> str:
        """The request target for a proxy without a tunnel is a whole URL."""
        url = str(request.url)
        if url.startswith("http:") and self._pool.proxy_for(url) is not None:
            return str(urldefragauth(url))
        return str(request.path_url)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()
        super().close()
