"""Whether a request may have reached its host when the connection failed: what decides if it may be sent again."""

from __future__ import annotations

import urllib3


def innermost(broken: BaseException) -> BaseException:
    """What happened to the connection, without what urllib3 says around it.

    It calls a tunnel that breaks long after it was made an error of the proxy too.
    """
    while True:
        inside: object = None
        if isinstance(broken, urllib3.exceptions.MaxRetryError):
            inside = broken.reason
        elif isinstance(broken, urllib3.exceptions.ProxyError):
            inside = broken.original_error
        if not isinstance(inside, BaseException):
            return broken
        broken = inside


def surely_not_sent(broken: BaseException) -> bool:
    """True when no connection to the host came about, so that nothing can have been asked of it."""
    cause = innermost(broken)
    if isinstance(cause, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)):
        return True
    if isinstance(cause, urllib3.exceptions.SSLError):
        return "CERTIFICATE_VERIFY_FAILED" in str(cause)
    # The standard library's words, when a proxy answers CONNECT with anything but success.
    return isinstance(cause, OSError) and str(cause).startswith("Tunnel connection failed")
