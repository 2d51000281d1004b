"""Locates SignTool's dlib for Azure Artifact Signing, and the .NET runtime that it needs.

SignTool is native, the dlib is .NET with a native entry point (C++/CLI): without the runtime that its
runtimeconfig.json names SignTool ends without a word, and a SignTool of another architecture can't load it at all.
https://learn.microsoft.com/azure/artifact-signing/how-to-signing-integrations
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from kspsign.model.errors import PrerequisiteError
from kspsign.programs.locate import Tool, describe, variable
from kspsign.settings.program_settings import ProgramSettings

DLIB: Final = "Azure.CodeSigning.Dlib.dll"
ARCHITECTURE: Final = "x64"
_PACKAGES: Final = ("Microsoft.ArtifactSigning.Client", "Microsoft.Trusted.Signing.Client")
_MODULES: Final = ("ArtifactSigning", "TrustedSigning")
"""The PowerShell modules, which the Azure DevOps task and the GitHub action install too."""
_INSTALLED: Final = ("MicrosoftArtifactSigningClientTools", "MicrosoftTrustedSigningClientTools")
_SUPPORTED: Final = (10, 0, 22621, 755)
_UNSUPPORTED: Final = 20348
"""The build of an SDK whose SignTool the dlib does not support, by Microsoft's page."""
_DOTNET: Final = r"SOFTWARE\dotnet\Setup\InstalledVersions\x64"
_HIGHER_MAJOR: Final = frozenset({"major", "latestmajor"})
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class Framework(NamedTuple):
    """A shared framework of .NET: its name, the lowest version, and whether a higher major one will do."""

    name: str
    version: tuple[int, int, int]
    rolls_forward: bool

    def is_met_by(self, version: tuple[int, int, int]) -> bool:
        """By default the same major version, of this minor version or a higher one (rollForward: Minor)."""
        return version >= self.version and (version[0] == self.version[0] or self.rolls_forward)


def find_dlib(settings: ProgramSettings, named: Path | None) -> Tool:
    """The dlib: `named` (--signing-dlib, the file or its folder), else the newest x64 one that is installed.

    Raises PrerequisiteError when there is none, or it is not x64.
    """
    if named is not None:
        file = (named / DLIB if named.is_dir() else named).absolute()
        if not file.is_file():
            raise PrerequisiteError(
                f"{file} does not exist",
                code="DLIB_MISSING",
                remedy=f"Correct --signing-dlib: the path of {DLIB}, or its folder.",
            )
        return _checked(describe(file))
    found = [describe(file) for file in _installed(settings) if file.is_file()]
    if not found:
        raise PrerequisiteError(
            f"SignTool's dlib for Azure Artifact Signing ({DLIB}) was not found",
            code="DLIB_MISSING",
            remedy="Install it (`winget install -e --id Microsoft.Azure.ArtifactSigningClientTools`, or the NuGet "
            "package Microsoft.ArtifactSigning.Client), or name it with --signing-dlib; --engine native needs none.",
        )
    fitting = [dlib for dlib in found if dlib.architecture == ARCHITECTURE]
    return _checked(max(fitting or found, key=lambda dlib: _numbers(dlib.version)))


def check_signtool(tool: Tool) -> None:
    """Raise PrerequisiteError for a SignTool that can't load the dlib."""
    if tool.architecture not in {ARCHITECTURE, ""}:
        raise PrerequisiteError(
            f"{tool} can't load the dlib, which is {ARCHITECTURE}",
            code="DLIB_ARCHITECTURE",
            remedy=f"Name the {ARCHITECTURE} SignTool with --signtool; a developer command prompt prefers the x86 one.",
        )


def is_supported(tool: Tool) -> bool:
    """Whether Microsoft supports the dlib in this version of SignTool; true for one that does not state its version."""
    numbers = _numbers(tool.version)
    return not numbers or (numbers >= _SUPPORTED and _UNSUPPORTED not in numbers)


def find_runtime(settings: ProgramSettings, dlib: Tool) -> str:
    """The .NET runtime that the dlib will run in, for people. Raises PrerequisiteError when none fits."""
    wanted = _needed(dlib.path.with_suffix(".runtimeconfig.json"))
    shared = _dotnet(settings) / "shared" / wanted.name
    present = [folder.name for folder in sorted(shared.glob("*.*.*"))] if shared.is_absolute() else []
    fitting = [name for name in present if (number := _version(name)) is not None and wanted.is_met_by(number)]
    if not fitting:
        least = ".".join(map(str, wanted.version))
        raise PrerequisiteError(
            f"the dlib needs {wanted.name} {least} (x64); {shared} holds {', '.join(present) or 'none'}",
            code="DOTNET_RUNTIME_MISSING",
            remedy=f"Install the x64 runtime of .NET {wanted.version[0]} (winget install "
            f"Microsoft.DotNet.Runtime.{wanted.version[0]}): without it SignTool ends with no message.",
        )
    return f"{wanted.name} {fitting[-1]}"


def _installed(settings: ProgramSettings) -> Iterator[Path]:
    """Where the MSI, NuGet and the PowerShell modules put it."""
    local, user = Path(variable(settings, "LOCALAPPDATA") or ""), Path(variable(settings, "USERPROFILE") or "")
    if local.is_absolute():
        yield from (local / "Microsoft" / folder / DLIB for folder in _INSTALLED)
        for module, package in zip(_MODULES, _PACKAGES, strict=True):
            yield from sorted((local / module / package).glob(f"*/bin/{ARCHITECTURE}/{DLIB}"))
    if user.is_absolute():
        for package in _PACKAGES:
            packages = user / ".nuget" / "packages" / package.lower()
            yield from sorted(packages.glob(f"*/bin/{ARCHITECTURE}/{DLIB}"))


def _dotnet(settings: ProgramSettings) -> Path:
    """Where .NET (x64) is installed: as the registry says, else below Program Files; "" where there is neither.

    https://github.com/dotnet/designs/blob/main/accepted/2020/install-locations.md
    """
    if sys.platform == "win32":
        import winreg  # noqa: PLC0415 - on Windows only

        with (
            contextlib.suppress(OSError),
            winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _DOTNET, access=winreg.KEY_READ | winreg.KEY_WOW64_32KEY) as key,
        ):
            return Path(str(winreg.QueryValueEx(key, "InstallLocation")[0]))
    programs = Path(variable(settings, "ProgramFiles") or "")
    return programs / "dotnet" if programs.is_absolute() else programs


def _checked(dlib: Tool) -> Tool:
    if dlib.architecture != ARCHITECTURE:
        raise PrerequisiteError(
            f"{dlib} is not an {ARCHITECTURE} DLL",
            code="DLIB_ARCHITECTURE",
            remedy=f"Name the one in the package's folder bin\\{ARCHITECTURE} with --signing-dlib.",
        )
    return dlib


def _needed(file: Path) -> Framework:
    """What the dlib's runtimeconfig.json names. Raises PrerequisiteError when it can't be read."""
    try:
        options = json.loads(file.read_text(encoding="utf-8-sig"))["runtimeOptions"]
        framework: dict[str, Any] = options.get("framework") or options["frameworks"][0]
        name = str(framework["name"])
        version = _version(str(framework["version"]))
        rolls = str(options.get("rollForward", "")).lower() in _HIGHER_MAJOR
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as unreadable:
        raise _incomplete(file) from unreadable
    if version is None or "/" in name or "\\" in name:
        raise _incomplete(file)
    return Framework(name, version, rolls)


def _incomplete(file: Path) -> PrerequisiteError:
    return PrerequisiteError(
        f"{file} does not say which .NET runtime the dlib needs",
        code="DLIB_MISSING",
        remedy="Install the dlib with all the files of its package; copied alone it does not load.",
    )


def _version(text: str) -> tuple[int, int, int] | None:
    found = _VERSION.match(text)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("."))) if version else ()
