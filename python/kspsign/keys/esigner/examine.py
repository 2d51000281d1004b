"""What the doctor asks of eSigner: sign-in and credential, each check by itself; no one-time password is used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from kspsign.certificates.parse import parse_certificate
from kspsign.certificates.public_key import describe_key
from kspsign.keys.esigner import errors
from kspsign.keys.esigner.client import ESignerClient
from kspsign.keys.esigner.credential import Credential, check_totp, check_valid, find_credential
from kspsign.keys.esigner.environment import ESignerLogin
from kspsign.keys.esigner.options import ESignerOptions
from kspsign.keys.issuers import examine_chain
from kspsign.keys.prerequisites import (
    CERTIFICATE,
    COSTS_A_SIGNATURE,
    CREDENTIALS,
    HOST,
    KEY,
    NEWER,
    PERMISSION,
    QUOTA,
    SIGN_IN,
    TEST_SIGNATURE,
    Prerequisite,
    completed,
    failed,
    not_checked,
    passed,
    warned,
)
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import KspSignError

CLOCK: Final = "clock"
_MOST_APART = 30.0
"""Seconds between the clocks from which on other programs' one-time passwords are refused."""
_CHECKS: Final = (CREDENTIALS, HOST, SIGN_IN, CLOCK, KEY, PERMISSION, CERTIFICATE)
_BY_HOST: Final = frozenset({errors.UNREACHABLE.code, errors.ANSWER.code, "ESIGNER_UNAVAILABLE", "ESIGNER_THROTTLED"})


def examine_esigner(options: ESignerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with a credential."""
    yield from completed(_CHECKS, _examined(options, surroundings))
    yield not_checked(NEWER, "a credential has one certificate")
    yield not_checked(QUOTA, "the API does not say how many signings are left; the SSL.com account does")
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)


def _examined(options: ESignerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    try:
        login = ESignerLogin.find(options, surroundings.environment)
    except KspSignError as error:
        yield failed(CREDENTIALS, error)
        return
    having = "login and TOTP secret" if login.totp is not None else "login, without a TOTP secret"
    yield passed(CREDENTIALS, f"{having} of {login.user}, {options.esigner_environment}")
    client = ESignerClient(login, surroundings)
    with contextlib.closing(client):
        try:
            client.token.get()
        except KspSignError as error:
            if error.code not in _BY_HOST:
                yield passed(HOST, f"{login.environment.login} answers")
            yield failed(HOST if error.code in _BY_HOST else SIGN_IN, error)
            return
        yield passed(HOST, f"{login.environment.login} answers, and its TLS certificate is trusted")
        yield passed(SIGN_IN, f"SSL.com issued a token for {login.user}")
        yield _clock(client)
        yield from _credential(client, options, surroundings)


def _clock(client: ESignerClient) -> Prerequisite:
    """One-time passwords go by SSL.com's clock here, as it says; other programs go by the machine's."""
    said = client.token.clock().removeprefix("; ")
    if abs(client.token.ahead) > _MOST_APART:
        return warned(CLOCK, said, "Correct the machine's clock (NTP): other programs' one-time passwords fail by it.")
    return passed(CLOCK, said or "this machine's clock is SSL.com's, to a few seconds")


def _credential(client: ESignerClient, options: ESignerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    try:
        credential = find_credential(client, options)
        scans = client.scans(credential.id)
    except KspSignError as error:
        about = PERMISSION if error.code == "ESIGNER_FORBIDDEN" else HOST if error.code in _BY_HOST else KEY
        yield failed(about, error)
        return
    leaf = parse_certificate(credential.chain[0])
    facts = [describe_key(leaf), "enabled", f"malware scan {'on' if scans else 'off'}"]
    facts.append("many hashes with one authorisation" if credential.several else "one hash with each authorisation")
    yield passed(KEY, f"credential {credential.id}: {', '.join(facts)}")
    try:
        check_totp(credential, client.login.totp)
    except KspSignError as error:
        yield failed(CREDENTIALS, error)
    yield not_checked(PERMISSION, "whether its one-time passwords are accepted shows only in a signature")
    yield from _certificate(credential, options, surroundings)


def _certificate(credential: Credential, options: ESignerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    try:
        check_valid(credential)
    except KspSignError as error:
        yield failed(CERTIFICATE, error)
        return
    yield from examine_chain(credential.chain, options, surroundings)
