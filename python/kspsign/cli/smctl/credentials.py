"""`smctl credentials save`: scripts begin with it, though the variables that smctl reads hold the same already."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import TextIO

from kspsign.cli.smctl.grammar import ParsedFlags
from kspsign.model.errors import ConfigurationError


def save(given: ParsedFlags, environment: Mapping[str, str], out: TextIO) -> int:
    """Accept credentials that this environment has too, and save nothing.

    Raises ConfigurationError, which repeats no value, for others: they would be missing in the calls that follow.
    """
    wanted = (environment.get("SM_API_KEY", ""), environment.get("SM_CLIENT_CERT_PASSWORD", ""))
    if len(given.arguments) != len(wanted) or not all(map(_are_equal, given.arguments, wanted)):
        raise ConfigurationError(
            "smctl credentials save: these are not the credentials of SM_API_KEY and SM_CLIENT_CERT_PASSWORD",
            remedy="Set both variables for each step that signs: kspsign saves no credentials, and those on a command "
            "line are visible to others.",
        )
    out.write("Credentials are in SM_API_KEY and SM_CLIENT_CERT_PASSWORD: nothing is saved\n")
    return 0


def _are_equal(one: str, other: str) -> bool:
    return bool(one) and hmac.compare_digest(
        one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape")
    )
