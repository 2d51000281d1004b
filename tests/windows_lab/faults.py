"""How faults are injected that take more than a word of the lab, an option or a variable."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from windows_lab.fault_bench import Stage
from windows_lab.twins import in_section

KILL_SECONDS = 300


def synchronised(stage: Stage) -> None:
    """The certificate is in the store already."""
    stage.windows.certsync("Contoso-Release")


def without_key(stage: Stage) -> None:
    """The certificate was imported from its file, which links no private key."""
    ended = stage.windows.run("cert", "add", "user", "MY", stage.windows.key("Contoso-Release").certificate)
    assert ended.exit_code == 0, ended.output


def unregistered(stage: Stage) -> None:
    """Certsync was done while the KSP was registered; it no longer is."""
    synchronised(stage)
    assert stage.windows.smctl("windows", "ksp", "unregister").exit_code == 0
    stage.cleanup.callback(stage.windows.smctl, "windows", "ksp", "register")


def without_smctl(stage: Stage) -> None:
    """DigiCert's client tools are not installed."""
    _away(stage, "Program Files/DigiCert")


def old_smctl(stage: Stage) -> None:
    """A build of smctl that does not know --exit-non-zero-on-fail, and so exits with 0 when signing fails."""
    script = """@echo %* | find "--exit-non-zero-on-fail" >nul
@if not errorlevel 1 goto refuse
@"C:\\Program Files\\DigiCert\\DigiCert One Signing Manager Tools\\smctl.exe" %*
@exit /b %errorlevel%
:refuse
@echo Error: unknown flag: --exit-non-zero-on-fail
@exit /b 1
"""
    (stage.windows.folder / "smctl.bat").write_text(script, encoding="ascii", newline="\r\n")


def without_signtool(stage: Stage) -> None:
    """No Windows SDK is installed."""
    _away(stage, "Program Files (x86)/Windows Kits")


def read_only(stage: Stage) -> None:
    """The second file may not be written."""
    (stage.windows.folder / "in" / "bad.exe").chmod(0o444)


def in_use(stage: Stage) -> None:
    """A Windows program has the second file open for writing."""
    script = "import sys; file = open('in/bad.exe', 'r+b'); print('open', flush=True); sys.stdin.read()"
    holder = stage.windows.start("python", "-c", script, stdin=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == b"open"
    stage.cleanup.callback(holder.communicate)


def truncated(stage: Stage) -> None:
    """The second file ends after 300 bytes."""
    os.truncate(stage.windows.folder / "in" / "bad.exe", 300)


def text(stage: Stage) -> None:
    """A file of a type that carries no signature."""
    (stage.windows.folder / "in" / "notes.txt").write_text("not a program\n", encoding="utf-8")


def navision(stage: Stage) -> None:
    """A Business Central package, and no NavSip.dll is registered."""
    content = b"PK" + bytes(1000)
    navx = b"NAVX" + struct.pack("<II16sq", 40, 2, bytes(16), len(content)) + b"NAVX" + content
    (stage.windows.folder / "in" / "sales.app").write_bytes(navx)


def linked(stage: Stage) -> None:
    """One file has two names."""
    (stage.windows.folder / "in" / "link.exe").symlink_to("app.exe")


def signed_elsewhere(stage: Stage) -> None:
    """Signed by another publisher, without timestamp."""
    _signed(stage, "Contoso-EC")


def self_signed(stage: Stage) -> None:
    """Signed with a certificate that nobody trusts."""
    _signed(stage, "Contoso-SelfSigned")


def tampered(stage: Stage) -> None:
    """Signed, then changed by one byte."""
    path = _signed(stage, "Contoso-Release")
    path.write_bytes(in_section(path.read_bytes()))


def kill_signtool(stage: Stage) -> None:
    """Kill SignTool, and the KSP in it, while it signs the file for which the KSP is slow."""
    end = time.monotonic() + KILL_SECONDS
    while not stage.windows.calls("ksp.sign begins slow"):
        if time.monotonic() > end:
            raise TimeoutError("SignTool asked for no signature")
        time.sleep(0.05)
    victims = list(_processes(stage, "signtool.exe sign"))
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    assert victims


def _processes(stage: Stage, words: str) -> Iterator[int]:
    """Programs of this Windows, or that it called, whose command line contains `words`."""
    ours = f"WINLAB_STATE={stage.windows.root / 'state'}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, variables = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue  # it ended meanwhile, or is none of this user
        if words in command.replace(b"\0", b" ").decode(errors="replace") and ours in variables:
            yield int(process.name)


def _signed(stage: Stage, alias: str) -> Path:
    (stage.windows.folder / "in").mkdir()
    return stage.windows.sign_elsewhere(alias, "in/app.exe")


def _away(stage: Stage, folder: str) -> None:
    installed = stage.windows.root / "prefix" / "drive_c" / folder
    hidden = installed.with_name("elsewhere")
    installed.rename(hidden)
    stage.cleanup.callback(hidden.rename, installed)
