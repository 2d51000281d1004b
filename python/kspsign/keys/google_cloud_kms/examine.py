"""What the doctor asks of Google Cloud KMS: from the credential to the certificate, each check by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from kspsign.keys.google_cloud_kms.address import KeyName, find_key_name
from kspsign.keys.google_cloud_kms.client import GoogleKmsClient
from kspsign.keys.google_cloud_kms.options import GoogleKmsOptions
from kspsign.keys.google_cloud_kms.store import FoundVersion, find_version
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
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError

_CHECKS: Final = (CREDENTIALS, SIGN_IN, HOST, PERMISSION, KEY, CERTIFICATE, NEWER)
_ABOUT: Final = {
    "GOOGLE_SIGN_IN": SIGN_IN,
    "OIDC_TOKEN": SIGN_IN,
    "GOOGLE_KMS_FORBIDDEN": PERMISSION,
    "GOOGLE_KMS_UNREACHABLE": HOST,
    "GOOGLE_KMS_UNAVAILABLE": HOST,
    "GOOGLE_KMS_THROTTLED": HOST,
    "GOOGLE_KMS_ANSWER": HOST,
    "KEY_MISMATCH": CERTIFICATE,
    "CERTIFICATE_NOT_VALID": CERTIFICATE,
    "CERTIFICATE_FILE": CERTIFICATE,
}
"""The check that a refusal is about; any other is about the key."""
_UNSEEN: Final = "this identity may read the public key; only a signature shows whether it may sign"


def examine_google_kms(options: GoogleKmsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with a key of Google Cloud KMS."""
    yield from completed(_CHECKS, _examined(options, surroundings))
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)


def _examined(options: GoogleKmsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    name: KeyName | None = None
    try:
        options.certificate_place("google-cloud-kms", "Google Cloud KMS")
        name = find_key_name(options)
    except ConfigurationError as error:
        yield failed(OPTIONS, error)
    if name is None:
        return
    try:
        client = GoogleKmsClient.connect(name, options, surroundings)
    except (ConfigurationError, PrerequisiteError) as error:
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


def _service(client: GoogleKmsClient, options: GoogleKmsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    try:
        found = find_version(
            client, options.certificate_place("google-cloud-kms", "Google Cloud KMS"), options.thumbprint
        )
    except KspSignError as error:
        about = _ABOUT.get(error.code, KEY)
        if about not in {HOST, SIGN_IN}:
            yield passed(SIGN_IN, "Google Cloud issued a token, and accepts it")
        if about != HOST:
            yield passed(HOST, f"{client.name.endpoint} answers")
        if about == CERTIFICATE:
            yield passed(KEY, f"{client.name.resource} is enabled")
        yield failed(about, error)
        return
    yield passed(SIGN_IN, "Google Cloud issued a token, and accepts it")
    yield passed(HOST, f"{client.name.endpoint} answers, and its TLS certificate is trusted")
    key = found.key
    yield passed(KEY, "; ".join((f"{key.name}: {key.algorithm}, {key.protection}, signs", *found.remarks)))
    yield not_checked(PERMISSION, _UNSEEN)
    yield from _certificate(found, options, surroundings)


def _certificate(found: FoundVersion, options: GoogleKmsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    yield from examine_chain(found.certificate.chain, options, surroundings)
    yield examine_newer(found.certificate.remarks, superseded=found.certificate.superseded)
