"""What to do about each way in which timestamp servers fail, by what they answered."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

HTML_PAGE = "a web page in place of a timestamp"
_BY_ANSWER: Final = (
    (
        r"HTTP 407\b|the proxy rejected it: 407",
        (
            "The proxy wants a login: put it into HTTPS_PROXY and HTTP_PROXY "
            "(http://USER:PASSWORD@PROXY:PORT), or exempt the timestamp server from the proxy (NO_PROXY)."
        ),
    ),
    (
        HTML_PAGE,
        (
            "A proxy, a portal or the server's home page answers at that address: let the agent reach the server, "
            "or correct the address (--timestamp-url)."
        ),
    ),
    (
        r"HTTP (?:404|405|410)\b",
        "The server has no timestamp service at that address: correct its path (--timestamp-url).",
    ),
    (
        r"HTTP 40[13]\b",
        (
            "The server wants a login or does not let this agent in: use the address that your CA gave you, "
            "or a public server (--timestamp-url)."
        ),
    ),
    (r"redirect|HTTP 30\d", "Give the address that the server redirects to, if it is your CA's (--timestamp-url)."),
    (
        r"SSL|certificate verify|TLS",
        (
            "The server's TLS certificate is not trusted: name the CA of a proxy that inspects "
            "TLS with --ca-file, or use the server's http address, whose tokens are signed anyway."
        ),
    ),
)
"""Patterns of what is said of a server, the more special first, and what to do."""
MOST = 2


def remedy_for(said: Iterable[str], otherwise: str) -> str:
    """What to do about servers of which this is said; `otherwise` where nothing in particular fits."""
    found = dict.fromkeys(
        remedy
        for text in said
        for remedy in [next((remedy for pattern, remedy in _BY_ANSWER if re.search(pattern, text)), "")]
        if remedy
    )
    if not found:
        return otherwise
    return " ".join([*found][:MOST]) + " The file was not changed; run again then."
