"""Examines what SignTool and a KSP require of a Windows machine."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.file import read_certificate_file
from kspsign.keys.prerequisites import (
    CERTIFICATE,
    COSTS_A_SIGNATURE,
    CREDENTIALS,
    KEY,
    NEWER,
    OPTIONS,
    PERMISSION,
    QUOTA,
    SIGN_IN,
    TEST_SIGNATURE,
    Prerequisite,
    completed,
    examine,
    examine_certificate,
    examine_newer,
    failed,
    not_checked,
    passed,
    warned,
)
from kspsign.keys.protocol import Surroundings
from kspsign.keys.windows.candidates import candidates_of, choice, matching, near_miss, newest_candidate
from kspsign.keys.windows.certificate_store import read_store
from kspsign.keys.windows.credentials import examine_credentials
from kspsign.keys.windows.options import WindowsOptions
from kspsign.keys.windows.store import check_named, known_issuers
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError
from kspsign.model.suggest import suggest
from kspsign.programs.locate import find_signtool, find_smctl
from kspsign.programs.run import Ran, call_tool

OLDEST_BUILD = 10240
_HEALTH_SECONDS = 120.0
_VERSION = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion"
_PROVIDERS = r"SYSTEM\CurrentControlSet\Control\Cryptography\Providers"
_WINDOWS, _SIGNTOOL, _SMCTL, _KSP = "windows", "signtool", "smctl", "key storage provider"
_CHECKS: Final = (_WINDOWS, _SIGNTOOL, _SMCTL, SIGN_IN, PERMISSION, _KSP, KEY, CERTIFICATE, NEWER)
_MAKER = "digicert"
_NO_QUOTA: Final = "smctl does not say how many are left; the portal of DigiCert ONE does"


def examine_windows(options: WindowsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """What SignTool and a KSP need, one by one."""
    yield from completed(_CHECKS, _examined(options, surroundings))
    yield not_checked(QUOTA, _NO_QUOTA)
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)


def _examined(options: WindowsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    named = True
    try:
        check_named(options)
    except ConfigurationError as error:
        named = False
        yield failed(OPTIONS, error)
    is_windows = sys.platform == "win32"
    yield examine(_WINDOWS, windows_version)
    yield signtool(surroundings)
    service: list[Prerequisite] = []
    if _MAKER in options.csp.casefold():
        tool, *service = smctl(surroundings)
        yield tool
        yield from examine_credentials(surroundings.credentials, connected=_connected(service))
        yield from service
    else:
        for name in (_SMCTL, CREDENTIALS, SIGN_IN, PERMISSION):
            yield not_checked(name, f"\"{options.csp}\" is not DigiCert's: its vendor's tool knows")
    if is_windows:
        yield examine(_KSP, lambda: key_storage_provider(options))
    else:
        yield not_checked(_KSP, "KSPs are registered on Windows only")
    if options.keypair_alias is not None:
        yield _keypair(options.keypair_alias, surroundings, service)
    elif named:
        yield not_checked(KEY, "no alias is given; the certificate named by --thumbprint identifies its key")
    if options.certificate is not None:
        yield from _certificate_file(options.certificate)
    elif named and is_windows:
        yield from certificate(options)
    elif named:
        yield not_checked(CERTIFICATE, "the Windows certificate store is on Windows only")


def _connected(service: list[Prerequisite]) -> bool:
    return any(check.name == SIGN_IN and check.state == "ok" for check in service)


def windows_version() -> str:
    """The version of this Windows; raises PrerequisiteError elsewhere and on one that is too old."""
    if sys.platform == "win32":
        import winreg  # noqa: PLC0415 - on Windows only

        # Not sys.getwindowsversion: it answers what the interpreter's manifest lets it see.
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _VERSION) as key:
            build = int(winreg.QueryValueEx(key, "CurrentBuildNumber")[0])
        if build >= OLDEST_BUILD:
            return f"Windows build {build} {platform.machine()}"
        raise PrerequisiteError(
            f"Windows build {build} is older than Windows 10", code="WINDOWS_TOO_OLD", remedy="Use a newer agent."
        )
    raise PrerequisiteError(
        f"this is {platform.system()}; SignTool and KSPs run on Windows only",
        code="NOT_WINDOWS",
        remedy="Use a Windows agent (10, 11, Server 2019 or later), or another key store, which needs no tool.",
    )


def signtool(surroundings: Surroundings) -> Prerequisite:
    """SignTool, and that a 64-bit KSP can be loaded into it."""
    try:
        found = find_signtool(surroundings)
    except KspSignError as error:
        return failed(_SIGNTOOL, error)
    if found.architecture not in {"x64", ""}:
        return warned(_SIGNTOOL, str(found), "Vendors' KSPs are x64: name the x64 SignTool with --signtool.")
    return passed(_SIGNTOOL, str(found))


def smctl(surroundings: Surroundings) -> Iterator[Prerequisite]:
    """smctl; then whether the service accepts the credentials, and lets this user sign.

    What the health check prints is never shown: it holds halves of secrets that no masking recognises.
    """
    try:
        tool = find_smctl(surroundings)
        ran = _smctl(surroundings, "healthcheck")
    except KspSignError as error:
        yield failed(_SMCTL, error)
        for name in (SIGN_IN, PERMISSION):
            yield not_checked(name, "smctl healthcheck would show")
        return
    yield passed(_SMCTL, str(tool))
    if "Status: Connected" not in ran.output:
        ended = "did not end in time" if ran.exit_code is None else f"ended with exit code {ran.exit_code}"
        lost = PrerequisiteError(
            f"smctl healthcheck {ended} and is not connected",
            code="SMCTL_NOT_CONNECTED",
            remedy="Check SM_HOST, SM_API_KEY, the client certificate and its password; a proxy goes in HTTPS_PROXY, "
            "its CA in SM_CA_FILE.",
        )
        yield failed(SIGN_IN, lost)
        yield not_checked(PERMISSION, "smctl is not connected")
        return
    yield passed(SIGN_IN, "smctl healthcheck: connected")
    if "Can sign: Yes" in ran.output:
        yield passed(PERMISSION, "smctl healthcheck: this user may sign")
    elif "Can sign: No" in ran.output:
        refused = PrerequisiteError(
            "smctl healthcheck: this user may not sign",
            code="NOT_THE_SIGNER",
            remedy="Use the API key of the signer, or have a KeyLocker lead assign this user as the signer.",
        )
        yield failed(PERMISSION, refused)
    else:
        yield not_checked(PERMISSION, "this version of smctl does not report whether the user may sign")


def key_storage_provider(options: WindowsOptions) -> str:
    """The KSP under exactly the name of --csp; raises PrerequisiteError with the names that are registered."""
    if sys.platform == "win32":
        import winreg  # noqa: PLC0415 - on Windows only

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _PROVIDERS) as key:
            names = [winreg.EnumKey(key, index) for index in range(winreg.QueryInfoKey(key)[0])]
        if options.csp in names:
            return f'"{options.csp}" is registered'
        near = suggest(options.csp, names)
        hint = f'Did you mean --csp "{near[0]}"? ' if near else ""
        raise PrerequisiteError(
            f'no KSP is registered under exactly the name "{options.csp}"; registered: {", ".join(names) or "none"}',
            code="KSP_NOT_REGISTERED",
            remedy=f"{hint}Register it as an administrator: smctl windows ksp register.",
        )
    raise PrerequisiteError("KSPs exist on Windows only", code="NOT_WINDOWS", remedy="Use a Windows agent.")


def _keypair(alias: str, surroundings: Surroundings, service: list[Prerequisite]) -> Prerequisite:
    """That the alias is among the key pairs that this user sees, and online."""
    if not _connected(service):
        return not_checked(KEY, "smctl lists the key pairs, but is not connected")
    try:
        return passed(KEY, find_keypair(alias, _smctl(surroundings, "keypair", "ls")))
    except KspSignError as error:
        return failed(KEY, error)


def find_keypair(alias: str, ran: Ran) -> str:
    """What `smctl keypair ls` says of the key pair; raises PrerequisiteError, with a near alias, when it is not there
    or OFFLINE."""
    if ran.exit_code != 0:
        raise PrerequisiteError(
            f"smctl keypair ls ended with exit code {ran.exit_code}",
            code="ALIAS_UNKNOWN",
            remedy="Correct the credentials first (the lines above).",
        )
    rows = [_cells(line) for line in ran.output.splitlines()]
    row = next((row for row in rows if alias in row), None)
    if row is None:
        cells = set().union(*rows) if rows else set()
        near = [cell for cell in suggest(alias, cells) if cell.casefold() == alias.casefold()]
        raise PrerequisiteError(
            f"smctl keypair ls does not show {alias}",
            code="ALIAS_UNKNOWN",
            remedy=f"Did you mean {near[0]}? Case matters."
            if near
            else "Take the alias from `smctl keypair ls`, verbatim.",
        )
    if "OFFLINE" in row:
        raise PrerequisiteError(
            f"key pair {alias} is OFFLINE",
            code="KEYPAIR_OFFLINE",
            remedy="Bring the key pair online in DigiCert ONE, or sign inside its release window.",
        )
    return f"{alias} is there" + (", online" if "ONLINE" in row else "")


def _cells(line: str) -> set[str]:
    """The cells of a row of the table, and its single words: an alias may hold blanks."""
    return {*re.split(r"\s{2,}|\t|\|", line.strip()), *line.split()}


def certificate(options: WindowsOptions) -> Iterator[Prerequisite]:
    """The certificate in the Windows store that would sign, how long it is valid, and whether a newer one is there."""
    try:
        present = candidates_of(read_store(options.certificate_store, "MY"))
    except KspSignError as error:
        yield failed(CERTIFICATE, error)
        return
    found, now = matching(present, options), datetime.now(UTC)
    chosen = newest_candidate(found, now)
    if chosen is None:
        near = near_miss(options.thumbprint or options.keypair_alias or "", present)
        hint = f"Did you mean {near}? " if near else ""
        seen = "; ".join(map(str, found)) or f"none matches in the store My of the {options.certificate_store}"
        code = "CERTIFICATE_NOT_VALID" if found else "CERTIFICATE_NOT_FOUND"
        remedy = f"{hint}Run kspsign certsync, or renew the certificate."
        yield failed(CERTIFICATE, PrerequisiteError(seen, code=code, remedy=remedy))
        return
    if chosen.container is None:
        keyless = PrerequisiteError(
            f"{chosen} is in the store without private key", code="NO_PRIVATE_KEY", remedy="Run kspsign certsync."
        )
        yield failed(CERTIFICATE, keyless)
        return
    yield examine_certificate(ordered_chain(chosen.der, known_issuers(chosen.der)))
    made = choice(chosen, present, options, now)
    yield examine_newer(made.remarks, superseded=made.superseded)


def _certificate_file(file: Path) -> Iterator[Prerequisite]:
    """Method 1: the certificate from its file."""
    try:
        leaf, others = read_certificate_file(file)
    except KspSignError as error:
        yield failed(CERTIFICATE, error)
        return
    issuers = known_issuers(leaf) if sys.platform == "win32" else ()
    yield examine_certificate(ordered_chain(leaf, (*others, *issuers)))
    yield not_checked(NEWER, "the certificate is from a file")


def _smctl(surroundings: Surroundings, *arguments: str) -> Ran:
    return call_tool(
        surroundings, find_smctl(surroundings).path, arguments, timeout=_HEALTH_SECONDS, with_credentials=True
    )
