"""What the doctor asks of SignServer: its health, and a hash of no bytes, which a worker refuses to sign.

SignServer looks at the worker, at the client and at the settings of client-side hashing before it looks at the hash,
and says then that its length does not fit: so all of it is seen, and the key is not used.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

from kspsign.certificates.for_key import find_end_entity
from kspsign.certificates.public_key import check_signing_key
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
from kspsign.keys.signserver import errors
from kspsign.keys.signserver.client import SignServerClient, WorkerAddress
from kspsign.keys.signserver.credentials import SignServerCredentials
from kspsign.keys.signserver.options import SignServerOptions
from kspsign.keys.signserver.store import certificate_place
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError

_CHECKS: Final = (CREDENTIALS, HOST, SIGN_IN, PERMISSION, KEY, CERTIFICATE, NEWER)
_LENGTH: Final = re.compile("length", re.IGNORECASE)
_ABOUT: Final = {
    errors.SIGN_IN.code: SIGN_IN,
    "SIGNSERVER_FORBIDDEN": PERMISSION,
    errors.UNREACHABLE.code: HOST,
    "SIGNSERVER_UNAVAILABLE": HOST,
    "SIGNSERVER_THROTTLED": HOST,
    errors.ANSWER.code: HOST,
    "SIGNSERVER_CERTIFICATE": CERTIFICATE,
}
"""The check that a refusal is about; any other is about the worker."""


def examine_signserver(options: SignServerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with a worker."""
    yield from completed(_CHECKS, _examined(options, surroundings))
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)


def _examined(options: SignServerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    try:
        place, address = certificate_place(options), WorkerAddress.find(options)
    except ConfigurationError as error:
        yield failed(OPTIONS, error)
        return
    try:
        credentials = SignServerCredentials.read(surroundings.environment)
        client = SignServerClient(address, credentials, surroundings)
    except KspSignError as error:
        yield failed(CREDENTIALS, error)
        return
    with contextlib.closing(client):
        yield passed(CREDENTIALS, f"complete: {credentials.shown}")
        yield from _worker(client, credentials)
    try:
        found = find_end_entity(place, f"worker {address.worker}", options.thumbprint)
        check_signing_key(found.leaf)
    except PrerequisiteError as error:
        yield failed(CERTIFICATE, error)
        return
    yield from examine_chain(found.chain, options, surroundings)
    yield examine_newer(found.remarks, superseded=found.superseded)


def _worker(client: SignServerClient, credentials: SignServerCredentials) -> Iterator[Prerequisite]:
    address, asked = client.address, "whether the worker signs hashes"
    try:
        answer = client.probe(asked)
    except PrerequisiteError as silence:
        yield failed(HOST, silence)
        return
    said = errors.error_in(answer)
    refused = answer.status == 400 and said is not None and _LENGTH.search(said) is not None
    error = None if refused or answer.status == 200 else errors.refused(answer, asked, PrerequisiteError)
    about = _ABOUT.get(error.code, KEY) if error is not None else KEY
    if about != HOST:
        yield passed(HOST, f"{address.url} answers{_health(client)}")
    if error is not None:
        if about == KEY and error.code != errors.NOT_FOUND.code:
            yield not_checked(SIGN_IN, "the worker refuses before it shows whether it admits this client")
        yield failed(about, error)
        return
    if not refused:
        wrong = "signed a hash of no bytes: it is not a worker for client-side hashing"
        remedy = "Name a PlainSigner worker with CLIENTSIDEHASHING=true."
        yield Prerequisite(KEY, "failed", f"worker {address.worker} {wrong}", remedy, "SIGNSERVER_HASHING")
        return
    yield passed(SIGN_IN, f"the worker admits this client ({credentials.shown})")
    yield passed(PERMISSION, "this client may have hashes signed")
    yield passed(KEY, f"worker {address.worker} signs hashes (client-side hashing), SHA-256 among them")


def _health(client: SignServerClient) -> str:
    """What the health check says, where this machine may ask."""
    answer = client.health()
    if isinstance(answer, Silence) or answer.status in {401, 403, 404}:
        return "; its health check is not for this machine"
    text = answer.body[:200].decode("utf-8", "replace").strip()
    return ", and it is healthy" if answer.status == 200 and text == "ALLOK" else "; its health check reports a fault"
