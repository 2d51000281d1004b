"""Pools of kept-alive connections, through the machine's proxy where it has one."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3


def open_pool(url: str, connections: int) -> urllib3.PoolManager:
    """A pool through the machine's proxy for this URL, if it has one."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, maxsize=connections)
    return urllib3.PoolManager(maxsize=connections)
