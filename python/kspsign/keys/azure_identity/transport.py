"""The HTTP transport of Microsoft's Azure clients: our connections, and waits that can be cancelled."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Any

import urllib3
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport

from kspsign.model.errors import CancelledError
from kspsign.model.network_options import NetworkOptions
from kspsign.network.failures import surely_not_sent
from kspsign.network.headers import check_headers
from kspsign.network.requests_adapter import open_session
from kspsign.network.trace import numbered

EXCHANGE_SECONDS = 120.0
_LONGEST_PAUSE = 60.0
_KEY_NOT_KNOWN = b"AKV10046"
_KEY_PAUSES = (1.0, 2.0, 4.0)
"""Seconds before a request is sent again that was refused since its token's key was not known."""


class AzureTransport(RequestsTransport):  # type: ignore[misc]  # azure-core loads it lazily, so mypy sees Any
    """Kept-alive connections, one for each file in work; waiting ends when the run is cancelled.

    Raises ConfigurationError for a proxy or a CA file of `network` that can't be used.
    """

    def __init__(self, network: NetworkOptions, connections: int, cancelled: threading.Event) -> None:
        session = open_session(network, connections=connections, deadline=EXCHANGE_SECONDS)
        super().__init__(session=session, read_timeout=60, connection_timeout=15, use_env_settings=False)
        self._cancelled = cancelled
        self._sent = threading.local()

    def send(self, request: Any, **options: Any) -> Any:
        """The answer; a request that may have arrived is never treated as one that may be sent again."""
        check_headers(request.headers, request.url)
        try:
            return self._sent_until_key_is_known(request, **options)
        except ServiceRequestError as broken:
            cause = broken.inner_exception
            parts = () if cause is None else cause.args
            if any(isinstance(part, urllib3.exceptions.HTTPError) and not surely_not_sent(part) for part in parts):
                raise ServiceResponseError(str(broken), error=cause) from broken
            raise

    def _sent_until_key_is_known(self, request: Any, **options: Any) -> Any:
        """The answer; where a vault does not know yet the key that Entra ID signs its tokens with (AKV10046), asked
        again: nothing was done for the refused request, and the vault learns the key within seconds."""
        pauses = iter(_KEY_PAUSES)
        while True:
            with numbered(self._attempt(request)):
                answer = super().send(request, **options)
            refused = answer.status_code == HTTPStatus.UNAUTHORIZED and _KEY_NOT_KNOWN in _body(answer)
            pause = next(pauses, None) if refused else None
            if pause is None:
                return answer
            self.sleep(pause)

    def sleep(self, duration: float) -> None:
        """Called by the client's retries; Retry-After is honoured up to a minute."""
        if self._cancelled.wait(min(duration, _LONGEST_PAUSE)):
            raise CancelledError

    def _attempt(self, request: Any) -> int:
        """The client's retries send the same object again, from the same thread."""
        again = getattr(self._sent, "request", None) is request
        self._sent.request, self._sent.times = request, self._sent.times + 1 if again else 1
        return int(self._sent.times)


def _body(answer: Any) -> bytes:
    """The whole body, of either kind of answer that the clients know; they read it from memory afterwards."""
    return bytes(answer.read() if hasattr(answer, "read") else answer.body())
