r"""`smctl windows certsync`: certificates of DigiCert ONE by thumbprint on this machine.

They go to the portable thumbprint store, and on Windows to the store My of this user or of the machine too, each with
the key pair's alias as friendly name and with the KSP that reaches its key.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Literal, TextIO, cast

from kspsign.certsync import synchronise
from kspsign.cli.smctl.grammar import ParsedFlags
from kspsign.cli.smctl.ksp import KSP_NAMES
from kspsign.cli.smctl.session import KEY_STORE, say, service, settings_for
from kspsign.keys.keylocker.lookup import list_keypairs
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.report import RunWarning
from kspsign.model.values import SyncedCertificate
from kspsign.publishing.sanitize import log_line


def certsync(given: ParsedFlags, environment: Mapping[str, str], out: TextIO) -> int:
    """Synchronise the certificate of --keypair-alias, or without it of every key pair that can sign now."""
    store = cast('Literal["user", "system"]', (given.text("store") or "user").lower())
    if store == "system" and os.name != "nt":
        raise ConfigurationError(
            "--store system means the certificate store of a Windows machine",
            remedy="Leave it out: the certificate goes to kspsign's own store (KSPSIGN_CONFIG may name its folder).",
        )
    alias = given.text("keypair-alias")
    aliases = [alias] if alias is not None else [*_aliases(given, environment)]
    if not aliases:
        raise PrerequisiteError(
            "no key pair that this user may sign with has a certificate",
            code="ALIAS_NOT_FOUND",
            remedy="Check the account, and that the user may sign: `smctl keypair ls` lists what it may see.",
        )
    refused: list[PrerequisiteError] = []
    for name in aliases:
        named = {"key_store": KEY_STORE, "keypair_alias": name, "account_id": given.text("account-id")}
        try:
            certificate = synchronise(settings_for("certsync", environment, named), say)
        except PrerequisiteError as unusable:  # such as the expired certificate of a key pair that no flag named
            refused.append(unusable)
            continue
        place = _to_windows(certificate, name, store)
        out.write(f"Synced certificate for keypair alias: {log_line(name)}, store: {place}\n")
        out.write(f"Thumbprint: {certificate.thumbprint}\n")
    if len(refused) == len(aliases):
        raise refused[0]
    for error in refused:
        say(RunWarning(error.code, f"not synchronised: {error}", error.remedy))
    return 0


def _aliases(given: ParsedFlags, environment: Mapping[str, str]) -> Iterator[str]:
    """The key pairs with a certificate that may sign, of --keypair-type if it is given."""
    kind = given.text("keypair-type")
    with service(environment, given.text("account-id")) as (client, options):
        pairs = list_keypairs(client, options)
    for pair in pairs:
        usable = (pair.key_status or "ONLINE").upper() == "ONLINE" and pair.is_signable_by_me is not False
        if usable and pair.certificates and (kind is None or (pair.key_type or "").upper() == kind.upper()):
            yield pair.alias or pair.id


def _to_windows(certificate: SyncedCertificate, alias: str, location: Literal["user", "system"]) -> str:
    """Put the certificate into the Windows store too, where there is one; returns the name of the store."""
    if os.name != "nt":
        return "kspsign"
    from kspsign.keys.windows.certificate_store import add_certificate  # noqa: PLC0415 - of Windows alone

    add_certificate(location, certificate.chain[0], friendly_name=alias, provider=KSP_NAMES[0], container=alias)
    return "MY"
