"""Who holds the private key: a plain table from --key-store's words to stores, loaded when used."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from kspsign.keys.azure_identity.platform_name import find_platform_name
from kspsign.keys.protocol import KeyStore, OpenableKeyStore, SigningKey, check_digest
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.values import SyncedCertificate
from kspsign.settings.model import Settings

__all__ = ["KeyStore", "SigningKey", "check_digest", "open_key_store", "reopen_key_store"]


def open_key_store(settings: Settings, cancelled: threading.Event | None = None) -> KeyStore:
    """The key store that `settings` names, open; asking it for anything but a signature costs nothing.

    `cancelled` ends its waiting.

    Raises ConfigurationError when none is named or its options are missing, PrerequisiteError when it can't
    be used.
    """
    if settings.key_store is None:
        raise ConfigurationError(
            "no key store is named",
            remedy=f"Name it with --key-store ({', '.join(sorted(_STORES))}); it is never guessed.",
        )
    return _STORES[settings.key_store]().open(settings, cancelled or threading.Event())


def reopen_key_store(
    settings: Settings, certificate: SyncedCertificate, cancelled: threading.Event | None = None
) -> KeyStore:
    """The key store of a synchronised certificate, by its stored reference; a password comes from `settings`.

    A store that chooses the certificate for each signature may hold a renewed one of the same publisher.
    Raises PrerequisiteError when it can't be used any more or holds another certificate by now.
    """
    load = _STORES.get(certificate.key_store)
    if load is None:
        raise PrerequisiteError(
            f"certificate {certificate.thumbprint} is from key store {certificate.key_store!r}, "
            "which this version does not know",
            code="UNKNOWN_KEY_STORE",
            remedy="Run kspsign certsync again with this version, or update kspsign.",
        )
    key_store = load().reopen(certificate.key_reference, settings, cancelled or threading.Event())
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


def _embedded() -> type[OpenableKeyStore]:
    from kspsign.keys.local.embedded import EmbeddedKeyStore  # noqa: PLC0415 - loaded when used, for start-up

    return EmbeddedKeyStore


def _pkcs12() -> type[OpenableKeyStore]:
    from kspsign.keys.local.pkcs12 import Pkcs12KeyStore  # noqa: PLC0415 - loaded when used, for start-up

    return Pkcs12KeyStore


def _keylocker() -> type[OpenableKeyStore]:
    from kspsign.keys.keylocker.store import KeyLockerKeyStore  # noqa: PLC0415 - loaded when used, for start-up

    return KeyLockerKeyStore


def _azure_key_vault() -> type[OpenableKeyStore]:
    find_platform_name()
    try:
        from kspsign.keys.azure_key_vault.store import KeyVaultKeyStore  # noqa: PLC0415 - loaded when used, for start-up
    except ModuleNotFoundError as missing:
        raise PrerequisiteError(
            f"key store azure-key-vault needs Microsoft's clients, which are not installed ({missing.name})",
            code="AZURE_NOT_INSTALLED",
            remedy="pip install 'kspsign[azure]'; the Azure Pipelines task carries them.",
        ) from missing
    return KeyVaultKeyStore


def _pkcs11() -> type[OpenableKeyStore]:
    from kspsign.keys.pkcs11.store import Pkcs11KeyStore  # noqa: PLC0415 - loaded when used, for start-up

    return Pkcs11KeyStore


_STORES: dict[str, Callable[[], type[OpenableKeyStore]]] = {
    "embedded": _embedded,
    "pkcs12": _pkcs12,
    "keylocker": _keylocker,
    "azure-key-vault": _azure_key_vault,
    "pkcs11": _pkcs11,
}
