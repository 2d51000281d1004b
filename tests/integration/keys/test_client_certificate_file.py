"""The client certificate that a variable holds: in no file of a native run, and in one of a program's run only."""

from __future__ import annotations

import base64
import stat
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from pydantic import SecretStr

from kspsign.model.errors import CancelledError
from kspsign.programs.run import Ran, call_tool
from kspsign.settings.model import Settings, in_temp_folder
from support.digicert_one.access import PASSWORD
from support.digicert_one.fixture import running
from support.formats.peimages import build_pe
from support.watched import kspsign_watched

CONTENT = b"content of a PKCS#12 file" * 9
PYTHON = Path(sys.executable)
LOOK = """
import os, pathlib, time
file = pathlib.Path(os.environ["SM_CLIENT_CERT_FILE"])
assert "SM_CLIENT_CERT_FILE_B64" not in os.environ
pathlib.Path("seen").write_text(f"{file} {file.stat().st_mode} {file.parent.stat().st_mode} {len(file.read_bytes())}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no path for what is no file")
def test_a_native_run_writes_it_to_no_file(tmp_path: Path) -> None:
    """Neither the PKCS#12 file nor the key in it, in whatever form, in whatever file that is removed again."""
    work, temporary, host_folder = (tmp_path / name for name in ("work", "temporary", "host"))
    for folder in (work, temporary, host_folder):
        folder.mkdir()
    (work / "app.dll").write_bytes(build_pe())
    with running(host_folder) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code")
        key, _, _ = pkcs12.load_key_and_certificates(host.client.read_bytes(), PASSWORD.encode())
        assert key is not None
        environment = {name: value for name, value in host.environment.items() if name != "SM_CLIENT_CERT_FILE"}
        environment |= {
            "SM_CLIENT_CERT_FILE_B64": base64.b64encode(host.client.read_bytes()).decode(),
            "TMPDIR": str(temporary),
        }
        options = ("--key-store", "keylocker", "--keypair-alias", "release", "--no-timestamp", "--store", "store")
        done = kspsign_watched(
            *("sign", "app.dll", *options, "--trust-root", host.root),
            folder=work,
            record=tmp_path / "seen.jsonl",
            environment=environment,
        )
    assert done.code == 0, done.text
    # Python's own way to find out whether a folder for temporary files can be written.
    probed = [text for text in done.removed if text.endswith(" blat")]
    assert len([path for path in done.opened if path.startswith(str(temporary))]) == len(probed) <= 1
    assert not [text for text in done.removed if "PRIVATE KEY" in text]
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert not [path for path in work.rglob("*") if path.is_file() and der[-32:] in path.read_bytes()]
    assert str(host.client) not in done.opened


def settings(folder: Path) -> Settings:
    """A step that has the certificate as a variable, and its temporary folder."""
    encoded = SecretStr(base64.b64encode(CONTENT).decode())
    return in_temp_folder(Settings(credentials={"SM_CLIENT_CERT_FILE_B64": encoded}), folder)


def call(work: Path, temporary: Path, code: str, cancelled: threading.Event | None = None, timeout: float = 60) -> Ran:
    return call_tool(
        settings(temporary),
        PYTHON,
        ["-c", code],
        timeout=timeout,
        with_credentials=True,
        folder=work,
        cancelled=cancelled,
    )


def seen(work: Path) -> Path:
    """Where the program found it; its mode and content were right."""
    path, mode, folder_mode, size = (work / "seen").read_text(encoding="utf-8").rsplit(" ", 3)
    assert int(size) == len(CONTENT)
    if sys.platform != "win32":
        assert stat.S_IMODE(int(mode)) == 0o600
        assert stat.S_IMODE(int(folder_mode)) == 0o700
    return Path(path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    return work, temporary


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "os.abort()"], ids=["well", "refused", "crashed"])
def test_a_program_has_it_while_it_runs(folders: tuple[Path, Path], end: str) -> None:
    work, temporary = folders
    call(work, temporary, LOOK + end)
    assert temporary in seen(work).parents
    assert list(temporary.iterdir()) == []


def test_it_is_gone_when_the_program_is_stopped_for_its_time(folders: tuple[Path, Path]) -> None:
    work, temporary = folders
    assert call(work, temporary, LOOK + "time.sleep(600)", timeout=3.0).exit_code is None
    assert temporary in seen(work).parents
    assert list(temporary.iterdir()) == []


def test_it_is_gone_when_the_run_is_cancelled(folders: tuple[Path, Path]) -> None:
    work, temporary = folders
    cancelled = threading.Event()

    def cancel() -> None:
        while not (work / "seen").is_file():
            time.sleep(0.05)
        cancelled.set()

    waiting = threading.Thread(target=cancel, daemon=True)
    waiting.start()
    with pytest.raises(CancelledError):
        call(work, temporary, LOOK + "time.sleep(600)", cancelled)
    waiting.join()
    assert list(temporary.iterdir()) == []
