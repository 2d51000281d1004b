"""The recipes of NSIS and wixl, with the real programs: what they build is signed, and so is what is inside."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.drop_in import BuildAgent
from support.nsis import integrity_holds
from support.recipes_of_build_tools import recipe, stamped_by
from support.samples import copy_launcher

SCRIPT = """
Name app
OutFile setup.exe
InstallDir $TEMP\\app
SetCompressor /SOLID lzma
{recipe}
!uninstfinalize 'cp "%1" uninstall.exe'
Section
  SetOutPath $INSTDIR
  File app.exe
  WriteUninstaller $INSTDIR\\uninstall.exe
SectionEnd
Section Uninstall
  Delete $INSTDIR\\app.exe
SectionEnd
"""
PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
  <Product Id="*" Name="App" Version="1.0.0" Manufacturer="Contoso" Language="1033"
    UpgradeCode="7b1f4f5a-6b5f-4a53-9a52-0c9a1c7b1f4f">
    <Package InstallerVersion="200" Compressed="yes"/>
    <Media Id="1" Cabinet="app.cab" EmbedCab="yes"/>
    <Directory Id="TARGETDIR" Name="SourceDir"><Directory Id="App" Name="App">
      <Component Id="C" Guid="5f1b4b7f-4a53-4a52-9a52-0c9a1c7b1f4f"><File Id="F" Source="app.exe"/></Component>
    </Directory></Directory>
    <Feature Id="All" Level="1"><ComponentRef Id="C"/></Feature>
  </Product>
</Wix>
"""
SIGN = ("signtool", "sign", "/fd", "SHA256", "/td", "SHA256", "/tr")


def installer(agent: BuildAgent, lines: str) -> subprocess.CompletedProcess[str]:
    """What makensis says of a script with the recipe's lines."""
    (agent.folder / "setup.nsi").write_text(SCRIPT.format(recipe=lines), encoding="utf-8")
    copy_launcher(agent.folder, to="app.exe")
    return agent.step("makensis", "-V2", "setup.nsi")


def test_nsis_installer_and_uninstaller_are_signed_and_pass_their_own_check(agent: BuildAgent) -> None:
    """!finalize and !uninstfinalize; the peer verifies both and refuses a changed twin, and NSIS' own check holds."""
    agent = agent.with_launchers()
    spent = agent.host.world.spent
    built = installer(agent, stamped_by(recipe("nsis"), agent.timestamps))
    assert built.returncode == 0, built.stdout
    assert agent.host.world.spent == spent + 2
    for name in ("setup.exe", "uninstall.exe"):
        path = agent.folder / name
        assert agent.peer(path).accepted, agent.peer(path).text
        assert integrity_holds(path.read_bytes())
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        twin = agent.folder / f"twin-{name}"
        twin.write_bytes(data)
        assert not agent.peer(twin).accepted
        assert not integrity_holds(bytes(data))


def test_nsis_fails_when_signing_does(agent: BuildAgent) -> None:
    """`= 0` of the recipe: no unsigned installer passes."""
    agent = agent.with_launchers()
    agent.host.world.keypairs[0].signers = frozenset({"somebody.else"})
    try:
        built = installer(agent, stamped_by(recipe("nsis"), agent.timestamps))
    finally:
        agent.host.world.keypairs[0].signers = None
    assert built.returncode != 0, built.stdout


def test_wixl_package_with_a_signed_program_inside(agent: BuildAgent) -> None:
    """Inside out: the program, then the package; msitools extracts the program as it was signed."""
    agent = agent.with_launchers()
    program, package = copy_launcher(agent.folder, to="app.exe"), agent.folder / "app.msi"
    (agent.folder / "app.wxs").write_text(PACKAGE, encoding="utf-8")
    for command in ((*SIGN, agent.timestamps, program), ("wixl", "-o", package, "app.wxs")):
        done = agent.step(*command)
        assert done.returncode == 0, done.stdout
    signed = agent.step(*SIGN, agent.timestamps, package)
    assert signed.returncode == 0, signed.stdout
    assert agent.peer(package).accepted
    assert agent.step("msiextract", "-C", "out", package).returncode == 0
    (extracted,) = Path(agent.folder / "out").rglob("app.exe")
    assert extracted.read_bytes() == program.read_bytes()
    assert agent.peer(extracted).accepted
