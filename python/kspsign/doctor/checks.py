"""Every check of the doctor, in the order in which they build on each other."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from kspsign.batch.cautions import clickonce_warnings, selection_warnings
from kspsign.batch.select import select_artifacts
from kspsign.certsync import read_entry
from kspsign.doctor.ledger import ledger_checks
from kspsign.doctor.network import network_checks, timestamp_checks
from kspsign.doctor.synchronised import examine_synchronised
from kspsign.doctor.trust import TrustChecks
from kspsign.keys.examine import examine_store
from kspsign.keys.open import find_store
from kspsign.keys.prerequisites import CHAIN, Prerequisite, examine, failed, not_checked, passed, warned
from kspsign.keys.table import STORES, StoreEntry
from kspsign.model.errors import KspSignError
from kspsign.model.values import Format, SyncedCertificate
from kspsign.model.version import VERSION
from kspsign.programs.navsip import check_navsip
from kspsign.settings.config_file import ConfigOrigin
from kspsign.settings.context import RunContext
from kspsign.settings.model import Settings
from kspsign.settings.unmapped import Unmapped, unmapped_error, unmapped_variables

_STORE, _CONFIGURATION = "key store", "configuration file"


def all_checks(settings: Settings, context: RunContext) -> Iterator[Prerequisite]:
    """What a run with `settings` needs, one by one; they are made as the iterator is read."""
    system = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield passed("python", f"kspsign {VERSION}, {system}")
    yield from _configuration(settings.configuration)
    unmapped = unmapped_variables(settings)
    for variable in unmapped:
        yield failed("variable", unmapped_error(variable, context.surface))
    yield from network_checks(settings)
    trust = TrustChecks(settings)
    yield from trust.roots()
    yield from _key_store(settings, trust, unmapped)
    yield from _installed_stores(settings)
    yield from timestamp_checks(settings, _signer(settings), trust)
    yield from ledger_checks(settings, context)
    yield from _files(settings)


def _configuration(origin: ConfigOrigin) -> Iterator[Prerequisite]:
    """Which file was read, with the digest of what it held, and one that is there and was not."""
    if origin.facts is not None:
        how = "; found in the working folder, for harmless settings only" if origin.facts.ambient else ""
        yield passed(_CONFIGURATION, f"{origin.facts.name} (sha256 {origin.facts.sha256}){how}")
    if origin.unread is not None:
        yield not_checked(_CONFIGURATION, f"{origin.unread} in the working folder is not read, since it was not named")
    elif origin.facts is None:
        yield not_checked(_CONFIGURATION, "no file is read; only arguments, inputs and variables apply")


def _key_store(settings: Settings, trust: TrustChecks, unmapped: tuple[Unmapped, ...]) -> Iterator[Prerequisite]:
    """What the key store finds of itself; that it and the engine go together; whether its certificate is trusted."""
    try:
        entry, synchronised = _signs(settings)
        engine = entry.engine(settings.engine)
    except KspSignError as error:
        yield failed(_STORE, error)
        return
    yield passed(_STORE, f"{entry.name}: {entry.title}; engine {engine}")
    if unmapped:
        yield not_checked(_STORE, "not run: its checks would use the unmapped variables above")
        return
    chain: tuple[bytes, ...] = ()
    judged = False
    if synchronised is not None and entry.signs_natively:
        checks = examine_synchronised(settings, synchronised)
    else:
        checks = examine_store(entry, settings)
    for check in checks:
        yield check
        chain = check.chain or chain
        judged = judged or check.name == CHAIN
    if not judged:
        yield trust.chain(chain, test_signing=entry.name == "embedded")


def _signer(settings: Settings) -> str | None:
    """The name of the key store that signs; None where that is not known."""
    try:
        return _signs(settings)[0].name
    except KspSignError:
        return None  # what is wrong with it is said where the store is examined


def _signs(settings: Settings) -> tuple[StoreEntry, SyncedCertificate | None]:
    """The key store, and the certificate of an earlier certsync where one is meant.

    It is the one that is named, else the built-in one that the named engine is for. Raises ConfigurationError when
    there is none, PrerequisiteError when its package or the certificate can't be loaded.
    """
    synchronised = _synchronised(settings)
    if synchronised is not None:
        return STORES.find(synchronised.key_store), synchronised
    if settings.key_store is None and settings.engine not in {"auto", "native"}:
        programs = (entry for entry in STORES.entries.values() if not entry.signs_natively)
        return next(entry for entry in programs if settings.engine in entry.engines), None
    return find_store(settings), None


def _synchronised(settings: Settings) -> SyncedCertificate | None:
    """The certificate of an earlier certsync, where --thumbprint alone means it; raises PrerequisiteError."""
    if settings.thumbprint is None:
        return None
    alone = settings.key_store is None and settings.engine in {"auto", "native"}
    if alone or (settings.store_options is not None and settings.store_options.means_synchronised):
        return read_entry(settings.store_folder, settings.thumbprint)
    return None


def _installed_stores(settings: Settings) -> Iterator[Prerequisite]:
    """The key stores that other packages bring; one that can't be loaded is a failure only where it is to sign."""
    for name, entry in STORES.installed_entries():
        if isinstance(entry, StoreEntry):
            yield passed(f"{_STORE} {name}", f"is installed by {entry.holds}")
        elif name != settings.key_store:
            yield warned(f"{_STORE} {name}", str(entry), entry.remedy)


def _files(settings: Settings) -> Iterator[Prerequisite]:
    """What the patterns match; NavSip.dll, when SignTool is to sign Business Central packages."""
    if not settings.files:
        yield not_checked("files", "no pattern is given")
        return
    try:
        selection = select_artifacts(settings.files, settings.folder)
    except KspSignError as error:
        yield failed("files", error)
        return
    artifacts = selection.artifacts
    for warning in (*selection_warnings(selection), *clickonce_warnings(artifacts)):
        yield warned("files", warning.message, warning.remedy)
    yield passed("files", f"{len(artifacts)} match{'es' if len(artifacts) == 1 else ''}")
    if not any(artifact.format is Format.NAVX for artifact in artifacts):
        return
    if _signs_by_program(settings):
        yield examine("NavSip", lambda: check_navsip(settings))
    else:
        yield not_checked("NavSip", "not needed: the native engine signs Business Central packages itself")


def _signs_by_program(settings: Settings) -> bool:
    """Whether these settings sign through a vendor's program instead of the native engine."""
    try:
        return _signs(settings)[0].engine(settings.engine) != "native"
    except KspSignError:
        return False  # what is wrong with it is said where the store is examined
