"""How many timestamps are asked of each server: at once, and how far apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import urlsplit

MOST_JOBS: Final = 256
_LIMIT = r"(?P<host>[^\s=/]+)=(?P<jobs>[1-9]\d{0,2})(/(?P<spacing>\d{1,4}(\.\d{1,3})?))?"


class ServerLimit(NamedTuple):
    """At most `jobs` requests at once, each begun at least `spacing` seconds after the one before."""

    jobs: int
    spacing: float = 0.0


OPERATORS: Final[Mapping[str, ServerLimit]] = {
    host: ServerLimit(1, 15.0) for host in ("timestamp.sectigo.com", "timestamp.comodoca.com")
}
"""What operators ask of scripts, by host. Sectigo's page on its timestamp server: 15 seconds between requests."""


class TimestampLimits(NamedTuple):
    """`jobs` requests at once for a server whose host neither `named` (HOST or HOST:PORT) nor its operator limits."""

    jobs: int
    named: Mapping[str, ServerLimit] = MappingProxyType({})

    def of(self, url: str) -> ServerLimit:
        """The limit of the server at `url`. One that is named for its port is meant before one for its host."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        for limits, name in ((self.named, f"{host}:{parts.port}"), (self.named, host), (OPERATORS, host)):
            if name in limits:
                return limits[name]
        return ServerLimit(self.jobs)


def parse_limits(items: Iterable[str]) -> dict[str, ServerLimit]:
    """The limits that `items` name, each HOST[:PORT]=REQUESTS or HOST[:PORT]=REQUESTS/SECONDS.

    Raises ValueError for another form, more than `MOST_JOBS` requests, or a host that is named twice.
    """
    named: dict[str, ServerLimit] = {}
    for item in items:
        match = re.fullmatch(_LIMIT, item.strip())
        if match is None or int(match["jobs"]) > MOST_JOBS:
            raise ValueError(
                f"{item!r} is not HOST=REQUESTS or HOST=REQUESTS/SECONDS, such as timestamp.example.com=4 or "
                f"timestamp.example.com=1/15 (1 to {MOST_JOBS} requests at once)"
            )
        host = match["host"].lower().rstrip(".")
        if host in named:
            raise ValueError(f"the limit of {host} is given twice")
        named[host] = ServerLimit(int(match["jobs"]), float(match["spacing"] or 0))
    return named
