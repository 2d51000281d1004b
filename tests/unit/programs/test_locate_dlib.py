"""Where the dlib of Azure Artifact Signing and its .NET runtime are, and which SignTool loads it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from kspsign.model.errors import PrerequisiteError
from kspsign.programs.locate import Tool
from kspsign.programs.locate_dlib import DLIB, check_signtool, find_dlib, find_runtime, is_supported
from kspsign.settings.model import Settings

X64, X86 = 0x8664, 0x014C


def dll(path: Path, *, machine: int = X64, version: tuple[int, int, int, int] = (1, 0, 128, 0)) -> Path:
    """A file with the headers that state architecture and version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<H", machine)
    high, low = version[0] << 16 | version[1], version[2] << 16 | version[3]
    path.write_bytes(header + struct.pack("<IIII", 0xFEEF04BD, 0x00010000, high, low))
    return path


def having(folder: Path) -> Settings:
    variables = {"LocalAppData": folder / "local", "UserProfile": folder / "user", "ProgramFiles": folder / "programs"}
    return Settings(agent_environment={name: str(path) for name, path in variables.items()})


def needing(dlib: Path, **options: Any) -> Tool:
    """The dlib with what its runtimeconfig.json says."""
    framework = {"framework": {"name": "Microsoft.NETCore.App", "version": "8.0.0"}}
    content = {"runtimeOptions": {"tfm": "net8.0", **framework, **options}}
    dlib.with_suffix(".runtimeconfig.json").write_text(json.dumps(content), encoding="utf-8")
    return Tool(dlib, "1.0.128.0", "x64")


def runtime(folder: Path, *versions: str) -> None:
    for version in versions:
        (folder / "programs" / "dotnet" / "shared" / "Microsoft.NETCore.App" / version).mkdir(parents=True)


@pytest.mark.parametrize(
    "place",
    [
        f"local/Microsoft/MicrosoftArtifactSigningClientTools/{DLIB}",
        f"local/Microsoft/MicrosoftTrustedSigningClientTools/{DLIB}",
        f"local/ArtifactSigning/Microsoft.ArtifactSigning.Client/Microsoft.ArtifactSigning.Client.1.0.128/bin/x64/{DLIB}",
        f"local/TrustedSigning/Microsoft.Trusted.Signing.Client/Microsoft.Trusted.Signing.Client.1.0.95/bin/x64/{DLIB}",
        f"user/.nuget/packages/microsoft.artifactsigning.client/1.0.128/bin/x64/{DLIB}",
        f"user/.nuget/packages/microsoft.trusted.signing.client/1.0.95/bin/x64/{DLIB}",
    ],
)
def test_it_is_found_where_its_installers_put_it(place: str, tmp_path: Path) -> None:
    path = dll(tmp_path / place)
    assert find_dlib(having(tmp_path), None).path == path


def test_the_newest_x64_one_is_taken(tmp_path: Path) -> None:
    tools = tmp_path / "local" / "Microsoft" / "MicrosoftArtifactSigningClientTools" / DLIB
    packages = tmp_path / "user" / ".nuget" / "packages" / "microsoft.artifactsigning.client"
    dll(tools, version=(1, 0, 95, 0))
    newest = dll(packages / "1.0.128" / "bin" / "x64" / DLIB, version=(1, 0, 128, 0))
    dll(packages / "1.0.200" / "bin" / "x64" / DLIB, machine=X86, version=(1, 0, 200, 0))
    assert find_dlib(having(tmp_path), None).path == newest
    assert find_dlib(having(tmp_path), tools.parent).path == tools  # named, by its folder


@pytest.mark.parametrize(
    ("machine", "named", "code"), [(X86, DLIB, "DLIB_ARCHITECTURE"), (X64, "other.dll", "DLIB_MISSING")]
)
def test_a_dlib_that_can_t_be_used_is_refused(machine: int, named: str, code: str, tmp_path: Path) -> None:
    dll(tmp_path / DLIB, machine=machine)
    with pytest.raises(PrerequisiteError) as refused:
        find_dlib(having(tmp_path), tmp_path / named)
    assert refused.value.code == code


def test_none_is_installed(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="was not found") as missing:
        find_dlib(having(tmp_path), None)
    assert "ArtifactSigningClientTools" in missing.value.remedy


@pytest.mark.parametrize(
    ("present", "options", "fits"),
    [
        (("8.0.21",), {}, "Microsoft.NETCore.App 8.0.21"),
        (("6.0.36", "8.1.0"), {}, "Microsoft.NETCore.App 8.1.0"),
        (("10.0.0",), {"rollForward": "Major"}, "Microsoft.NETCore.App 10.0.0"),
        (("10.0.0",), {}, None),
        (("6.0.36",), {"rollForward": "LatestMajor"}, None),
        (("8.x", "notes"), {}, None),
        ((), {}, None),
    ],
)
def test_the_runtime_is_the_one_that_the_dlib_names(
    present: tuple[str, ...], options: dict[str, str], fits: str | None, tmp_path: Path
) -> None:
    runtime(tmp_path, *present)
    dlib = needing(dll(tmp_path / DLIB), **options)
    if fits is not None:
        assert find_runtime(having(tmp_path), dlib) == fits
        return
    with pytest.raises(PrerequisiteError) as missing:
        find_runtime(having(tmp_path), dlib)
    assert missing.value.code == "DOTNET_RUNTIME_MISSING"


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"{",
        b"[]",
        b'{"runtimeOptions": {}}',
        b'{"runtimeOptions": {"framework": {"name": "../x", "version": "8.0.0"}}}',
    ],
)
def test_a_dlib_that_was_copied_alone_is_incomplete(content: bytes | None, tmp_path: Path) -> None:
    path = dll(tmp_path / DLIB)
    if content is not None:
        path.with_suffix(".runtimeconfig.json").write_bytes(content)
    with pytest.raises(PrerequisiteError, match=r"does not say which \.NET runtime"):
        find_runtime(having(tmp_path), Tool(path, "1.0.128.0", "x64"))


def test_signtool_must_be_x64_and_should_be_new() -> None:
    with pytest.raises(PrerequisiteError) as refused:
        check_signtool(Tool(Path("signtool.exe"), "10.0.26100.1", "x86"))
    assert refused.value.code == "DLIB_ARCHITECTURE"
    versions = {
        "10.0.26100.9169": True,
        "10.0.22621.755": True,
        "10.0.20348.1": False,
        "10.0.22000.194": False,
        "": True,
    }
    assert {version: is_supported(Tool(Path("s"), version, "x64")) for version in versions} == versions
