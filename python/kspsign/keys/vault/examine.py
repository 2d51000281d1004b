"""What the doctor asks of Vault: from the credentials to the certificate, each check by itself, no signature."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from kspsign.certificates.public_key import describe_key
from kspsign.keys.issuers import examine_chain
from kspsign.keys.prerequisites import (
    CERTIFICATE,
    COSTS_A_SIGNATURE,
    CREDENTIALS,
    HOST,
    KEY,
    NEWER,
    OPTIONS,
    PERMISSION,
    SIGN_IN,
    TEST_SIGNATURE,
    Prerequisite,
    completed,
    examine_newer,
    failed,
    not_checked,
    passed,
)
from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import Silence
from kspsign.keys.vault import errors
from kspsign.keys.vault.options import VaultOptions
from kspsign.keys.vault.server import read_object
from kspsign.keys.vault.store import Found, Transit, find, open_transit
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError

_CHECKS: Final = (CREDENTIALS, HOST, SIGN_IN, PERMISSION, KEY, CERTIFICATE, NEWER)
_ABOUT: Final = {
    "VAULT_FORBIDDEN": PERMISSION,
    errors.SIGN_IN: SIGN_IN,
    "OIDC_TOKEN": SIGN_IN,
    "CERTIFICATE_NOT_VALID": CERTIFICATE,
    "VAULT_NO_CERTIFICATE": CERTIFICATE,
    "CERTIFICATE_FILE": CERTIFICATE,
    "VAULT_UNREACHABLE": HOST,
    "VAULT_UNAVAILABLE": HOST,
    errors.ANSWER: HOST,
}
"""The check that an error is about; any other is about the key."""
_WITHOUT_TOKEN = (200, 429, 472, 473)
"""Statuses of sys/health that an unsealed Vault answers with: active, standby, secondary, performance standby."""


def examine_vault(options: VaultOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with a transit key."""
    yield from completed(_CHECKS, _examined(options, surroundings))
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)


def _examined(options: VaultOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    try:
        transit = open_transit(options, surroundings)
    except ConfigurationError as error:
        about = CREDENTIALS if "sign-in" in error.message else OPTIONS
        yield failed(about, error)
        return
    with contextlib.closing(transit.server):
        yield passed(CREDENTIALS, f"sign-in by {transit.token.sign_in}")
        try:
            yield _host(transit)
            yield passed(SIGN_IN, transit.token.facts())
            found = find(transit.read(), options)
        except KspSignError as error:
            yield failed(_ABOUT.get(error.code, KEY), error)
            return
        where = f"{transit.mount}/{transit.name}"
        yield passed(KEY, f"{where}, version {found.version}: {describe_key(found.leaf)}, fits the certificate")
        yield not_checked(PERMISSION, "the token may read the key; only a signature shows whether it may sign")
        yield from _certificate(found, options, surroundings)


def _host(transit: Transit) -> Prerequisite:
    """Whether Vault answers and is unsealed. Raises PrerequisiteError."""
    answer = transit.server.send("GET", "sys/health", None, None)
    asked = "its health"
    if isinstance(answer, Silence):
        raise errors.ERRORS.unreachable(answer, asked, PrerequisiteError)
    if answer.status == 503:
        raise errors.refusal(503, b'{"errors":["Vault is sealed"]}', asked, PrerequisiteError)
    if answer.status not in _WITHOUT_TOKEN:
        raise errors.refusal(answer.status, answer.body, asked, PrerequisiteError)
    try:
        said = read_object(answer.body)
    except errors.UnusableReplyError as wrong:
        raise errors.ERRORS.unusable(asked, str(wrong)) from wrong
    return passed(HOST, f"{transit.server.address} answers: version {said.get('version', 'unknown')}, unsealed")


def _certificate(found: Found, options: VaultOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    yield from examine_chain(found.chain, options, surroundings)
    if "certificate" in found.place:
        yield not_checked(NEWER, "the certificate is from a file")
    else:
        yield examine_newer(found.remarks, superseded=found.superseded)
