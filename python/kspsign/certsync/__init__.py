"""Stage 1: synchronise a certificate to this agent, so that everything after works by its thumbprint."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from kspsign.certificates.choice import superseded
from kspsign.certificates.facts import certificate_facts
from kspsign.certificates.parse import parse_certificate, thumbprint_of
from kspsign.certificates.validity import is_short_lived
from kspsign.certsync.portable_store import list_entries, read_entry, write_entry
from kspsign.keys.open import engine_for, find_store, open_key_store, open_store, options_for, reopen_key_store
from kspsign.keys.protocol import KeyStore, Notice, OpenStore, SigningKey, superseded_warning
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.report import RunWarning
from kspsign.model.values import SyncedCertificate
from kspsign.settings.model import Settings

__all__ = [
    "certificate_facts",
    "key_store_name",
    "list_entries",
    "newer_synchronised",
    "open_key",
    "read_entry",
    "synchronise",
    "write_entry",
]


def synchronise(
    settings: Settings,
    notice: Notice | None = None,
    cancelled: threading.Event | None = None,
) -> SyncedCertificate:
    """The certificate to sign with; costs no signature. `notice` receives what people should know but need not act on.

    `cancelled` ends the key store's waiting.

    With a key store it is fetched and kept in the thumbprint store, with a thumbprint alone it is read from
    there. A dry run makes no request for a certificate that is known by its thumbprint, and stores none. Raises
    ConfigurationError when neither is given, PrerequisiteError when a store can't be used, the thumbprint is not
    known, or the key store's certificate has another one.
    """
    known = _known(settings)
    if known is not None:
        _warn_of_newer(settings, known, notice or _unheard)
        return known
    with _fetched(settings, notice or _unheard, cancelled or threading.Event()) as key:
        return key.certificate


@contextlib.contextmanager
def open_key(settings: Settings, notice: Notice, cancelled: threading.Event) -> Iterator[SigningKey]:
    """The certificate to sign with, as `synchronise` finds it, and its key store, open until the end.

    A key store that certsync opened is the one that signs. By a thumbprint alone it is reopened, unless nothing is to
    be signed; the certificate is then the one that it holds now. Raises what `synchronise` does, and PrerequisiteError
    when the key store holds another certificate by now.
    """
    known = _known(settings)
    if known is None:
        with _fetched(settings, notice, cancelled) as key:
            yield key
        return
    _warn_of_newer(settings, known, notice)
    if settings.dry_run or engine_for(settings, known) != "native":
        yield SigningKey(known)
    else:
        with contextlib.closing(reopen_key_store(settings, known, cancelled)) as store:
            yield SigningKey(_renewed(known, store, notice), store)


def key_store_name(settings: Settings) -> str | None:
    """The key store of this run: the one that is named, else that of the synchronised certificate, if it is known."""
    if settings.key_store is not None or settings.thumbprint is None:
        return settings.key_store
    entries = list_entries(settings.store_folder)
    return next((entry.key_store for entry in entries if entry.thumbprint == settings.thumbprint), None)


def _known(settings: Settings) -> SyncedCertificate | None:
    """The certificate that no key store need be asked for; None when one is to be asked."""
    if settings.dry_run:
        entries = list_entries(settings.store_folder)
        found = next((entry for entry in entries if entry.thumbprint == settings.thumbprint), None)
        if found is not None:
            return found
    if settings.key_store is not None and not _is_known_by_thumbprint_alone(settings):
        return None
    if settings.thumbprint is None:
        raise ConfigurationError(
            "neither a key store nor a thumbprint is given",
            remedy="Name the key store with --key-store, or a known certificate with --thumbprint.",
        )
    return read_entry(settings.store_folder, settings.thumbprint)


def _renewed(known: SyncedCertificate, store: KeyStore, notice: Notice) -> SyncedCertificate:
    """`known` with the chain that `store` holds now."""
    chain = store.certificate_chain()
    if chain[0] == known.chain[0]:
        return known
    renewed = known._replace(thumbprint=thumbprint_of(chain[0]), chain=chain)
    notice(f"certificate {known.thumbprint} was renewed: key store {known.key_store} signs with {renewed.thumbprint}")
    return renewed


def newer_synchronised(store_folder: Path, known: SyncedCertificate) -> tuple[str, ...]:
    """A remark on a certificate that a thumbprint names although a later one of the same key was synchronised."""

    def same_key(entry: SyncedCertificate) -> bool:
        return entry.key_store == known.key_store and entry.alias is not None and entry.alias == known.alias

    leaf = parse_certificate(known.chain[0])
    try:
        entries = list_entries(store_folder) if not is_short_lived(leaf) else ()
    except PrerequisiteError:
        return ()  # damage to another entry does not concern this certificate
    siblings = [parse_certificate(entry.chain[0]) for entry in entries if same_key(entry)]
    where = f"key {known.alias} of key store {known.key_store}"
    return superseded(leaf, siblings, datetime.now(UTC), where)


def _warn_of_newer(settings: Settings, known: SyncedCertificate, notice: Notice) -> None:
    for remark in newer_synchronised(settings.store_folder, known):
        notice(superseded_warning(remark))


def _unheard(_said: str | RunWarning) -> None:
    """Nobody listens."""


@contextlib.contextmanager
def _fetched(settings: Settings, notice: Notice, cancelled: threading.Event) -> Iterator[SigningKey]:
    """The key store's certificate, checked against --thumbprint and kept in the thumbprint store."""
    with contextlib.ExitStack() as opened:
        key = _asked(settings, notice, cancelled, opened)
        certificate = key.certificate
        if settings.thumbprint not in {None, certificate.thumbprint}:
            raise PrerequisiteError(
                f"thumbprint {settings.thumbprint} was asked for, but the certificate of key store "
                f"{certificate.key_store} has {certificate.thumbprint}",
                code="WRONG_THUMBPRINT",
                remedy="Correct --thumbprint (was the certificate renewed?) or name the key pair that has it.",
            )
        if not settings.dry_run:
            write_entry(settings.store_folder, certificate)
        yield key


def _asked(settings: Settings, notice: Notice, cancelled: threading.Event, opened: contextlib.ExitStack) -> SigningKey:
    alias = options_for(settings, find_store(settings)).keypair_alias
    if find_store(settings).signs_natively:
        store = opened.enter_context(contextlib.closing(open_key_store(settings, cancelled, notice)))
        return SigningKey(_describe(store, alias), store)
    with contextlib.closing(open_store(settings, cancelled, notice)) as found:
        return SigningKey(_describe(found, alias))


def _is_known_by_thumbprint_alone(settings: Settings) -> bool:
    """--key-store pkcs12 with a thumbprint but no file means the file that was synchronised before."""
    return options_for(settings, find_store(settings)).means_synchronised


def _describe(key_store: OpenStore, alias: str | None) -> SyncedCertificate:
    chain = key_store.certificate_chain()
    return SyncedCertificate(
        thumbprint=thumbprint_of(chain[0]),
        chain=chain,
        alias=alias or key_store.alias,
        key_store=key_store.name,
        key_reference=key_store.key_reference(),
        test_signing=key_store.test_signing,
    )
