"""Which program signs for an engine and a key store, and what of the credentials it gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kspsign.model.load import load
from kspsign.model.values import SyncedCertificate
from kspsign.signing.tool_calls import Caller, SigningTool, SignToolSigner, SmctlSigner

_Opener = Callable[[Caller, SyncedCertificate], SigningTool]
_SIGNERS: Final[Mapping[str, _Opener]] = {"signtool": SignToolSigner, "smctl": SmctlSigner}
_BY_STORE: Final[Mapping[str, str]] = {"azure-artifact-signing": "kspsign.signing.dlib_signer:DlibSigner"}
"""Key stores that SignTool reaches through a library of their own, and the `_Opener` for it."""


def open_signer(engine: str, caller: Caller, certificate: SyncedCertificate) -> tuple[Caller, SigningTool]:
    """How the programs of `engine` are called, and the one that signs.

    SM_* is for vendors' programs: a library of a key store's own gets the variables of --tool-env, and what it signs in
    with. Raises ConfigurationError, PrerequisiteError when a program is missing.
    """
    own = _BY_STORE.get(certificate.key_store)
    if own is None:
        return caller, _SIGNERS[engine](caller, certificate)
    settings = caller.settings
    named = {name: settings.credentials[name] for name in settings.tool_env if name in settings.credentials}
    bare, opener = caller.having(named), load(own)
    return bare, opener(bare, certificate)
