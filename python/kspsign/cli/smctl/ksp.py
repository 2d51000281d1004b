"""`smctl windows ksp list`: the provider names that select keys of DigiCert ONE. No KSP is registered for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TextIO

from kspsign.cli.signtool.key_providers import PROVIDERS
from kspsign.cli.smctl.grammar import ParsedFlags
from kspsign.cli.smctl.session import KEY_STORE

KSP_NAMES: Final = tuple(name for name, store in PROVIDERS.items() if store == KEY_STORE and name.endswith("KSP"))
"""The names that DigiCert's client tools register, and that `kspsign signtool /csp` takes."""


def list_ksps(_given: ParsedFlags, _environment: Mapping[str, str], out: TextIO) -> int:
    """Print each name on a line."""
    out.writelines(f"{name}\n" for name in KSP_NAMES)
    return 0
