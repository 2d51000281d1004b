"""URLs of settings, judged before anything is asked of them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_HOST = r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?|[0-9A-Fa-f:.]+(%[\w.-]+)?"
_WRONG_PORT = "its port is not a number from 1 to 65535"
_WRONG_SYNTAX = (
    ("[\"'`<>\u2018\u2019\u201c\u201d]", "it holds quotation marks or angle brackets; leave them out"),
    (
        r"(?i)[,;\s]+[a-z]+://",
        "it holds several; give each by itself: a line of the input, an option or item of its own",
    ),
    (r"[\s\x00-\x1f\x7f\\]", "it holds a blank or a backslash"),
    (r"^(?![^:/?#]+://)", "it does not begin with http:// or https://"),
    (r"(?i)^(?!https?://)", "timestamps (RFC 3161) come over http:// or https:// only"),
)


def url_fault(url: str) -> str:
    """Why no http or https request can be sent to `url`; "" when one can. It is not repeated: it may hold a login.

    The syntax is that of RFC 3986 §3; hosts are names or IP addresses.
    """
    for pattern, fault in _WRONG_SYNTAX:
        if re.search(pattern, url):
            return fault
    try:
        parts = urlsplit(url)
    except ValueError:
        return "its host is not a name or an address"
    try:
        wrong_port = parts.port == 0 or parts.netloc.endswith(":")
    except ValueError:
        wrong_port = True
    host = parts.hostname or ""
    if wrong_port or not re.fullmatch(_HOST, host):
        return _WRONG_PORT if wrong_port else "its host is not a name or an address" if host else "it names no host"
    return ""
