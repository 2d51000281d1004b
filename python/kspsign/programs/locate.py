"""Locates programs: the setting, then PATH, then the default folders of their installers."""

from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from kspsign.model.errors import PrerequisiteError
from kspsign.settings.program_settings import ProgramSettings

_MACHINES = {0x014C: "x86", 0x8664: "x64", 0xAA64: "arm64"}
_SUFFIXES = ("", ".exe") if sys.platform == "win32" else ("",)
SHIMS_MARK = "kspsign-shims.yml"
"""In a folder of our own launchers (`kspsign shims`), which are never taken for the programs of the same names."""
_OTHER_SYSTEMS = frozenset(
    {
        b"\x7fELF",
        b"\xfe\xed\xfa\xce",
        b"\xfe\xed\xfa\xcf",
        b"\xce\xfa\xed\xfe",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
    }
)
"""How programs of Linux (ELF) and macOS (Mach-O) begin."""
_FIXED_FILE_INFO = struct.pack("<II", 0xFEEF04BD, 0x00010000)  # VS_FIXEDFILEINFO: dwSignature, dwStrucVersion


class Tool(NamedTuple):
    """A program that was found: `version` and `architecture` as its file states them, "" if it states none."""

    path: Path
    version: str
    architecture: str

    def __str__(self) -> str:
        facts = " ".join(part for part in (self.version, self.architecture) if part)
        return f"{self.path} ({facts})" if facts else str(self.path)


def find_signtool(settings: ProgramSettings) -> Tool:
    """SignTool: --signtool, else an x64 one on PATH, else that of the newest Windows SDK, else any on PATH.

    A KSP's DLL is loaded into SignTool and must have its architecture; vendors' are x64.
    Raises PrerequisiteError when none is found.
    """
    if settings.signtool is not None:
        return _named(settings.signtool, "signtool.exe", "--signtool")
    on_path = list(filter(None, [_on_path(_executables("signtool"), settings, _may_be_of_windows)]))
    candidates = [*on_path, *map(describe, _windows_kits(settings))]
    chosen = next((tool for tool in candidates if tool.architecture == "x64"), None) or next(iter(candidates), None)
    if chosen is None:
        raise PrerequisiteError(
            "signtool.exe was found neither on PATH nor among the Windows SDKs"
            + ("" if sys.platform == "win32" else " (it runs on Windows only)"),
            code="SIGNTOOL_MISSING",
            remedy="Install the Windows SDK's signing tools (winget install Microsoft.WindowsSDK.10.0.26100), "
            "or name the program with --signtool; hosted windows agents have it.",
        )
    return chosen


def find_smctl(settings: ProgramSettings) -> Tool:
    r"""smctl: --smctl, else on PATH, else the newest below C:\Program Files\DigiCert; raises PrerequisiteError."""
    if settings.smctl is not None:
        return _named(settings.smctl, "smctl.exe", "--smctl")
    found = _on_path(_executables("smctl"), settings) or next(map(describe, _digicert_folders(settings)), None)
    if found is None:
        raise PrerequisiteError(
            r"smctl was found neither on PATH nor below C:\Program Files\DigiCert",
            code="SMCTL_MISSING",
            remedy="Install DigiCert's KeyLocker tools (msiexec /i Keylockertools-windows-x64.msi /quiet) before "
            "this step, or name the program with --smctl.",
        )
    return found


def find_on_path(name: str, settings: ProgramSettings) -> Tool | None:
    """The program of that name on PATH; None when there is none, or only a launcher of ours."""
    return _on_path(_executables(name), settings)


def find_az(settings: ProgramSettings) -> Tool:
    """Azure CLI, from PATH; on Windows it is a batch file. Raises PrerequisiteError."""
    found = _on_path(("az.cmd", "az.exe") if sys.platform == "win32" else ("az",), settings)
    if found is None:
        raise PrerequisiteError(
            "Azure CLI (az) was not found on PATH",
            code="AZURE_CLI_MISSING",
            remedy="Install Azure CLI on the agent, or choose another --azure-credential; hosted agents have it.",
        )
    return found


def find_program(name: str, settings: ProgramSettings) -> Path | None:
    """The program of that path, which counts from the working folder, or of that name on PATH; None when there is none.

    On Windows the name may lack its .exe.
    """
    is_path = os.sep in name or "/" in name
    places = [Path(name).absolute()] if is_path else _places_on_path((name,), settings)
    found = (file.with_name(file.name + suffix) for file in places for suffix in _SUFFIXES)
    return next((file for file in found if file.is_file() and os.access(file, os.X_OK)), None)


def find_msiexec(settings: ProgramSettings) -> Path:
    """Windows' installer; raises PrerequisiteError when it is not found."""
    installer = Path(variable(settings, "SYSTEMROOT") or "") / "System32" / "msiexec.exe"
    if not (installer.is_absolute() and installer.is_file()):
        raise PrerequisiteError(
            "msiexec.exe was not found: an MSI is installed on Windows only",
            code="NOT_WINDOWS",
            remedy="Use a Windows agent, or leave out --tools-msi.",
        )
    return installer


def _named(path: Path, name: str, option: str) -> Tool:
    file = path / name if path.is_dir() else path
    if not file.is_file():
        raise PrerequisiteError(
            f"{file} does not exist",
            code=f"{name.partition('.')[0].upper()}_MISSING",
            remedy=f"Correct {option}: the program's path, or its folder.",
        )
    return describe(file.absolute())


def _executables(name: str) -> tuple[str, ...]:
    return (f"{name}.exe",) if sys.platform == "win32" else (name, f"{name}.exe")


def _on_path(
    names: tuple[str, ...], settings: ProgramSettings, accepted: Callable[[Path], bool] = Path.is_file
) -> Tool | None:
    files = (file for file in _places_on_path(names, settings) if file.is_file() and os.access(file, os.X_OK))
    found = next(filter(accepted, files), None)
    return describe(found) if found else None


def _may_be_of_windows(file: Path) -> bool:
    """Whether the file is a program of Windows, or a script that starts one. Linux and macOS have programs of the name
    signtool that sign something else (NSS's signs JAR files)."""
    return file.read_bytes()[:4] not in _OTHER_SYSTEMS


def _places_on_path(names: tuple[str, ...], settings: ProgramSettings) -> Iterator[Path]:
    # Not shutil.which: on Windows it looks into the working folder first, where anything may have been checked out.
    folders = (Path(entry.strip('"')) for entry in (variable(settings, "PATH") or "").split(os.pathsep))
    usable = (folder for folder in folders if folder.is_absolute() and not (folder / SHIMS_MARK).exists())
    return (folder / name for folder in usable for name in names)


def _windows_kits(settings: ProgramSettings) -> Iterator[Path]:
    for name in ("ProgramFiles(x86)", "ProgramFiles"):
        kit = Path(variable(settings, name) or "") / "Windows Kits" / "10" / "bin"
        if kit.is_absolute():
            yield from sorted(kit.glob("10.*/x64/signtool.exe"), key=_version_key, reverse=True)
            yield from kit.glob("x64/signtool.exe")


def _digicert_folders(settings: ProgramSettings) -> Iterator[Path]:
    folder = Path(variable(settings, "ProgramFiles") or "") / "DigiCert"
    if folder.is_absolute():
        yield from sorted(folder.glob("*/smctl.exe"), key=lambda path: path.stat().st_mtime, reverse=True)


def variable(settings: ProgramSettings, name: str) -> str | None:
    """A variable of the agent, which Windows knows by any case; None when it is not set."""
    known = {key.upper(): value for key, value in settings.agent_environment.items()}
    return known.get(name.upper())


def _version_key(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", path.parent.parent.name))


def describe(path: Path) -> Tool:
    """Version and architecture as stated in the file: PE header and VS_FIXEDFILEINFO."""
    try:
        content = path.read_bytes()
    except OSError as unreadable:
        raise PrerequisiteError(
            f"{path} can't be read: {unreadable.strerror or unreadable}",
            code="TOOL_NOT_STARTED",
            remedy="Check that this user may read and run it.",
        ) from unreadable
    if content[:2] != b"MZ" or len(content) < 64:
        return Tool(path, "", "")
    header = struct.unpack_from("<I", content, 60)[0]
    machine = struct.unpack_from("<H", content, header + 4)[0] if header + 6 <= len(content) else 0
    at = content.find(_FIXED_FILE_INFO)
    version = ""
    if 0 <= at <= len(content) - 16:
        high, low = struct.unpack_from("<II", content, at + 8)
        version = f"{high >> 16}.{high & 0xFFFF}.{low >> 16}.{low & 0xFFFF}"
    return Tool(path, version, _MACHINES.get(machine, ""))
