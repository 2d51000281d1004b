"""NavSip.dll: SignTool signs Business Central's .app packages through it, if it is registered and can be loaded.

The native engine does not need it.

A missing registration and a missing runtime look alike to SignTool (0x800B0003, "not recognized"), so both are
checked before a file is signed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from kspsign.model.errors import PrerequisiteError
from kspsign.programs.locate import describe
from kspsign.programs.run import call_tool
from kspsign.settings.model import Settings

_OIDS = r"SOFTWARE\Microsoft\Cryptography\OID\EncodingType 0\CryptSIPDllPutSignedDataMsg"
_RUNTIMES = re.compile(rb"(?i)\b((?:vcruntime|msvcp|msvcr|concrt)[0-9]{2,3}(?:_[0-9])?\.dll)\0")
_SECONDS = 60.0
_SOURCE = (
    "It comes with Business Central (ServiceTier\\System64Folder\\NavSip.dll) and in the NuGet package "
    "Microsoft.Dynamics.BusinessCentral.Sip.Main."
)


def registered_navsip() -> Path | None:
    """The DLL that is registered for NAVX packages; None when none is registered, and on other systems than Windows."""
    if sys.platform == "win32":
        import winreg  # noqa: PLC0415 - on Windows only

        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _OIDS, 0, winreg.KEY_READ | winreg.KEY_WOW64_64KEY) as oids:
                for index in range(winreg.QueryInfoKey(oids)[0]):
                    with winreg.OpenKey(oids, winreg.EnumKey(oids, index)) as sip:
                        dll = str(winreg.QueryValueEx(sip, "Dll")[0])
                    if "navsip" in dll.lower():
                        return Path(dll)
        except FileNotFoundError:
            return None
    return None


def ensure_navsip(settings: Settings) -> str:
    """Describes the SIP that signs NAVX packages here; registers --navsip first if none is registered.

    Raises PrerequisiteError as `check_navsip` does, and when regsvr32 refuses the DLL.
    """
    said = check_navsip(settings)
    if registered_navsip() is None and settings.navsip is not None:
        _register(settings.navsip.absolute(), settings)
        return f"{settings.navsip} was registered"
    return said


def check_navsip(settings: Settings) -> str:
    """Describes the SIP that signs NAVX packages here or would be registered; registers nothing.

    Raises PrerequisiteError when none is registered and none is given, when it is not x64, or lacks the Visual C++
    runtime it was built with.
    """
    present = registered_navsip()
    if present is not None:
        if present.is_absolute():
            _check_runtime(present, settings)
        return f"{present} is registered"
    if settings.navsip is None:
        raise PrerequisiteError(
            "no SIP for Business Central .app packages (NAVX) is registered: SignTool would not recognise them "
            "(0x800B0003)",
            code="NAVSIP_MISSING",
            remedy=f"Name the x64 NavSip.dll with --navsip; it is registered as an administrator. {_SOURCE}",
        )
    _check_dll(settings.navsip.absolute(), settings)
    return f"{settings.navsip} will be registered"


def missing_runtimes(dll: Path, folders: tuple[Path, ...]) -> tuple[str, ...]:
    """The Visual C++ runtime DLLs that `dll` names and that are in none of `folders`."""
    named = {match.decode("ascii") for match in _RUNTIMES.findall(dll.read_bytes())}
    return tuple(sorted(name for name in named if not any((folder / name).is_file() for folder in folders)))


def _check_dll(dll: Path, settings: Settings) -> None:
    if not dll.is_file():
        raise _unusable(f"{dll} does not exist", f"Correct --navsip. {_SOURCE}")
    if describe(dll).architecture != "x64":
        raise _unusable(f"{dll} is not an x64 DLL", f"The x64 SignTool needs the x64 NavSip.dll. {_SOURCE}")
    _check_runtime(dll, settings)


def _register(dll: Path, settings: Settings) -> None:
    regsvr32 = _system_folder(settings) / "regsvr32.exe"
    ran = call_tool(settings, regsvr32, ["/s", str(dll)], timeout=_SECONDS, with_credentials=False)
    if ran.exit_code != 0:
        reasons = {3: "it can't be loaded", 4: "it has no DllRegisterServer", 5: "its registration failed"}
        why = reasons.get(ran.exit_code or 0, f"exit code {ran.exit_code}")
        raise _unusable(f"regsvr32 refused {dll}: {why}", "Run the agent as an administrator, or register it once.")


def _check_runtime(dll: Path, settings: Settings) -> None:
    try:
        missing = missing_runtimes(dll, (dll.parent, _system_folder(settings)))
    except OSError as unreadable:
        raise _unusable(
            f"{dll} can't be read: {unreadable.strerror or unreadable}", f"Register it again. {_SOURCE}"
        ) from (unreadable)
    if missing:
        raise _unusable(
            f"{dll} needs {', '.join(missing)}, which is missing on this machine",
            "Install the Visual C++ Redistributable (x64) of that version: 140 is 2015-2022, 120 is 2013.",
        )


def _system_folder(settings: Settings) -> Path:
    roots = [value for name, value in settings.agent_environment.items() if name.upper() == "SYSTEMROOT"]
    return Path(roots[0] if roots else "C:\\Windows") / "System32"


def _unusable(what: str, remedy: str) -> PrerequisiteError:
    return PrerequisiteError(what, code="NAVSIP_UNUSABLE", remedy=remedy)
