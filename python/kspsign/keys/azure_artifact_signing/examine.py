"""What the doctor asks of Azure Artifact Signing: the certificates are free, and show sign-in, names and role."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509

from kspsign.certificates.parse import display_name, parse_certificate
from kspsign.certificates.public_key import describe_key
from kspsign.certificates.validity import is_for_lifetime_signing
from kspsign.keys.azure_artifact_signing.examine_dlib import DLIB_CHECKS, examine_dlib
from kspsign.keys.azure_artifact_signing.metadata import find_target
from kspsign.keys.azure_artifact_signing.options import ArtifactSigningOptions
from kspsign.keys.azure_identity.credential import who_signs_in
from kspsign.keys.azure_identity.sign_in import check_sign_in
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
    failed,
    not_checked,
    passed,
)
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError, KspSignError
from kspsign.model.values import iso_utc

if TYPE_CHECKING:
    from kspsign.keys.azure_artifact_signing.store import ArtifactSigningStore

_CHECKS: Final = (CREDENTIALS, SIGN_IN, HOST, PERMISSION, KEY, CERTIFICATE)
_ABOUT: Final = {
    "ARTIFACT_SIGNING_FORBIDDEN": PERMISSION,
    "ARTIFACT_SIGNING_TOKEN": SIGN_IN,
    "ARTIFACT_SIGNING_NOT_FOUND": KEY,
    "UNSUPPORTED_KEY": KEY,
}
"""The check that a refusal is about; any other is about the host."""


def examine_artifact_signing(
    kind: type[ArtifactSigningStore], options: ArtifactSigningOptions, surroundings: Surroundings
) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with a certificate profile; `kind` opens it."""
    programs = surroundings.engine == "signtool"
    expected = (*(DLIB_CHECKS if programs else ()), *_CHECKS)
    yield from completed(expected, _examined(kind, options, surroundings))
    yield not_checked(NEWER, "the service renews the certificate every day, and signs with the newest")
    yield not_checked(QUOTA, "the service does not say how many the month's plan has left; the Azure portal does")
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)


def _examined(
    kind: type[ArtifactSigningStore], options: ArtifactSigningOptions, surroundings: Surroundings
) -> Iterator[Prerequisite]:
    try:
        target = find_target(options, surroundings.environment)
    except KspSignError as error:
        yield failed(OPTIONS, error)
        return
    if surroundings.engine == "signtool":
        yield from examine_dlib(options, surroundings, target)
    try:
        check_sign_in(options, surroundings)
        who = who_signs_in(options, surroundings, target.excluded)
        store = kind.open(options, surroundings)
    except ConfigurationError as error:
        yield failed(OPTIONS if options.thumbprint is not None else CREDENTIALS, error)
        return
    with contextlib.closing(store):
        yield passed(CREDENTIALS, f"complete: {who}")
        yield from _service(store)


def _service(store: ArtifactSigningStore) -> Iterator[Prerequisite]:
    """Sign-in, then the certificates of the next signature."""
    try:
        yield passed(SIGN_IN, store.sign_in())
    except KspSignError as error:
        yield failed(SIGN_IN, error)
        return
    try:
        chain = store.certificate_chain()
    except KspSignError as error:
        about = _ABOUT.get(error.code, HOST)
        if about != HOST:
            yield passed(HOST, f"{store.endpoint} answers")
        yield failed(about, error)
        return
    leaf = parse_certificate(chain[0])
    yield passed(HOST, f"{store.endpoint} answers, and its TLS certificate is trusted")
    yield passed(KEY, f"profile {store.alias}: {describe_key(leaf)}")
    yield not_checked(PERMISSION, "the identity may read the profile; only a signature shows whether it may sign")
    yield _certificate(leaf, chain)


def _certificate(leaf: x509.Certificate, chain: tuple[bytes, ...]) -> Prerequisite:
    """The certificate that would sign now: that it ends in days is as it should be."""
    now, begin, end = datetime.now(UTC), leaf.not_valid_before_utc, leaf.not_valid_after_utc
    period = f"{display_name(leaf)}, valid from {iso_utc(begin)} to {iso_utc(end)}; the service renews it every day"
    if not begin <= now <= end:
        remedy = "Correct the agent's clock; else look at the profile in the Azure portal: it must be Active."
        return Prerequisite(CERTIFICATE, "failed", f"{period}, and not valid now", remedy, "CERTIFICATE_NOT_VALID")
    if is_for_lifetime_signing(leaf):
        remedy = "Sign releases with a profile of type Public Trust."
        detail = f"{period}; a test profile, which no machine trusts"
        return Prerequisite(CERTIFICATE, "warning", detail, remedy, chain=chain)
    return Prerequisite(CERTIFICATE, "ok", period, chain=chain)
