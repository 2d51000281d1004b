"""What the doctor asks of DigiCert ONE: from the credentials to the certificate, each check by itself, no signature."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from kspsign.certificates.parse import parse_certificate, to_der
from kspsign.certificates.public_key import describe_key
from kspsign.keys.keylocker.client import KeyLockerClient
from kspsign.keys.keylocker.credentials import read_credentials
from kspsign.keys.keylocker.lookup import (
    Listed,
    find_certificate,
    older_than,
    read_certificate,
    read_keypair,
)
from kspsign.keys.keylocker.options import KeyLockerOptions
from kspsign.keys.keylocker.records import KeypairRecord
from kspsign.keys.keylocker.store import chain_of, check_keypair, check_named, open_client, signature_scheme
from kspsign.keys.prerequisites import (
    CERTIFICATE,
    COSTS_A_SIGNATURE,
    CREDENTIALS,
    HOST,
    KEY,
    NEWER,
    OPTIONS,
    PERMISSION,
    QUOTA,
    SIGN_IN,
    TEST_SIGNATURE,
    Prerequisite,
    completed,
    examine_certificate,
    examine_newer,
    failed,
    not_checked,
    passed,
    warned,
)
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError, KspSignError

_CLIENT: Final = "client certificate"
_CHECKS: Final = (CREDENTIALS, _CLIENT, HOST, SIGN_IN, KEY, PERMISSION, CERTIFICATE, NEWER)
_BY_HOST: Final = frozenset(
    {"KEYLOCKER_TLS", "KEYLOCKER_UNREACHABLE", "KEYLOCKER_UNAVAILABLE", "KEYLOCKER_ANSWER", "KEYLOCKER_NOT_FOUND"}
)
"""Refusals that say that what answers is not DigiCert ONE, or nothing does."""
_OF_CERTIFICATE: Final = frozenset({"KEYPAIR_WITHOUT_CERTIFICATE", "CERTIFICATE_REVOKED", "CERTIFICATE_NOT_VALID"})
_OF_USER: Final = frozenset({"KEYPAIR_RESTRICTED", "NOT_THE_SIGNER"})
_NO_QUOTA: Final = "DigiCert ONE's API does not say how many are left; its portal does"


def examine_keylocker(options: KeyLockerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with KeyLocker or Software Trust Manager."""
    yield from completed(_CHECKS, _examined(options, surroundings))
    yield not_checked(QUOTA, _NO_QUOTA)
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)


def _examined(options: KeyLockerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    unnamed: ConfigurationError | None = None
    try:
        check_named(options)
    except ConfigurationError as error:
        unnamed = error
        yield failed(OPTIONS, error)
    try:
        credentials = read_credentials(surroundings.credentials)
    except KspSignError as error:
        yield failed(CREDENTIALS, error)
        return
    yield passed(CREDENTIALS, f"for {credentials.host}: complete, and the client certificate opens with its password")
    yield examine_certificate([to_der(credentials.client.chain[0])], _CLIENT)._replace(chain=())
    try:
        client = open_client(credentials, surroundings)
    except KspSignError as error:
        yield failed(HOST, error)
        return
    with contextlib.closing(client):
        yield from _service(client, options if unnamed is None else None)


def _service(client: KeyLockerClient, options: KeyLockerOptions | None) -> Iterator[Prerequisite]:
    """Host and sign-in; then what `options` name, if they name something."""
    try:
        client.get("certificates", {"limit": "1"}, asked="the list of certificates")
    except KspSignError as error:
        if error.code not in _BY_HOST:
            yield passed(HOST, f"{client.host} answers")
        yield failed(HOST if error.code in _BY_HOST else SIGN_IN, error)
        return
    yield passed(HOST, f"{client.host} answers, and its TLS certificate is trusted")
    yield passed(SIGN_IN, "API key and client certificate are accepted")
    if options is None:
        return
    try:
        yield from _key_and_certificate(client, options)
    except KspSignError as error:
        if error.code in _OF_CERTIFICATE:
            yield passed(KEY, f"{options.keypair_alias or 'the key pair of the certificate'} is there")
        yield failed(CERTIFICATE if error.code in _OF_CERTIFICATE else KEY, error)


def _key_and_certificate(client: KeyLockerClient, options: KeyLockerOptions) -> Iterator[Prerequisite]:
    chosen, siblings = find_certificate(client, options)
    keypair = read_keypair(client, chosen.keypair.id)
    record = read_certificate(client, chosen.record.id)
    chain = chain_of(record)
    yield from _key(keypair, chain[0])
    yield examine_certificate(chain)
    yield _newer(chosen, siblings)


def _key(keypair: KeypairRecord, leaf: bytes) -> Iterator[Prerequisite]:
    """Whether the key pair is online and fits, and whether this user may sign with it."""
    name = keypair.alias or keypair.id
    shown = f"{name}: {describe_key(parse_certificate(leaf))}, {(keypair.key_status or 'online').lower()}"
    try:
        signature_scheme(leaf)
        check_keypair(keypair, leaf)
    except KspSignError as error:
        if error.code in _OF_USER:
            yield passed(KEY, shown)
        yield failed(PERMISSION if error.code in _OF_USER else KEY, error)
        return
    if keypair.key_type == "TEST":
        yield warned(KEY, f"{shown}, of type TEST", "Name a PRODUCTION key pair: no public machine trusts TEST.")
    else:
        yield passed(KEY, shown)
    if keypair.is_signable_by_me is None:
        yield not_checked(PERMISSION, "the service does not report whether this user may sign with the key pair")
    else:
        yield passed(PERMISSION, "this user may sign with the key pair")


def _newer(chosen: Listed, siblings: tuple[Listed, ...]) -> Prerequisite:
    name = f"key pair {chosen.keypair.alias or chosen.keypair.id}"
    older = older_than(chosen, siblings)
    others = [sibling for sibling in siblings if sibling is not chosen]
    remarks = older or ((f"{name} has {len(siblings)} certificates, of which the newest is taken",) if others else ())
    return examine_newer(remarks, superseded=bool(older))
