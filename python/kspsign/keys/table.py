"""The table of key stores: every store that is built in, and those that other packages install.

A store is named by strings ("module:Class"), so that a run loads one of them and start-up none. Another package adds
a store by an entry point of the group `kspsign.key_stores`; those are looked up when a name is not in the table, and
where all stores are listed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.load import load
from kspsign.model.suggest import suggest
from kspsign.settings.model import EngineName, Settings
from kspsign.settings.store_options import StoreOptions

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from kspsign.keys.protocol import KeyStoreKind, StoreKind

ENTRY_POINTS = "kspsign.key_stores"
_NATIVE: EngineName = "native"


class StoreEntry(NamedTuple):
    """One key store. `title` names it for people, `holds` says where the key is.

    `engines` are those that reach the key, the one of `--engine auto` first. `load_options` and `load_kind` import.
    """

    name: str
    title: str
    holds: str
    engines: tuple[EngineName, ...]
    load_options: Callable[[], type[StoreOptions]]
    load_kind: Callable[[], StoreKind]

    @property
    def signs_natively(self) -> bool:
        """Whether the native engine asks the store for signatures; else a vendor's program reaches the key (KSP)."""
        return _NATIVE in self.engines

    def engine(self, wanted: EngineName) -> EngineName:
        """The engine for `--engine wanted`. Raises ConfigurationError when it does not reach the key."""
        if wanted == "auto":
            return self.engines[0]
        if wanted not in self.engines:
            raise ConfigurationError(
                f"engine {wanted} can't reach a key in key store {self.name}",
                remedy=f"Leave --engine out, or choose {' or '.join(self.engines)}.",
            )
        return wanted

    def key_store_kind(self) -> KeyStoreKind:
        """The store for the native engine. Raises ConfigurationError when it does not sign with this store."""
        self.engine(_NATIVE)
        return cast("KeyStoreKind", self.load_kind())


class StoreTable:
    """The built-in stores and, when asked for, the installed ones. Satisfies `StoreModels`."""

    def __init__(self, *entries: StoreEntry) -> None:
        self.entries: Mapping[str, StoreEntry] = {entry.name: entry for entry in entries}

    def find(self, name: str) -> StoreEntry:
        """The store `name`; one that is built in hides an installed one of its name.

        Raises ConfigurationError when there is none, with those that there are; PrerequisiteError when its package
        can't be loaded.
        """
        if name in self.entries:
            return self.entries[name]
        point = self.entry_points.get(name)
        if point is None:
            raise ConfigurationError(
                f"--key-store: {self.unknown(name)}",
                remedy="Correct --key-store, or install the package that brings it.",
            )
        return _installed(point, self)

    def unknown(self, name: str) -> str:
        """The message for a name that is not in the table."""
        near = suggest(name, self.names, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{name!r} is not a key store; known are {', '.join(self.names)}{hint}"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all stores, installed ones last."""
        return (*self.entries, *(name for name in sorted(self.entry_points) if name not in self.entries))

    @cached_property
    def entry_points(self) -> Mapping[str, EntryPoint]:
        """The installed stores by name, none of them loaded; milliseconds."""
        from importlib.metadata import entry_points  # noqa: PLC0415 - most runs need none

        return {point.name: point for point in entry_points(group=ENTRY_POINTS)}

    def installed_entries(self) -> Iterator[tuple[str, StoreEntry | PrerequisiteError]]:
        """Every installed store, or why it can't be loaded."""
        for name in self.names[len(self.entries) :]:
            try:
                yield name, self.find(name)
            except PrerequisiteError as broken:
                yield name, broken

    def built_in(self) -> Mapping[str, type[StoreOptions]]:
        """See StoreModels."""
        return {name: entry.load_options() for name, entry in self.entries.items()}

    def model(self, name: str) -> type[StoreOptions]:
        """See StoreModels."""
        return self.find(name).load_options()

    def of_certificate(self, store_folder: Path, thumbprint: str) -> type[StoreOptions] | None:
        """See StoreModels."""
        from kspsign.certificates.record import recorded_key_store  # noqa: PLC0415 - most runs name their key store

        name = recorded_key_store(store_folder, thumbprint)
        with contextlib.suppress(ConfigurationError, PrerequisiteError):  # said where the store is opened
            return self.model(name) if name is not None else None
        return None

    def installed(self) -> Mapping[str, type[StoreOptions]]:
        """See StoreModels."""
        found = self.installed_entries()
        return {name: entry.load_options() for name, entry in found if isinstance(entry, StoreEntry)}


def late(target: str) -> Callable[[], Any]:
    """Returns the attribute that `target` ("module:attribute") names when called; imports its module only then."""
    return lambda: load(target)


def _installed(point: EntryPoint, table: StoreTable) -> StoreEntry:
    """The store of an entry point: an object with `options`, `engines`, `open`, `reopen` and `examine`."""
    try:
        kind = point.load()
        options, engines = kind.options, tuple(kind.engines)
        fault = _fault(kind, options, engines, table)
    except Exception as broken:
        raise _broken(point, f"{type(broken).__name__}: {broken}") from broken
    if fault is not None:
        raise _broken(point, fault)
    title = str(getattr(kind, "title", point.name))
    return StoreEntry(point.name, title, f"package {_package(point)}", engines, lambda: options, lambda: kind)


def _fault(kind: Any, options: Any, engines: tuple[Any, ...], table: StoreTable) -> str | None:
    """Why the object is not a key store; None when it is one."""
    if not (isinstance(options, type) and issubclass(options, StoreOptions)):
        return "its options are not a subclass of kspsign.settings.store_options.StoreOptions"
    if not engines or not set(engines) <= set(get_args(EngineName)) - {"auto"}:
        return f"its engines are {engines!r}, of which each must be native, signtool or smctl"
    needed = ("open", "examine", *(("reopen",) if _NATIVE in engines else ()))
    if lacking := [name for name in needed if not callable(getattr(kind, name, None))]:
        return f"it has no {', '.join(lacking)}"
    for name, field in options.model_fields.items():
        if name in Settings.model_fields and name not in StoreOptions.model_fields:
            return f"its option {name} is a setting of kspsign itself"
        for store, model in table.built_in().items():
            other = model.model_fields.get(name)
            if other is not None and other.annotation != field.annotation:
                return f"its option {name} differs from that of key store {store}"
    return None


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value


def _broken(point: EntryPoint, cause: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"key store {point.name} of package {_package(point)} can't be loaded ({point.value}): {cause}",
        code="KEY_STORE_PACKAGE",
        remedy="Update or remove that package, or contact its maintainers.",
    )


STORES = StoreTable(
    StoreEntry(
        "embedded",
        "Embedded (throw-away test key)",
        "a private folder of the thumbprint store, throw-away; test signing only, with a timestamp server on loopback",
        ("native",),
        late("kspsign.keys.embedded.options:EmbeddedOptions"),
        late("kspsign.keys.embedded.store:EmbeddedKeyStore"),
    ),
    StoreEntry(
        "pkcs12",
        "PKCS#12 file",
        "a PKCS#12 file",
        ("native",),
        late("kspsign.keys.pkcs12.options:Pkcs12Options"),
        late("kspsign.keys.pkcs12.store:Pkcs12KeyStore"),
    ),
    StoreEntry(
        "keylocker",
        "DigiCert KeyLocker (REST, any system)",
        "DigiCert KeyLocker or Software Trust Manager, over REST",
        ("native",),
        late("kspsign.keys.keylocker.options:KeyLockerOptions"),
        late("kspsign.keys.keylocker.store:KeyLockerKeyStore"),
    ),
    StoreEntry(
        "azure-key-vault",
        "Azure Key Vault",
        "Azure Key Vault or Managed HSM",
        ("native",),
        late("kspsign.keys.azure_key_vault.options:AzureKeyVaultOptions"),
        late("kspsign.keys.azure_key_vault.load:KeyVaultKeyStore"),
    ),
    StoreEntry(
        "azure-artifact-signing",
        "Azure Artifact Signing",
        "Azure Artifact Signing (Trusted Signing)",
        ("native", "signtool"),
        late("kspsign.keys.azure_artifact_signing.options:ArtifactSigningOptions"),
        late("kspsign.keys.azure_artifact_signing.load:ArtifactSigningStore"),
    ),
    StoreEntry(
        "aws-kms",
        "AWS KMS",
        "AWS Key Management Service",
        ("native",),
        late("kspsign.keys.aws_kms.options:AwsKmsOptions"),
        late("kspsign.keys.aws_kms.store:AwsKmsStore"),
    ),
    StoreEntry(
        "google-cloud-kms",
        "Google Cloud KMS",
        "Google Cloud Key Management Service",
        ("native",),
        late("kspsign.keys.google_cloud_kms.options:GoogleKmsOptions"),
        late("kspsign.keys.google_cloud_kms.store:GoogleKmsStore"),
    ),
    StoreEntry(
        "pkcs11",
        "PKCS#11 token",
        "a PKCS#11 token or HSM",
        ("native",),
        late("kspsign.keys.pkcs11.options:Pkcs11Options"),
        late("kspsign.keys.pkcs11.store:Pkcs11KeyStore"),
    ),
    StoreEntry(
        "vault",
        "HashiCorp Vault or OpenBao (transit)",
        "HashiCorp Vault or OpenBao, in its transit engine",
        ("native",),
        late("kspsign.keys.vault.options:VaultOptions"),
        late("kspsign.keys.vault.store:TransitStore"),
    ),
    StoreEntry(
        "signserver",
        "Keyfactor SignServer",
        "a worker of Keyfactor SignServer, over REST",
        ("native",),
        late("kspsign.keys.signserver.options:SignServerOptions"),
        late("kspsign.keys.signserver.store:SignServerStore"),
    ),
    StoreEntry(
        "esigner",
        "SSL.com eSigner",
        "SSL.com eSigner, over its Cloud Signature Consortium API",
        ("native",),
        late("kspsign.keys.esigner.options:ESignerOptions"),
        late("kspsign.keys.esigner.store:ESignerStore"),
    ),
    StoreEntry(
        "command",
        "Command (any program)",
        "whatever a program of yours signs with",
        ("native",),
        late("kspsign.keys.command.options:CommandOptions"),
        late("kspsign.keys.command.store:CommandStore"),
    ),
    StoreEntry(
        "windows",
        "Windows (KSP, e.g. KeyLocker)",
        "any HSM with a KSP of its vendor",
        ("signtool", "smctl"),
        late("kspsign.keys.windows.options:WindowsOptions"),
        late("kspsign.keys.windows.store:WindowsStore"),
    ),
)
