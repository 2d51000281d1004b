"""Runs the doctor's checks and prints a line for each prerequisite, or JSON."""

from __future__ import annotations

import dataclasses
import functools
import json
import platform
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from kspsign.batch.select import select_artifacts
from kspsign.keys import examine_store, find_store
from kspsign.keys.prerequisites import Prerequisite, examine, missing
from kspsign.keys.table import STORES, StoreEntry
from kspsign.model.errors import KspSignError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.network.address import shown_url
from kspsign.programs import in_temp_folder
from kspsign.programs.navsip import check_navsip
from kspsign.publishing.sanitize import log_line
from kspsign.settings.model import DEFAULT_TIMESTAMP_URLS, Settings
from kspsign.timestamping.client import TimestampClient

EXIT_MISSING = 5
SCHEMA = "kspsign.doctor/1"


def run_doctor(settings: Settings, temp_folder: Path, out: TextIO, *, as_json: bool) -> int:
    """Examine what a run with `settings` needs; 0 when nothing is missing, else EXIT_MISSING."""
    found = []
    for examined in _rounds(in_temp_folder(settings, temp_folder)):
        found.append(examined)
        if not as_json:
            out.writelines(f"{log_line(line)}\n" for line in _lines(examined))
            out.flush()
    passed = not any(each.state == "missing" for each in found)
    if as_json:
        checks = [dataclasses.asdict(each) for each in found]
        out.write(json.dumps({"schema": SCHEMA, "passed": passed, "checks": checks}, indent=2) + "\n")
    else:
        count = sum(each.state == "missing" for each in found)
        out.write("kspsign doctor: ready\n" if passed else f"kspsign doctor: {count} missing\n")
    return 0 if passed else EXIT_MISSING


def _rounds(settings: Settings) -> Iterator[Prerequisite]:
    system = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Prerequisite("python", "", "ok", system)
    yield from _key_store(settings)
    yield from _installed_stores(settings)
    yield from _packages(settings)
    yield from _timestamp_servers(settings)


def _key_store(settings: Settings) -> Iterator[Prerequisite]:
    """The key store's own checks, and that it works with the engine."""
    by_program = _signs_by_program(settings)
    if not by_program:
        # Reported once, so that nobody looks for what the native engine does not need.
        store = f"key store {settings.key_store}" if settings.key_store else "without --key-store windows"
        yield Prerequisite("windows, signtool, smctl, KSP", "R4-R7", "not needed", f"{store}: the native engine signs")
    if settings.key_store is None:
        entry = _store_of_engine(settings) if by_program else None
    else:
        try:
            entry = find_store(settings)
            entry.engine(settings.engine)
        except KspSignError as error:
            yield missing("key store", "", error)
            return
    if entry is not None:
        yield from examine_store(entry, settings)


def _installed_stores(settings: Settings) -> Iterator[Prerequisite]:
    """The key stores that other packages bring; one that can't be loaded is missing only where it is to sign."""
    for name, entry in STORES.installed_entries():
        if isinstance(entry, StoreEntry):
            yield Prerequisite(f"key store {name}", "", "ok", f"is installed by {entry.holds}")
        elif name != settings.key_store:
            yield dataclasses.replace(missing(f"key store {name}", "", entry), state="warning")


def _store_of_engine(settings: Settings) -> StoreEntry | None:
    """The built-in key store that the named engine is for."""
    return next((entry for entry in STORES.entries.values() if settings.engine in entry.engines), None)


def _signs_by_program(settings: Settings) -> bool:
    """Whether these settings sign through a vendor's program instead of the native engine."""
    if settings.engine != "auto":
        return settings.engine != "native"
    try:
        return settings.key_store is not None and not find_store(settings).signs_natively
    except KspSignError:
        return False  # what is wrong with it is said where the store is examined


def _packages(settings: Settings) -> Iterator[Prerequisite]:
    """NavSip.dll, when SignTool is to sign Business Central packages."""
    if not settings.files:
        return
    try:
        artifacts = select_artifacts(settings.files, settings.folder).artifacts
    except KspSignError as error:
        yield Prerequisite("files", "", "missing", str(error), error.remedy)
        return
    yield Prerequisite("files", "", "ok", f"{len(artifacts)} match")
    if not any(artifact.format is Format.NAVX for artifact in artifacts):
        return
    if _signs_by_program(settings):
        yield examine("NavSip", "R9", lambda: check_navsip(settings))
    else:
        yield Prerequisite("NavSip", "R9", "not needed", "the native engine signs Business Central packages itself")


def _timestamp_servers(settings: Settings) -> Iterator[Prerequisite]:
    """Each is asked for a real timestamp, which costs nothing."""
    if settings.no_timestamp or (settings.key_store == "embedded" and not settings.timestamp_url):
        return
    urls = settings.timestamp_url or DEFAULT_TIMESTAMP_URLS
    others = [examine("timestamp server", "R28", functools.partial(_stamped, url, settings.network)) for url in urls]
    if any(each.state == "ok" for each in others):
        # One that answers is enough: the others are tried in their order.
        others = [dataclasses.replace(each, state="warning") if each.state != "ok" else each for each in others]
    yield from others


def _stamped(url: str, network: NetworkOptions) -> str:
    client = TimestampClient((url,), 1, threading.Event(), network)
    try:
        token = client.stamp(secrets.token_bytes(32), DigestAlgorithm.SHA256)
    finally:
        client.close()
    return f"{shown_url(url)} answers ({token.authority})"


def _lines(examined: Prerequisite) -> Iterator[str]:
    number = f" [{examined.requirement}]" if examined.requirement else ""
    yield f"{examined.state:10}  {examined.name}: {examined.detail}{number}"
    if examined.remedy:
        yield f"            remedy: {examined.remedy}"
