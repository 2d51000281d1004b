"""@electron/windows-sign (npm) signs a folder through the launcher, as Forge and Packager have it do."""

from __future__ import annotations

import json
import subprocess

from support.drop_in import BuildAgent
from support.formats.peimages import build_pe
from support.places import ROOT
from support.samples import copy_launcher

MODULE = ROOT / "build" / "agent" / "node_modules" / "@electron" / "windows-sign"
CALL = """
const {{ sign }} = require({module});
sign({{ appDirectory: 'app', {options} }}).catch((error) => {{ console.error(String(error)); process.exit(1); }});
"""


def call(agent: BuildAgent, options: str) -> subprocess.CompletedProcess[str]:
    """A build script that signs the folder `app`, with the recipe's variables in its environment."""
    script = agent.folder / "build.cjs"
    script.write_text(CALL.format(module=json.dumps(str(MODULE)), options=options), encoding="utf-8")
    launcher = agent.folder / "launchers" / "signtool"
    variables = (f"WINDOWS_SIGNTOOL_PATH={launcher}", f"WINDOWS_TIMESTAMP_SERVER={agent.timestamps}")
    return agent.step("env", *variables, "node", script)


def test_a_folder_is_signed_in_one_call(agent: BuildAgent) -> None:
    """Every file that the module picks; the peer verifies each, and what it does not pick stays as it is."""
    agent = agent.with_launchers()
    app = agent.folder / "app"
    (app / "resources").mkdir(parents=True)
    paths = [copy_launcher(app, to="My App.exe"), app / "ffmpeg.dll", app / "resources" / "native.node"]
    for number, path in enumerate(paths[1:]):
        path.write_bytes(build_pe(overlay=f"{number}".encode()))
    script = app / "resources" / "install.ps1"
    script.write_text("Write-Host 'hello'\r\n", encoding="utf-8")
    data = app / "resources" / "app.asar"
    data.write_bytes(b"archive")
    spent = agent.host.world.spent
    done = call(agent, "hashes: ['sha256'], description: 'My App', website: 'https://contoso.example'")
    assert done.returncode == 0, done.stdout
    assert agent.host.world.spent == spent + 4
    assert all(agent.peer(path).accepted for path in paths)
    assert "SIG # Begin signature block" in script.read_text(encoding="utf-8")
    assert data.read_bytes() == b"archive"
    twin = app / "twin.exe"
    twin.write_bytes(paths[0].read_bytes().replace(b"This program", b"That program"))
    assert not agent.peer(twin).accepted


def test_sha1_is_refused_and_nothing_is_signed(agent: BuildAgent) -> None:
    """The module's default asks for SHA-1 first: the recipe says to ask for SHA-256 alone."""
    agent = agent.with_launchers()
    (agent.folder / "app").mkdir()
    program = copy_launcher(agent.folder / "app")
    before, spent = program.read_bytes(), agent.host.world.spent
    done = call(agent, "")
    assert (done.returncode, program.read_bytes() == before) == (1, True)
    assert "Signtool exited with code 1" in done.stdout
    assert agent.host.world.spent == spent
