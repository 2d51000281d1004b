"""Installing the client tools: only an MSI that is known, from a file or over https, and what msiexec answers."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kspsign.keys.open import surroundings_of
from kspsign.keys.protocol import no_notice
from kspsign.keys.table import STORES
from kspsign.keys.windows.options import WindowsOptions
from kspsign.keys.windows.store import WindowsStore
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.network_options import NetworkOptions
from kspsign.programs.client_certificate_file import PREFIX
from kspsign.programs.client_tools import MAX_REDIRECTS, fetch_msi, install_client_tools, restart_wanted
from kspsign.programs.run import Ran
from kspsign.settings.model import Settings
from kspsign.settings.resolve import resolve
from support.https_server import serve

MSI = b"an installer " * 1000
SHA256 = hashlib.sha256(MSI).hexdigest()
INSTALLER = """#!/bin/sh
printf '%s\\n' "$*" >> "{calls}"
case "$2" in *tools.msi) ;; *) exit 87 ;; esac
printf 'Action start\\r\\nError 1925. Not enough privileges.\\r\\n' | iconv -t UTF-16 > "$6"
[ {code} = 0 ] || exit {code}
mkdir -p "{tools}" && printf MZ > "{tools}/smctl.exe"
exit {code}
"""


class Machine:
    """Folders of a made-up Windows whose msiexec is a script."""

    def __init__(self, root: Path) -> None:
        self.root, self.calls, self.temp = root, root / "calls", root / "temp"
        self.tools = root / "Program Files" / "DigiCert" / "Tools"
        self.temp.mkdir()
        self.msi = root / "tools.msi"
        self.msi.write_bytes(MSI)
        self.said: list[str] = []

    def answers(self, code: int) -> None:
        """What msiexec exits with."""
        msiexec = self.root / "Windows" / "System32" / "msiexec.exe"
        msiexec.parent.mkdir(parents=True, exist_ok=True)
        msiexec.write_text(INSTALLER.format(calls=self.calls, code=code, tools=self.tools), encoding="utf-8")
        msiexec.chmod(0o755)

    def settings(self) -> Settings:
        """Settings with this machine's folders."""
        environment = {
            "SystemRoot": str(self.root / "Windows"),
            "ProgramFiles": str(self.root / "Program Files"),
            "PATH": "/usr/bin:/bin",
        }
        return Settings(agent_environment=environment, temp_folder=self.temp)

    def install(self, source: str | None = None, sha256: str = SHA256) -> None:
        """Install from `source`."""
        install_client_tools(source or str(self.msi), sha256, self.settings(), self.said.append)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.answers(0)
    return made


def refusal(machine: Machine, source: str | None = None, sha256: str = SHA256) -> PrerequisiteError:
    """The error; nothing of ours is left."""
    with pytest.raises(PrerequisiteError) as caught:
        machine.install(source, sha256)
    assert [path for path in machine.temp.iterdir() if path.name.startswith(PREFIX)] == []
    return caught.value


def test_it_is_installed_silently_from_a_private_copy_and_smctl_is_found(machine: Machine) -> None:
    machine.install()
    (call,) = machine.calls.read_text(encoding="utf-8").splitlines()
    assert call.startswith(f"/i {machine.temp}/{PREFIX}")
    assert "/tools.msi /quiet /norestart /liwearmo " in call
    (said,) = machine.said
    assert said == f"installed the client tools from {machine.msi}: {machine.tools / 'smctl.exe'}"
    assert list(machine.temp.iterdir()) == []


def test_smctl_that_is_there_is_kept(machine: Machine) -> None:
    machine.tools.mkdir(parents=True)
    (machine.tools / "smctl.exe").touch()
    machine.install()
    assert not machine.calls.exists()
    assert machine.said == [f"smctl is already installed, the MSI is not needed: {machine.tools / 'smctl.exe'}"]


def test_without_the_setting_nothing_is_said_or_done(machine: Machine, tmp_path: Path) -> None:
    options = WindowsOptions(keypair_alias="Release", certificate=tmp_path / "missing.crt")
    surroundings = surroundings_of(machine.settings(), options, threading.Event(), no_notice)
    with pytest.raises(PrerequisiteError, match=r"missing\.crt"):
        WindowsStore.open(options, surroundings)
    assert machine.said == []
    assert not machine.calls.exists()


def test_another_content_is_never_started(machine: Machine) -> None:
    machine.msi.write_bytes(MSI + b"!")
    error = refusal(machine)
    assert error.code == "TOOLS_MSI_MISMATCH"
    assert SHA256 in error.message
    assert hashlib.sha256(MSI + b"!").hexdigest() in error.message
    assert not machine.calls.exists()


def test_a_missing_file(machine: Machine) -> None:
    error = refusal(machine, str(machine.root / "nowhere.msi"))
    assert (error.code, error.exit_code) == ("TOOLS_MSI_UNAVAILABLE", 5)
    assert "nowhere.msi could not be obtained: No such file" in error.message


def test_elsewhere_than_on_windows(machine: Machine) -> None:
    (machine.root / "Windows" / "System32" / "msiexec.exe").unlink()
    assert refusal(machine).code == "NOT_WINDOWS"


def test_the_end_of_the_log_is_shown_when_it_fails(machine: Machine) -> None:
    machine.answers(67)
    error = refusal(machine)
    assert error.code == "TOOLS_NOT_INSTALLED"
    assert "exit code 67: see its log" in error.message
    assert error.message.endswith("Action start\nError 1925. Not enough privileges.")


@pytest.mark.parametrize(
    ("code", "words", "remedy"),
    [
        (1603, "administrator rights or disk space", "as an administrator"),
        (1618, "another installation is running", "again when it has finished"),
        (1620, "not a valid MSI", "SHA-256"),
        (1925, "not allowed to install for all users", "as an administrator"),
        (None, "did not finish in time", "shows dialogs"),
    ],
)
def test_what_an_exit_code_means(tmp_path: Path, code: int | None, words: str, remedy: str) -> None:
    log = tmp_path / "msiexec.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)), encoding="utf-16")
    with pytest.raises(PrerequisiteError) as caught:
        restart_wanted(Ran(code, "", "", 1.0), log)
    assert words in caught.value.message
    assert remedy in caught.value.remedy
    assert "line 84" not in caught.value.message
    assert caught.value.message.endswith("line 98\nline 99")


def test_a_restart_that_is_wanted_is_no_failure(tmp_path: Path) -> None:
    log = tmp_path / "msiexec.log"
    assert [restart_wanted(Ran(code, "", "", 1.0), log) for code in (0, 3010)] == [False, True]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tools_msi": "t.msi"}, "go together"),
        ({"tools_msi_sha256": SHA256}, "go together"),
        ({"tools_msi": "t.msi", "tools_msi_sha256": SHA256[1:]}, "64 hex digits"),
        ({"tools_msi": "http://example.com/t.msi", "tools_msi_sha256": SHA256}, "only over https, not over http"),
        ({"tools_msi": "ftp://example.com/t.msi", "tools_msi_sha256": SHA256}, "only over https, not over ftp"),
    ],
)
def test_wrong_settings(given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve("certsync", {"key_store": "windows", **given}, environment={}, stores=STORES)
    assert words in caught.value.message


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An https server on loopback with the MSI, whose certificate this process trusts."""
    for variable in [variable for variable in os.environ if variable.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    with serve(tmp_path / "server.pem", MSI) as address:
        yield address


@pytest.mark.parametrize("address", ["/tools.msi", "/moved"])
def test_it_is_downloaded_over_https(server: str, address: str, tmp_path: Path) -> None:
    fetched = fetch_msi(f"{server}{address}?sig=s3cret", SHA256, tmp_path, NetworkOptions())
    assert fetched.read_bytes() == MSI


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/nothing", "HTTP 404"),
        ("/down", "redirects to an address that is not https"),
        ("/round", f"more than {MAX_REDIRECTS} redirects"),
    ],
)
def test_a_download_that_fails(machine: Machine, server: str, address: str, words: str) -> None:
    error = refusal(machine, f"{server}{address}?sig=s3cret")
    assert error.code == "TOOLS_MSI_UNAVAILABLE"
    assert words in error.message
    assert "s3cret" not in str(error)


def test_a_server_that_is_not_trusted(machine: Machine, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(machine.msi.with_name("none.pem")))
    assert "SSLError" in refusal(machine, f"{server}/tools.msi").message


def test_nothing_listens(machine: Machine) -> None:
    assert refusal(machine, "https://127.0.0.1:9/tools.msi").code == "TOOLS_MSI_UNAVAILABLE"
