"""Installing the client tools by Wine's own msiexec: a real MSI, a broken one, and one that is not the stated."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from windows_lab.machine import Ended, Windows

MAKER = Path(__file__).with_name("msi.py")
VENDOR = "drive_c/Program Files/DigiCert"
TOOL_ENV = ("--tool-env", "WINLAB", "--tool-env", "WINLAB_STATE")


@pytest.fixture
def without_tools(windows: Windows) -> Windows:
    """A Windows where smctl is neither on PATH nor below Program Files; the lab's is in the working folder."""
    (vendor,) = (windows.root / "prefix" / VENDOR).iterdir()
    (windows.folder / "smctl.exe").write_bytes((vendor / "smctl.exe").read_bytes())
    # A link to the lab's own folder, which other tests use.
    vendor.unlink()
    return windows


def certsync(windows: Windows, msi: str, sha256: str) -> Ended:
    """certsync with an installer."""
    chosen = ("--key-store", "windows", "--keypair-alias", "Contoso-Release", "--store", "store", *TOOL_ENV)
    return windows.kspsign("certsync", *chosen, "--tools-msi", msi, "--tools-msi-sha256", sha256)


def test_the_tools_come_from_an_msi_and_the_certificate_with_them(without_tools: Windows) -> None:
    windows = without_tools
    packed = windows.run("wine", "cabarc", "n", "content.cab", "smctl.exe")
    assert packed.exit_code == 0, packed.output
    size = (windows.folder / "smctl.exe").stat().st_size
    made = windows.python(MAKER, "content.cab", str(size), "tools.msi")
    assert made.exit_code == 0, made.output
    digest = hashlib.sha256((windows.folder / "tools.msi").read_bytes()).hexdigest()
    first = certsync(windows, "tools.msi", digest)
    assert first.exit_code == 0, first.output
    assert r"installed the client tools from tools.msi: C:\Program Files\DigiCert\Lab Tools\smctl.exe" in first.output
    assert windows.key("Contoso-Release").thumbprint in first.stdout
    again = certsync(windows, "tools.msi", digest)
    assert "smctl is already installed, the MSI is not needed" in again.output


def test_what_windows_can_not_install_is_told_with_its_log(without_tools: Windows) -> None:
    content = b"no installer at all"
    (without_tools.folder / "tools.msi").write_bytes(content)
    ended = certsync(without_tools, "tools.msi", hashlib.sha256(content).hexdigest())
    assert ended.exit_code == 5, ended.output
    assert "msiexec ended with exit code 16" in ended.output
    other = certsync(without_tools, "tools.msi", "0" * 64)
    assert other.exit_code == 5
    assert "not installed" in other.output
