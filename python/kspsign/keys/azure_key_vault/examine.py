"""What the doctor asks of a vault: from the credentials to the certificate, each check by itself, no signature."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.parse import to_der
from kspsign.certificates.public_key import describe_key
from kspsign.certificates.validity import EXPIRY_WARNING
from kspsign.keys.azure_identity.credential import open_credential, who_signs_in
from kspsign.keys.azure_identity.sign_in import check_sign_in
from kspsign.keys.azure_identity.transport import AzureTransport
from kspsign.keys.azure_key_vault.client import VaultClient
from kspsign.keys.azure_key_vault.identifier import Identifier, sign_in_host
from kspsign.keys.azure_key_vault.key import check_key
from kspsign.keys.azure_key_vault.options import AzureKeyVaultOptions
from kspsign.keys.azure_key_vault.store import FoundKey, find, named_key
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
    warned,
)
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError, KspSignError
from kspsign.model.values import iso_utc

_CHECKS: Final = (CREDENTIALS, HOST, SIGN_IN, PERMISSION, KEY, CERTIFICATE, NEWER)
_OF_CERTIFICATE: Final = frozenset({"CERTIFICATE_NOT_VALID", "CERTIFICATE_PENDING"})
_OF_RIGHTS: Final = frozenset({"KEY_VAULT_FORBIDDEN", "KEY_VAULT_FIREWALL", "AZURE_SIGN_IN"})
_UNSEEN: Final = "this identity may read the key; only a signature shows whether it may sign (Key Vault Crypto User)"


def examine_key_vault(options: AzureKeyVaultOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with a vault or Managed HSM."""
    yield from completed(_CHECKS, _examined(options, surroundings))
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)


def _examined(options: AzureKeyVaultOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    wanted: Identifier | None = None
    try:
        wanted = named_key(options)
    except ConfigurationError as error:
        yield failed(OPTIONS, error)
    try:
        transport = AzureTransport(surroundings.network, surroundings.jobs, surroundings.cancelled)
    except ConfigurationError as error:
        yield failed(HOST, error)
        return
    with contextlib.closing(transport):
        try:
            credential = open_credential(
                options, surroundings, transport, authority=None if wanted is None else sign_in_host(wanted.vault)
            )
            check_sign_in(options, surroundings)
        except ConfigurationError as error:
            yield failed(CREDENTIALS, error)
            return
        yield passed(CREDENTIALS, f"complete: {who_signs_in(options, surroundings)}")
        if wanted is not None:
            yield from _vault(VaultClient(wanted.vault, credential, transport), wanted, options, surroundings)


def _vault(
    client: VaultClient, wanted: Identifier, options: AzureKeyVaultOptions, surroundings: Surroundings
) -> Iterator[Prerequisite]:
    try:
        challenge = client.challenge()
    except KspSignError as error:
        yield failed(HOST, error)
        return
    yield passed(HOST, f"{wanted.vault} answers, and its TLS certificate is trusted")
    try:
        until = client.sign_in(challenge)
    except KspSignError as error:
        yield failed(SIGN_IN, error)
        return
    yield passed(SIGN_IN, f"Entra issued a token for {challenge.resource}, valid until {iso_utc(until)}")
    try:
        found = find(client, wanted, options)
    except KspSignError as error:
        yield failed(_about(error), error)
        return
    yield from _key(client, found)
    yield from _certificate(found, options, surroundings)


def _about(error: KspSignError) -> str:
    """The check that this refusal is about."""
    if error.code in _OF_CERTIFICATE:
        return CERTIFICATE
    return PERMISSION if error.code in _OF_RIGHTS else KEY


def _key(client: VaultClient, found: FoundKey) -> Iterator[Prerequisite]:
    """What the key's own attributes say: enabled, its dates, operations, and that it is the certificate's."""
    try:
        key = client.read_key(found.key)
    except KspSignError as error:
        yield failed(_about(error), error)
        return
    if key is None:
        yield not_checked(
            KEY, f"{found.key} is the certificate's key; this identity may not read whether it is enabled and may sign"
        )
        yield not_checked(PERMISSION, "the right to sign alone would be enough, and only a signature shows it")
        return
    now, end = datetime.now(UTC), key.properties.expires_on
    try:
        check_key(key, found.leaf, now)
    except KspSignError as error:
        yield failed(KEY, error)
        return
    detail = (
        f"{found.key}: {describe_key(found.leaf)} ({getattr(key.key_type, 'value', key.key_type)}), enabled, may sign"
    )
    if end is not None and end < now + EXPIRY_WARNING:
        yield warned(KEY, f"{detail}, expires on {iso_utc(end)}", "Renew the certificate in the vault before that day.")
    else:
        yield passed(KEY, detail)
    yield not_checked(PERMISSION, _UNSEEN)


def _certificate(found: FoundKey, options: AzureKeyVaultOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    yield from examine_chain(ordered_chain(to_der(found.leaf), found.others), options, surroundings)
    if "certificate" in found.place:
        yield not_checked(NEWER, "the certificate is from a file")
    elif not found.listed:
        yield not_checked(NEWER, "this identity may not list the certificate's versions (certificates/list)")
    else:
        yield examine_newer((*found.remarks, *found.passed_over), superseded=found.superseded)
