"""Classifies connection failures: the reason in words, and whether the request may have reached its host."""

from __future__ import annotations

from http import HTTPStatus

import urllib3

from kspsign.network.deadline import overran
from kspsign.network.exchange import RedirectError

NO_ANSWER = "no answer"


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


def timed_out(broken: BaseException) -> bool:
    """Whether the time of a connection, of a wait for a byte, or of the whole exchange was over."""
    cause = innermost(broken)
    refused = isinstance(cause, urllib3.exceptions.NewConnectionError)  # a kind of time-out to urllib3
    return overran(broken) is not None or (isinstance(cause, urllib3.exceptions.TimeoutError) and not refused)


def reason(broken: BaseException) -> str:
    """Why there is no (complete) answer, in words; contains nothing of the request."""
    overrun, cause = overran(broken), innermost(broken)
    if overrun is not None:
        return overrun
    if isinstance(broken, RedirectError):
        return str(broken)
    return f"{NO_ANSWER} ({_words(broken, cause)})"


def _words(broken: BaseException, cause: BaseException) -> str:
    # Most special first: a refused connection is a kind of time-out to urllib3.
    if isinstance(cause, OSError) and str(cause).startswith("Tunnel connection failed"):
        return f"the proxy rejected it: {str(cause).partition(': ')[2]}"
    at_proxy = isinstance(broken, urllib3.exceptions.ProxyError)
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "unknown proxy" if at_proxy else "unknown host"
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return "the proxy can't be reached" if at_proxy else "connection refused"
    if isinstance(cause, urllib3.exceptions.TimeoutError):
        return "timed out"
    if isinstance(cause, urllib3.exceptions.SSLError):
        return f"{type(cause).__name__}: {cause}"
    return type(cause).__name__


def status_text(status: int) -> str:
    """An HTTP status for people, with its phrase where it has one: "HTTP 404 Not Found"."""
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"
