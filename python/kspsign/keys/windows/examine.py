"""Examines what SignTool and a KSP require of a Windows machine."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from kspsign.certificates.validity import EXPIRY_WARNING
from kspsign.keys.prerequisites import Prerequisite, examine, examine_certificate_file
from kspsign.keys.protocol import Surroundings
from kspsign.keys.windows.candidates import candidates_of, matching, near_miss, newest_candidate
from kspsign.keys.windows.certificate_store import read_store
from kspsign.keys.windows.credentials import examine_credentials
from kspsign.keys.windows.options import WindowsOptions
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError
from kspsign.model.suggest import suggest
from kspsign.programs import Ran, call_tool, find_signtool, find_smctl

OLDEST_BUILD = 10240
_HEALTH_SECONDS = 120.0
_VERSION = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion"
_PROVIDERS = r"SYSTEM\CurrentControlSet\Control\Cryptography\Providers"


def examine_windows(options: WindowsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """Yields each prerequisite of SignTool and a KSP."""
    yield examine("windows", "R4", windows_version)
    yield signtool(surroundings)
    tool, service = smctl(surroundings)
    yield tool
    yield from examine_credentials(surroundings.credentials, connected=service.state == "ok")
    yield service
    yield examine("key storage provider", "R6", lambda: key_storage_provider(options))
    yield examine("key pair alias", "R7", lambda: keypair(options, surroundings))
    if options.certificate is None:
        yield certificate(options)
    else:
        yield examine_certificate_file(options.certificate)


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
    found = examine("signtool", "R5", lambda: str(find_signtool(surroundings)))
    if found.state == "ok" and find_signtool(surroundings).architecture not in {"x64", ""}:
        remedy = "Vendors' KSPs are x64: name the x64 SignTool with --signtool."
        return Prerequisite("signtool", "R5", "warning", found.detail, remedy)
    return found


def smctl(surroundings: Surroundings) -> tuple[Prerequisite, Prerequisite]:
    """smctl, and whether the service lets us sign.

    What the health check prints is never shown: it holds halves of secrets that no masking recognises.
    """
    try:
        tool = find_smctl(surroundings)
        ran = _smctl(surroundings, "healthcheck")
    except KspSignError as error:
        missing = Prerequisite("smctl", "R6", "missing", error.message, error.remedy)
        return missing, Prerequisite("service", "R6", "missing", "not asked: smctl is missing", error.remedy)
    return Prerequisite("smctl", "R6", "ok", str(tool)), _service(ran)


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


def keypair(options: WindowsOptions, surroundings: Surroundings) -> str:
    """That the alias is among the key pairs that this user sees; raises PrerequisiteError with a near one."""
    alias = options.keypair_alias
    if alias is None:
        raise ConfigurationError("no key pair alias is given", remedy="Name it with --keypair-alias; case matters.")
    ran = _smctl(surroundings, "keypair", "ls")
    if ran.exit_code != 0:
        raise PrerequisiteError(
            f"smctl keypair ls ended with exit code {ran.exit_code}",
            code="ALIAS_UNKNOWN",
            remedy="Correct the credentials first (the lines above).",
        )
    cells = {cell for line in ran.output.splitlines() for cell in re.split(r"\s{2,}|\t", line.strip())}
    cells |= {word for line in ran.output.splitlines() for word in line.split()}
    if alias in cells:
        return f"{alias} is there"
    near = next((cell for cell in sorted(cells) if cell.casefold() == alias.casefold()), None)
    raise PrerequisiteError(
        f"smctl keypair ls does not show {alias}",
        code="ALIAS_UNKNOWN",
        remedy=f"Did you mean {near}? Case matters." if near else "Copy the alias exactly from `smctl keypair ls`.",
    )


def certificate(options: WindowsOptions) -> Prerequisite:
    """The certificate that would sign, and how long it is valid."""
    name = "certificate"
    try:
        present = candidates_of(read_store(options.certificate_store, "MY"))
    except PrerequisiteError as error:
        return Prerequisite(name, "R8, R10", "missing", error.message, error.remedy)
    if options.thumbprint is None and options.keypair_alias is None:
        return Prerequisite(
            name, "R8, R10", "missing", "neither alias nor thumbprint is given", "Name --keypair-alias."
        )
    found, now = matching(present, options), datetime.now(UTC)
    chosen = newest_candidate(found, now)
    if chosen is None:
        near = near_miss(options.thumbprint or options.keypair_alias or "", present)
        hint = f"Did you mean {near}? " if near else ""
        seen = "; ".join(map(str, found)) or f"none matches in the store My of the {options.certificate_store}"
        return Prerequisite(name, "R8, R10", "missing", seen, f"{hint}Run kspsign certsync, or renew the certificate.")
    left = chosen.not_after - now
    detail = f"{chosen.thumbprint} {chosen.subject}, valid for {left.days} days, until {chosen.until}"
    if chosen.container is None:
        return Prerequisite(name, "R8, R10", "missing", f"{detail}; without private key", "Run kspsign certsync.")
    soon = "Renew it; certsync then fetches the new one." if left < EXPIRY_WARNING else ""
    return Prerequisite(name, "R8, R10", "warning" if soon else "ok", detail, soon)


def _service(ran: Ran) -> Prerequisite:
    checks = {"Status: Connected": "not connected", "Can sign: Yes": "this user may not sign"}
    wrong = [fault for words, fault in checks.items() if words not in ran.output]
    if wrong or ran.exit_code != 0:
        detail = "; ".join(wrong) or f"exit code {ran.exit_code}"
        remedy = "Check SM_HOST, SM_API_KEY and the client certificate, and that the user is a signer of the key pair."
        return Prerequisite("service", "R6", "missing", f"smctl healthcheck: {detail}", remedy)
    return Prerequisite("service", "R6", "ok", "smctl healthcheck: connected, may sign")


def _smctl(surroundings: Surroundings, *arguments: str) -> Ran:
    return call_tool(
        surroundings, find_smctl(surroundings).path, arguments, timeout=_HEALTH_SECONDS, with_credentials=True
    )
