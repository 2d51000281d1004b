"""Parts of the report that runs have which sign: the certificate, and what the services took; units as in values.py.

They are apart from report.py since defining a class takes longer than signing a file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """Report: the certificate that signs; where each signature has one of its own, the first of them.

    `durable_identity` is what its service names the publisher by in every certificate (an extended key usage).
    """

    thumbprint: str
    sha256: str
    subject: str
    issuer: str
    serial: str
    not_before: str
    not_after: str
    alias: str | None
    durable_identity: str | None = None


@dataclass(frozen=True, slots=True)
class LimitPoint:
    """Report: `at` so many seconds after the first request the limiter let `limit` requests through at once, and the
    service had complained `throttled` times."""

    at: float
    limit: int
    throttled: int


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """Report: how much one service was asked at once.

    `in_flight` is what the limiter let through in the end, `peak` the most there ever was, `ceiling` the setting's
    bound; `throttled` counts the service's complaints, `per_second` is the rate of answers. `began` is the time of the
    first request (None: there was none), `curve` how the limit changed from then on.
    """

    ceiling: int
    in_flight: int
    peak: int
    answers: int
    throttled: int
    per_second: float
    began: str | None = None
    curve: tuple[LimitPoint, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Report: one timestamp server: tokens that were taken from it, and how often it failed."""

    url: str
    tokens: int
    failures: int
    limit: LimitFacts


@dataclass(frozen=True, slots=True)
class Limits:
    """Report: what was found out about the services; None or empty where a tool asks them itself."""

    key_store: LimitFacts | None = None
    timestamp: tuple[ServerFacts, ...] = ()
