"""`kspsign shims`: launchers that programs start by name, their settings without secrets, and a step's PATH."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kspsign.cli.drop_in import DROP_INS
from kspsign.cli.shims.launchers import posix_launcher
from kspsign.cli.shims.settings_file import PASSWORD_VARIABLE
from kspsign.cli.shims.windows import find_stub, windows_launcher
from kspsign.programs.locate import find_on_path
from kspsign.settings.model import Settings
from support.drop_in import ALIAS, BuildAgent
from support.formats.peimages import build_pe
from support.samples import copy_launcher

MARK = "kspsign-shims.yml"


def test_a_launcher_signs_with_the_settings_of_its_folder(agent: BuildAgent) -> None:
    """Started by name in another folder, with nothing but the credentials in the environment."""
    agent = agent.with_launchers()
    (agent.folder / "elsewhere").mkdir()
    file = agent.folder / "elsewhere" / "my app.dll"
    file.write_bytes(build_pe())
    signed = agent.step("smctl", "sign", "--keypair-alias", ALIAS, "--input", file.name, folder=file.parent)
    assert (signed.returncode, "SUCCESSFUL" in signed.stdout) == (0, True), signed.stdout
    assert agent.peer(file).accepted
    written = json.loads((agent.folder / "launchers" / MARK).read_text(encoding="utf-8"))
    assert written["key_store"] == "keylocker"
    assert written["keypair_alias"] == ALIAS
    assert written["ledger"] == str(agent.folder / "launchers" / "ledger")
    assert len(list((agent.folder / "launchers" / "ledger").glob("*/sha256-*.json"))) == 1
    assert agent.step("smctl", "sign", "--input", "nothing.dll").returncode == 1


def test_no_secret_is_written(agent: BuildAgent) -> None:
    """Names of variables only; the files may be read by any step."""
    environment = {**agent.environment, "PFX_PASSWORD": "hunter2-correct-horse"}
    options = ("--key-store", "pkcs12", "--pkcs12", "a.pfx", "--password-env", "PFX_PASSWORD")
    written = agent.type("shims", "launchers", *options, environment=environment)
    assert written.code == 0, written.err
    content = b"".join(path.read_bytes() for path in (agent.folder / "launchers").iterdir())
    secrets = [environment[name] for name in ("SM_API_KEY", "SM_CLIENT_CERT_PASSWORD", "PFX_PASSWORD")]
    assert not any(secret.encode() in content for secret in secrets)
    settings = json.loads((agent.folder / "launchers" / MARK).read_text(encoding="utf-8"))
    assert settings["password_env"] == options[-1]
    assert settings["pkcs12"] == str(agent.folder / "a.pfx")


def test_nothing_of_others_is_replaced(agent: BuildAgent) -> None:
    """A file that is there stays; launchers of an earlier call are written again."""
    folder = agent.folder / "launchers"
    folder.mkdir()
    (folder / "smctl").write_text("#!/bin/sh\n", encoding="utf-8")
    refused = agent.type("shims", folder)
    assert refused.code == 3
    assert "is not a launcher of kspsign" in refused.err
    assert (folder / "smctl").read_text(encoding="utf-8") == "#!/bin/sh\n"
    (folder / "smctl").unlink()
    assert [agent.type("shims", folder).code for _ in range(2)] == [0, 0]
    assert stat.S_IMODE((folder / "smctl").stat().st_mode) & stat.S_IXUSR


@pytest.mark.parametrize("name", ["smctl", "smctl.exe"])
def test_a_program_on_path_is_not_shadowed_unasked(agent: BuildAgent, name: str) -> None:
    """--shadow says so; launchers of ours on PATH are none."""
    real = agent.folder / "bin" / name
    real.parent.mkdir()
    real.write_text("#!/bin/sh\n", encoding="utf-8")
    real.chmod(0o755)
    environment = {**agent.environment, "PATH": f"{real.parent}{os.pathsep}{os.environ['PATH']}"}
    refused = agent.type("shims", "launchers", environment=environment)
    assert (refused.code, str(real) in refused.err, "--shadow" in refused.err) == (5, True, True)
    assert not (agent.folder / "launchers").exists()
    assert agent.type("shims", "launchers", "--shadow", environment=environment).code == 0
    ours = {"PATH": str(agent.folder / "launchers")}
    assert find_on_path("smctl", Settings(agent_environment=ours)) is None


def test_signtool_of_nss_is_not_signtool_but_microsofts_is(agent: BuildAgent) -> None:
    """Linux systems have another program of that name (NSS): it is named, and stops nothing."""
    other = agent.folder / "bin" / "signtool"
    other.parent.mkdir()
    other.write_bytes(b"\x7fELF")
    other.chmod(0o755)
    environment = {**agent.environment, "PATH": str(other.parent)}
    written = agent.type("shims", "launchers", environment=environment)
    assert (written.code, f"{other} is another program" in written.out) == (0, True)
    other.unlink()
    copy_launcher(other.parent, to="signtool.exe").chmod(0o755)
    assert agent.type("shims", "again", environment=environment).code == 5


def test_a_launcher_for_any_path(tmp_path: Path) -> None:
    """Quotation marks, blanks and dollars in paths reach no shell; KSPSIGN_CONFIG in the environment goes first."""
    odd = tmp_path / "a 'b' \"c\" $d `e` }\\f"
    odd.mkdir()
    program = odd / "show.py"
    program.write_text("import os, sys; print(os.environ['KSPSIGN_CONFIG'], sys.argv[1:])", encoding="utf-8")
    launcher = tmp_path / "smctl"
    launcher.write_bytes(posix_launcher("smctl", odd / "settings.yml", [sys.executable, str(program)]))
    launcher.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "KSPSIGN_CONFIG"}
    for shell in ("sh", "dash", "bash"):  # bash, macOS' sh, reads quotation within braces in its own way
        if (found := shutil.which(shell)) is not None:
            shown = subprocess.check_output([found, launcher, "a b", "*", '"'], env=environment, text=True)
            assert shown == f"{odd / 'settings.yml'} {['smctl', 'a b', '*', chr(34)]}\n"
    shown = subprocess.check_output([launcher], env={**environment, "KSPSIGN_CONFIG": "mine.yml"}, text=True)
    assert shown == "mine.yml ['smctl']\n"


def test_the_launcher_for_windows_is_a_program_with_a_script(agent: BuildAgent, tmp_path: Path) -> None:
    """distlib's program, the interpreter's line, and a zip that Python runs: here without the program."""
    settings = agent.settings_file()
    content = windows_launcher("smctl", settings, ("-m", "kspsign"))
    stub = find_stub()
    assert stub[:2] == b"MZ"
    assert content.startswith(stub + f'#!"{sys.executable}" -I -B -X utf8\r\n'.encode())
    exe = tmp_path / "smctl.exe"
    exe.write_bytes(content)
    assert zipfile.ZipFile(exe).namelist() == ["__main__.py"]
    run = subprocess.run(
        [sys.executable, "-I", exe, "keypair", "ls"],
        env=agent.host.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ALIAS in run.stdout


def test_the_step_of_the_task_puts_the_folder_on_path(agent: BuildAgent, tmp_path: Path) -> None:
    """By the agent's own command; a password input becomes the name of a variable."""
    temp = tmp_path / "agent-temp"
    temp.mkdir()
    document = {
        "version": 1,
        "command": "shims",
        "inputs": {"keyStore": "pkcs12", "pkcs12": "a.pfx", "timestampUrl": [agent.timestamps]},
        "secrets": {"password": "hunter2-correct-horse"},
        "variables": {"AGENT_TEMPDIRECTORY": str(temp)},
    }
    step = subprocess.run(
        [sys.executable, "-m", "kspsign", "task"],
        input=json.dumps(document).encode(),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert step.returncode == 0, step.stderr.decode() + step.stdout.decode()
    folder = temp / "kspsign-shims"
    assert f"##vso[task.prependpath]{folder}\n" in step.stdout.decode()
    assert {path.name for path in folder.iterdir()} == {MARK, *DROP_INS}
    assert json.loads((folder / MARK).read_text(encoding="utf-8"))["password_env"] == PASSWORD_VARIABLE
    assert b"hunter2" not in b"".join(path.read_bytes() for path in folder.iterdir()) + step.stdout


def test_the_step_of_the_action_puts_the_folder_on_path(tmp_path: Path) -> None:
    """Through the runner's file."""
    listing = tmp_path / "path-file"
    listing.touch()
    inputs = {
        "KSPSIGN_INPUT_COMMAND": "shims",
        "KSPSIGN_INPUT_KEY_STORE": "keylocker",
        "KSPSIGN_INPUT_KEYPAIR_ALIAS": ALIAS,
        "GITHUB_PATH": str(listing),
    }
    step = subprocess.run(
        [sys.executable, "-m", "kspsign", "action"],
        input=b"".join(f"{name}={value}\0".encode() for name, value in inputs.items()),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RUNNER_TEMP": str(tmp_path), "GITHUB_ACTIONS": "true"},
        capture_output=True,
        check=False,
    )
    assert step.returncode == 0, step.stderr.decode() + step.stdout.decode()
    assert listing.read_text(encoding="utf-8") == f"{tmp_path / 'kspsign-shims'}\n"
    assert shutil.which("smctl", path=str(tmp_path / "kspsign-shims"))
