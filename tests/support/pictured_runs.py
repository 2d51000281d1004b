"""Real runs for pictures: a release of some programs, a number of them broken, signed through KeyLocker's stand-in."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.embedded.authority import EmbeddedAuthority, create_authority
from kspsign.embedded.issue import KeyedCertificate
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.model.report import Report
from kspsign.publishing.read_report import read_report
from support.digicert_one.fixture import Host, running
from support.pki import TIMESTAMPING, Issued, ca, extended, issue, key_usage, name, signer

NOW = datetime.now(UTC)
VALID: dict[str, Any] = {"begin": NOW - timedelta(days=30), "end": NOW + timedelta(days=300)}
PROGRAMS = {
    "Contoso.App.exe": "t64.exe",
    "Contoso.Core.dll": "w64.exe",
    "Contoso.Updater.exe": "t32.exe",
    "arm64/Contoso.App.exe": "t64-arm.exe",
}
"""Names of the release, and the launchers that take their part."""
BROKEN: tuple[Callable[[bytes], bytes], ...] = (
    *(lambda program: program[:700] for _ in range(6)),
    *(lambda _: b"<!DOCTYPE html><html><body>404 Not Found</body></html>" for _ in range(2)),
    lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n",
    lambda _: b"",
)
"""What builds leave by mistake: cut off, a failed download, not fetched, never written."""
_SCREEN = "130x50"


@dataclass(frozen=True)
class PicturedRun:
    """What one run printed and wrote; `screen` is the terminal's, with its escape sequences for colours."""

    log: tuple[str, ...]
    summary: str
    junit: str
    screen: str
    report: Report


def run(launchers: Path, failures: int, *, terminal: bool = True) -> PicturedRun:
    """Sign four programs and `failures` broken ones: as a step of Azure Pipelines, and again in a terminal (tmux)."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "host").mkdir()
        host = stack.enter_context(running(folder / "host"))
        authority, timestamp_root = _timestamp_authority()
        server = stack.enter_context(TimestampServer(authority))
        roots = folder / "roots.pem"
        roots.write_bytes(_key_pair(host).pem + timestamp_root.pem)
        command = [
            str(Path(sys.executable).with_name("kspsign")), "run", "**/*.exe", "**/*.dll", "--key-store", "keylocker",
            "--keypair-alias", "contoso-release", "--timestamp-url", server.url, "--trust-root", str(roots),
            "--store", str(folder / "store"), "--summary", str(folder / "s.md"), "--junit", str(folder / "j.xml"),
            "--report", str(folder / "r.json"),
        ]  # fmt: skip
        environment = {**os.environ, **host.environment, "TF_BUILD": "True", "AGENT_TEMPDIRECTORY": str(folder)}
        step = subprocess.run(
            command, cwd=_release(folder / "step", launchers, failures), env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        screen = ""
        if terminal:
            screen = _in_terminal(command, _release(folder / "terminal", launchers, failures), host.environment)
        summary, junit = ((folder / name).read_text(encoding="utf-8") for name in ("s.md", "j.xml"))
        report = read_report(folder / "r.json", "r.json")
    return PicturedRun(tuple(step.stdout.splitlines()), summary, junit, screen, report)


def _key_pair(host: Host) -> Issued:
    """Give the host the release's key pair and certificate; returns the root."""
    key = rsa.generate_private_key(65537, 3072)
    root = ca(name("Example Code Signing Root"), **VALID)
    issuer = ca(name("Example Code Signing CA"), root, **VALID)
    leaf = signer(name("Contoso Ltd", "Contoso Ltd"), issuer, key=key, **VALID)
    pair = host.world.add_keypair("contoso-release", key)
    host.world.add_certificate(pair, "contoso-release certificate", leaf=leaf, chain=(issuer, root))
    return root


def _timestamp_authority() -> tuple[EmbeddedAuthority, Issued]:
    """An authority whose timestamps are named as a public one's are, and its root."""
    key = rsa.generate_private_key(65537, 3072)
    root = ca(name("Example Timestamp Root"), **VALID)
    purposes = (extended(TIMESTAMPING, critical=True), key_usage("digital_signature"))
    unit = issue(name("Example Timestamp Authority"), root, key=key, extensions=purposes, **VALID)
    return create_authority(NOW)._replace(timestamp=KeyedCertificate(unit.certificate, key)), root


def _release(folder: Path, launchers: Path, failures: int) -> Path:
    """A folder with the programs of the release and so many broken plug-ins."""
    for path, launcher in PROGRAMS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(launchers / launcher, folder / path)
    program = (launchers / "t64.exe").read_bytes()
    for number in range(failures):
        target = folder / "plugins" / f"Contoso.Plugin{number:03}.dll"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(BROKEN[number % len(BROKEN)](program))
    return folder


def _in_terminal(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """What tmux shows after the command has ended there."""
    socket, ended = str(folder / "tmux"), folder.parent / "ended"
    line = f"{shlex.join(command)}; touch {shlex.quote(str(ended))}; sleep 60"
    width, _by, height = _SCREEN.partition("x")
    start = ["new-session", "-d", "-x", width, "-y", height, "-c", str(folder), line]
    inherited = {key: value for key, value in os.environ.items() if key not in {"TMUX", "NO_COLOR", "CI"}}
    variables = {**inherited, **environment, "TERM": "xterm-256color"}
    try:
        subprocess.run(["tmux", "-S", socket, *start], check=True, env=variables)
        until = time.monotonic() + 60
        while not ended.exists() and time.monotonic() < until:
            time.sleep(0.1)
        shown = subprocess.run(
            ["tmux", "-S", socket, "capture-pane", "-p", "-e", "-J", "-S", "-"], check=True, capture_output=True
        )
        return shown.stdout.decode("utf-8")
    finally:
        subprocess.run(["tmux", "-S", socket, "kill-server"], check=False)
