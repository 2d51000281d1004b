"""The doctor's rounds, and what it tells: a line for each prerequisite, or JSON."""

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
from kspsign.certificates.file import read_certificate_file
from kspsign.doctor import windows
from kspsign.doctor.credentials import examine_credentials
from kspsign.doctor.examination import Examined, examine, signs_by_tool
from kspsign.model.errors import KspSignError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.network.address import shown_url
from kspsign.programs import in_temp_folder, with_client_certificate_file
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
        missing = sum(each.state == "missing" for each in found)
        out.write("kspsign doctor: nothing is missing\n" if passed else f"kspsign doctor: {missing} missing\n")
    return 0 if passed else EXIT_MISSING


def _rounds(settings: Settings) -> Iterator[Examined]:
    yield Examined("python", "", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _tools(settings) if signs_by_tool(settings) else _tools_not_needed(settings)
    yield from _packages(settings)
    if settings.certificate is not None:
        file = settings.certificate
        yield examine("certificate file", "R8", lambda: f"{file} holds {len(read_certificate_file(file)[1])}")
    yield from _timestamp_servers(settings)


def _tools(settings: Settings) -> Iterator[Examined]:
    yield examine("windows", "R4", windows.windows_version)
    yield windows.signtool(settings)
    tool, service = windows.smctl(settings)
    yield tool
    with with_client_certificate_file(settings) as given:
        yield from examine_credentials(given, connected=service.state == "ok")
    yield service
    yield from windows.examine_windows(settings)


def _packages(settings: Settings) -> Iterator[Examined]:
    """NavSip.dll, when SignTool is to sign Business Central packages."""
    if not settings.files:
        return
    try:
        artifacts = select_artifacts(settings.files, settings.folder).artifacts
    except KspSignError as error:
        yield Examined("files", "", "missing", str(error), error.remedy)
        return
    yield Examined("files", "", "ok", f"{len(artifacts)} match")
    if not any(artifact.format is Format.NAVX for artifact in artifacts):
        return
    if signs_by_tool(settings):
        yield examine("NavSip", "R9", lambda: check_navsip(settings))
    else:
        yield Examined("NavSip", "R9", "not needed", "the native engine signs Business Central packages itself")


def _tools_not_needed(settings: Settings) -> Iterator[Examined]:
    """Said once, so that nobody looks for what the native engine does without."""
    store = f"key store {settings.key_store}" if settings.key_store else "without --key-store windows"
    yield Examined("windows, signtool, smctl, KSP", "R4-R7", "not needed", f"{store}: the native engine signs")


def _timestamp_servers(settings: Settings) -> Iterator[Examined]:
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


def _lines(examined: Examined) -> Iterator[str]:
    number = f" [{examined.requirement}]" if examined.requirement else ""
    yield f"{examined.state:10}  {examined.name}: {examined.detail}{number}"
    if examined.remedy:
        yield f"            fix: {examined.remedy}"
