"""Launchers on Windows: programs that the system itself starts, and a certificate in the user's store."""

from __future__ import annotations

from pathlib import Path

import pytest

from kspsign.certificates.file import read_certificate_file
from kspsign.cli.drop_in import DROP_INS
from support.agent.mini import Step
from windows_lab.building import PYTHON
from windows_lab.machine import Ended, Windows
from windows_lab.windows_agent import WindowsAgent, build_extension, install_task

CALL = """
import subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)  # CreateProcess: no shell, no .cmd
print(done.stdout, done.stderr)
sys.exit(done.returncode)
"""
ADD = """
import sys
from pathlib import Path
from kspsign.keys.windows.certificate_store import add_certificate, read_store
der, KSP = Path(sys.argv[1]).read_bytes(), "DigiCert Signing Manager KSP"
for _ in range(2):
    add_certificate("user", der, friendly_name="Gr\\u00fc\\u00dfe", provider=KSP, container="release")
(found,) = [entry for entry in read_store("user", "MY") if entry.der == der]
assert (found.friendly_name, found.container) == ("Gr\\u00fc\\u00dfe", "release"), found
assert found.provider == KSP
"""


@pytest.fixture
def agent(windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> WindowsAgent:
    """An agent with the task."""
    return install_task(build_extension(tmp_path_factory.mktemp("extension"), PYTHON), windows)


def call(windows: Windows, launcher: Path, *arguments: str) -> Ended:
    """Start the launcher as a build tool does; PYTHONPATH is not for it."""
    return windows.python("-c", CALL, windows.path(launcher), *arguments, env={"PYTHONPATH": ""})


def test_a_build_tool_starts_the_launchers_of_the_task(agent: WindowsAgent) -> None:
    """An .exe each, that passes arguments on as they are, prints and ends like kspsign."""
    inputs = {"command": "shims", "keyStore": "keylocker", "keypairAlias": "release"}
    run = agent.run(Step({**inputs, "shadow": "true"}))  # the lab has both programs on PATH
    assert run.result == "Succeeded", run.log
    folder = agent.temp / "kspsign-shims"
    assert run.prepended == (str(folder),)
    assert {f"{command}.exe" for command in DROP_INS} <= {path.name for path in folder.iterdir()}
    listed = call(agent.windows, folder / "smctl.exe", "windows", "ksp", "list")
    assert (listed.exit_code, "DigiCert Signing Manager KSP" in listed.stdout) == (0, True), listed.output
    refused = call(agent.windows, folder / "smctl.exe", "sign", "--input", 'a "quoted" b.exe')
    assert (refused.exit_code, 'required flag(s) "keypair-alias" not set' in refused.stdout) == (1, True), (
        refused.output
    )


def test_a_synchronised_certificate_is_in_the_users_store(windows: Windows) -> None:
    """As certsync of DigiCert's tools puts it there: friendly name, KSP and container; a second time replaces it."""
    certificate = windows.key("Contoso-Release").certificate
    der = windows.folder / "leaf.der"
    der.write_bytes(read_certificate_file(certificate)[0])
    added = windows.python("-c", ADD, "leaf.der")
    assert added.exit_code == 0, added.output
