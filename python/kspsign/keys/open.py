"""Opens the key stores of `kspsign.keys.table`, each loaded when it is used."""

from __future__ import annotations

import contextlib
import threading

from kspsign.keys.protocol import (
    KeyStore,
    Notice,
    OpenStore,
    Surroundings,
    no_notice,
)
from kspsign.keys.table import STORES, StoreEntry
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.values import SyncedCertificate
from kspsign.settings.model import DEFAULT_TIMESTAMP_URLS, EngineName, Settings
from kspsign.settings.store_options import StoreOptions, make_options


def find_store(settings: Settings) -> StoreEntry:
    """The key store that `settings` name. Raises ConfigurationError when none is named or it is unknown."""
    if settings.key_store is None:
        raise ConfigurationError(
            "no key store is named",
            remedy=f"Name it with --key-store ({', '.join(sorted(STORES.names))}); it is never guessed.",
        )
    return STORES.find(settings.key_store)


def open_store(settings: Settings, cancelled: threading.Event | None = None, notice: Notice = no_notice) -> OpenStore:
    """The key store that `settings` name, open, whatever engine signs with it; costs no signature.

    `cancelled` ends its waiting; `notice` is given what people should know.

    Raises ConfigurationError when none is named or its options are missing, PrerequisiteError when it can't be used.
    """
    entry = find_store(settings)
    return entry.load_kind().open(*_given(entry, settings, cancelled, notice))


def open_key_store(
    settings: Settings, cancelled: threading.Event | None = None, notice: Notice = no_notice
) -> KeyStore:
    """The key store that `settings` name, for the native engine. Raises like `open_store`."""
    entry = find_store(settings)
    return entry.key_store_kind().open(*_given(entry, settings, cancelled, notice))


def reopen_key_store(
    settings: Settings, certificate: SyncedCertificate, cancelled: threading.Event | None = None
) -> KeyStore:
    """The key store of a synchronised certificate, by its stored reference; a password comes from `settings`.

    A store that chooses the certificate for each signature may hold a renewed one of the same publisher.
    Raises PrerequisiteError when it can't be used any more or holds another certificate by now.
    """
    entry = _store_of(certificate)
    options = options_for(settings, entry, certificate.thumbprint)
    surroundings = surroundings_of(settings, options, cancelled or threading.Event(), no_notice)
    key_store = entry.key_store_kind().reopen(certificate.key_reference, options, surroundings)
    with contextlib.ExitStack() as undone:
        undone.callback(key_store.close)
        if not _still_holds(key_store, certificate):
            raise PrerequisiteError(
                f"key store {certificate.key_store} does not hold certificate {certificate.thumbprint} any more",
                code="KEY_STORE_CHANGED",
                remedy="Run kspsign certsync again and sign with the thumbprint that it prints.",
            )
        undone.pop_all()
    return key_store


def _still_holds(key_store: KeyStore, certificate: SyncedCertificate) -> bool:
    leaf = key_store.certificate_chain()[0]
    if key_store.capabilities.fixed_certificate:
        return leaf == certificate.chain[0]
    from kspsign.certificates.identity import PublisherIdentity  # noqa: PLC0415 - it brings cryptography

    return PublisherIdentity.of(leaf).is_same(PublisherIdentity.of(certificate.chain[0]))


def engine_for(settings: Settings, certificate: SyncedCertificate) -> EngineName:
    """Which engine signs with this certificate: --engine, else the key store's first.

    Raises ConfigurationError when the engine does not reach the key, PrerequisiteError when its store is unknown.
    """
    return _store_of(certificate).engine(settings.engine)


def timestamp_urls(settings: Settings, key_store: str | None) -> tuple[str, ...]:
    """The servers that stamp what `key_store` signs, in their order: those that are named, else the default ones,
    after the key store's own.

    Raises ConfigurationError when no server shall stamp what is worth nothing without.
    """
    options = _options_model(key_store)
    if settings.no_timestamp:
        if options is not None and options.needs_timestamp:
            raise ConfigurationError(
                f"--no-timestamp: a certificate of key store {key_store} lasts days, and a signature without timestamp "
                "ends with it",
                code="TIMESTAMP_NEEDED",
                remedy="Leave --no-timestamp out.",
            )
        return ()
    if settings.timestamp_url:
        return settings.timestamp_url
    first = options.timestamp_server if options is not None else None
    others = (url for url in DEFAULT_TIMESTAMP_URLS if url != first)
    return (*((first,) if first is not None else ()), *others)


def check_options(settings: Settings) -> None:
    """Raise ConfigurationError for options of the run's key store that can be seen to be wrong before anybody is
    asked."""
    if settings.key_store is not None:
        options_for(settings, find_store(settings)).check()


def options_for(settings: Settings, entry: StoreEntry, thumbprint: str | None = None) -> StoreOptions:
    """The options of this store: those of the run if it is the run's, else from the keys that were given.

    `thumbprint` is of a certificate that was synchronised, None for the run's. Raises ConfigurationError when they are
    wrong.
    """
    model = entry.load_options()
    if settings.key_store == entry.name and isinstance(settings.store_options, model):
        return settings.store_options
    return make_options(model, {**settings.given_options, "thumbprint": thumbprint or settings.thumbprint})


def surroundings_of(
    settings: Settings, options: StoreOptions, cancelled: threading.Event, notice: Notice
) -> Surroundings:
    """The part of `settings` that the store of these options receives: no secrets of other stores."""
    return Surroundings(
        cancelled=cancelled,
        store_folder=settings.store_folder,
        notice=notice,
        temp_folder=settings.temp_folder,
        jobs=settings.jobs,
        environment={name: value for name, value in settings.store_environment.items() if options.reads(name)},
        credentials=settings.credentials if options.program_credentials else {},
        agent_environment=settings.agent_environment,
        signtool=settings.signtool,
        smctl=settings.smctl,
        engine=settings.engine,
        network=settings.network,
    )


def _given(
    entry: StoreEntry, settings: Settings, cancelled: threading.Event | None, notice: Notice
) -> tuple[StoreOptions, Surroundings]:
    options = options_for(settings, entry)
    return options, surroundings_of(settings, options, cancelled or threading.Event(), notice)


def _options_model(key_store: str | None) -> type[StoreOptions] | None:
    """The options of a key store; what is wrong with its name or package is said where it is opened."""
    if key_store is None:
        return None
    with contextlib.suppress(ConfigurationError, PrerequisiteError):
        return STORES.find(key_store).load_options()
    return None


def _store_of(certificate: SyncedCertificate) -> StoreEntry:
    try:
        return STORES.find(certificate.key_store)
    except ConfigurationError as unknown:
        raise PrerequisiteError(
            f"certificate {certificate.thumbprint} is from key store {certificate.key_store!r}, "
            "which this version does not know",
            code="UNKNOWN_KEY_STORE",
            remedy="Run kspsign certsync again with this version, or update kspsign.",
        ) from unknown
