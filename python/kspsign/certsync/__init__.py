"""Stage 1: synchronise a certificate to this agent, so that everything after works by its thumbprint."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from kspsign.certificates.facts import certificate_facts
from kspsign.certificates.parse import parse_certificate
from kspsign.certificates.validity import expires_soon
from kspsign.certsync.portable_store import list_entries, read_entry, write_entry
from kspsign.keys import OpenStore, find_store, open_store, options_for
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.values import SyncedCertificate, iso_utc
from kspsign.settings.model import Settings

__all__ = ["certificate_facts", "list_entries", "read_entry", "synchronise", "write_entry"]


def synchronise(
    settings: Settings,
    notice: Callable[[str], object] | None = None,
    cancelled: threading.Event | None = None,
) -> SyncedCertificate:
    """The certificate to sign with; costs no signature. `notice` is told what people should know but need not act on.

    `cancelled` ends the key store's waiting.

    With a key store it is fetched and kept in the thumbprint store, with a thumbprint alone it is read from
    there. A dry run asks nobody for a certificate that is known by its thumbprint, and keeps none. Raises
    ConfigurationError when neither is given, PrerequisiteError when a store can't be used, the thumbprint is not
    known, or the key store's certificate has another one.
    """
    if settings.dry_run and (known := _known(settings)) is not None:
        return known
    if settings.key_store is None or _is_known_by_thumbprint_alone(settings):
        if settings.thumbprint is None:
            raise ConfigurationError(
                "neither a key store nor a thumbprint is given",
                remedy="Name the key store with --key-store, or a known certificate with --thumbprint.",
            )
        return read_entry(settings.store_folder, settings.thumbprint)
    certificate = _fetched(settings, notice or _unheard, cancelled)
    if settings.thumbprint not in {None, certificate.thumbprint}:
        raise PrerequisiteError(
            f"thumbprint {settings.thumbprint} was asked for, but the certificate of key store "
            f"{certificate.key_store} has {certificate.thumbprint}",
            code="WRONG_THUMBPRINT",
            remedy="Correct --thumbprint (was the certificate renewed?) or name the key pair that has it.",
        )
    if not settings.dry_run:
        write_entry(settings.store_folder, certificate)
    _say_end(certificate, notice or _unheard)
    return certificate


def _known(settings: Settings) -> SyncedCertificate | None:
    """What the thumbprint store has for the thumbprint that was given."""
    entries = list_entries(settings.store_folder)
    return next((each for each in entries if each.thumbprint == settings.thumbprint), None)


def _unheard(_text: str) -> None:
    """Nobody listens."""


def _say_end(certificate: SyncedCertificate, notice: Callable[[str], object]) -> None:
    leaf, now = parse_certificate(certificate.chain[0]), datetime.now(UTC)
    if not certificate.test_signing and expires_soon(leaf, now):
        end = leaf.not_valid_after_utc
        notice(
            f"certificate {certificate.thumbprint} ends on {iso_utc(end)}, in {(end - now).days} days: renew it in time"
        )


def _fetched(
    settings: Settings, notice: Callable[[str], object], cancelled: threading.Event | None
) -> SyncedCertificate:
    key_store = open_store(settings, cancelled, notice)
    try:
        return _describe(key_store, settings)
    finally:
        key_store.close()


def _is_known_by_thumbprint_alone(settings: Settings) -> bool:
    """--key-store pkcs12 with a thumbprint but no file means the file that was synchronised before."""
    return options_for(settings, find_store(settings)).means_synchronised


def _describe(key_store: OpenStore, settings: Settings) -> SyncedCertificate:
    chain = key_store.certificate_chain()
    return SyncedCertificate(
        thumbprint=hashlib.sha1(chain[0], usedforsecurity=False).hexdigest().upper(),
        chain=chain,
        alias=options_for(settings, find_store(settings)).keypair_alias or key_store.alias,
        key_store=key_store.name,
        key_reference=key_store.key_reference(),
        test_signing=key_store.test_signing,
    )
