"""What the doctor asks of AWS KMS: from the credential to the certificate, each check by itself, no signature."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from kspsign.certificates.for_key import find_for_key
from kspsign.certificates.validity import EXPIRY_WARNING
from kspsign.keys.aws_kms.address import KeyAddress, find_address
from kspsign.keys.aws_kms.client import KmsClient
from kspsign.keys.aws_kms.key import KeyState, PublicKey, check_state
from kspsign.keys.aws_kms.options import AwsKmsOptions
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

_CHECKS: Final = (CREDENTIALS, SIGN_IN, HOST, PERMISSION, KEY, CERTIFICATE, NEWER)
_ABOUT: Final = {
    "AWS_SIGN_IN": SIGN_IN,
    "AWS_CLOCK": SIGN_IN,
    "AWS_ROLE": SIGN_IN,
    "OIDC_TOKEN": SIGN_IN,
    "AWS_KMS_FORBIDDEN": PERMISSION,
    "AWS_KMS_UNREACHABLE": HOST,
    "AWS_KMS_UNAVAILABLE": HOST,
    "AWS_KMS_THROTTLED": HOST,
    "AWS_KMS_ANSWER": HOST,
}
"""The check that a refusal is about; any other is about the key."""


def examine_aws_kms(options: AwsKmsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with a key of AWS KMS."""
    yield from completed(_CHECKS, _examined(options, surroundings))
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)


def _examined(options: AwsKmsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    address: KeyAddress | None = None
    try:
        options.certificate_place("aws-kms", "AWS KMS")
        address = find_address(options, surroundings.environment)
    except ConfigurationError as error:
        yield failed(OPTIONS, error)
    if address is None:
        return
    try:
        client = KmsClient.connect(address, options, surroundings)
    except ConfigurationError as error:
        yield failed(CREDENTIALS, error)
        return
    with contextlib.closing(client):
        yield passed(CREDENTIALS, f"complete: {client.credential.who}")
        try:
            client.credential.get()
        except KspSignError as error:
            yield failed(SIGN_IN, error)
            return
        yield from _service(client, options, surroundings)


def _service(client: KmsClient, options: AwsKmsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    try:
        key = client.public_key()
        state = client.state(key)
    except KspSignError as error:
        about = _ABOUT.get(error.code, KEY)
        if about not in {HOST, SIGN_IN}:
            yield passed(SIGN_IN, "AWS accepts the credential")
        if about != HOST:
            yield passed(HOST, _answers(client))
        yield failed(about, error)
        return
    yield passed(SIGN_IN, "AWS accepts the credential")
    yield passed(HOST, _answers(client))
    yield from _key(client, key, state)
    yield from _certificate(key, options, surroundings)


def _answers(client: KmsClient) -> str:
    return f"{client.address.endpoint} answers, and its TLS certificate is trusted"


def _key(client: KmsClient, key: PublicKey, state: KeyState | None) -> Iterator[Prerequisite]:
    """Whether it is enabled, and whether a signature would be made."""
    detail = f"{key.arn}: {key.spec}"
    if state is None:
        yield not_checked(KEY, f"{detail}; this identity may not read whether it is enabled (kms:DescribeKey)")
    else:
        try:
            check_state(key, state)
        except KspSignError as error:
            yield failed(KEY, error)
            return
        detail += ", enabled, signs"
        end = state.valid_to
        if end is not None and end < datetime.now(UTC) + EXPIRY_WARNING:
            remedy = "Import the key material again before that day."
            yield warned(KEY, f"{detail}; its imported key material expires on {iso_utc(end)}", remedy)
        else:
            yield passed(KEY, detail)
    try:
        client.may_sign(key, min(key.digests))
    except KspSignError as error:
        yield failed(_ABOUT.get(error.code, KEY), error)
        return
    yield passed(PERMISSION, "this identity may sign with the key (a dry run, which makes no signature)")


def _certificate(key: PublicKey, options: AwsKmsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    try:
        found = find_for_key(
            options.certificate_place("aws-kms", "AWS KMS"), key.der, f"the KMS key {key.arn}", options.thumbprint
        )
    except KspSignError as error:
        yield failed(CERTIFICATE, error)
        return
    yield from examine_chain(found.chain, options, surroundings)
    yield examine_newer(found.remarks, superseded=found.superseded)
