"""The checks of a certificate that an earlier certsync left on this agent: its key store is opened as signing does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from kspsign.certsync import newer_synchronised
from kspsign.keys.open import reopen_key_store
from kspsign.keys.prerequisites import (
    CERTIFICATE,
    COSTS_A_SIGNATURE,
    KEY,
    NEWER,
    TEST_SIGNATURE,
    Prerequisite,
    examine_certificate,
    examine_newer,
    failed,
    not_checked,
    passed,
)
from kspsign.model.errors import KspSignError
from kspsign.model.values import SyncedCertificate
from kspsign.settings.model import Settings


def examine_synchronised(settings: Settings, certificate: SyncedCertificate) -> Iterator[Prerequisite]:
    """Whether its key store still opens and holds its key; how long it is valid. Nothing is signed."""
    try:
        store = reopen_key_store(settings, certificate)
    except KspSignError as error:
        yield failed(KEY, error)
        yield not_checked(CERTIFICATE, f'needs "{KEY}", which failed')
        return
    with contextlib.closing(store):
        named = "" if certificate.alias is None else f" ({certificate.alias})"
        yield passed(KEY, f"{certificate.key_store} opens and holds the key{named} of an earlier certsync")
        fixed = store.capabilities.fixed_certificate
        yield examine_certificate(certificate.chain if fixed else store.certificate_chain())
    newer = newer_synchronised(settings.store_folder, certificate)
    if newer:
        yield examine_newer(newer, superseded=True)
    else:
        yield not_checked(
            NEWER, "--thumbprint means the certificate of an earlier certsync; certsync looks for newer ones"
        )
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)
