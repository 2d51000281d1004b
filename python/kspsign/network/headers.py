"""What a request's headers can carry, checked before HTTP clients do: they repeat the whole value in their error."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kspsign.model.errors import ConfigurationError
from kspsign.network.address import Origin

_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110 §5.5, field-value."""


def check_headers(headers: Mapping[str, str], url: str) -> None:
    """Raise ConfigurationError for a value that can't be sent to `url`; it may be a secret, and is not shown."""
    for name, value in headers.items():
        if not _VALUE.fullmatch(value):
            raise ConfigurationError(
                f"what is to be sent to {Origin.of(url).host} as {name} has a line break or a character that no HTTP "
                "header can carry",
                remedy="Set the secret, token or option that it comes from again: ASCII, on one line.",
            )
