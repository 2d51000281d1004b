"""docs/getting-started/install.md: each block is run as written, in a copy of the tree and with tools of its own.

Only tfx's commands need an account: they talk to Microsoft's Marketplace, here to its stand-in.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from support.documentation.reading import SHELL, Block, blocks, pages
from support.places import ROOT

PAGE = "docs/getting-started/install.md"
BLOCKS = [block for block in blocks() if block.page == PAGE and block.language in SHELL]
ACCOUNT = "tfx extension "
"""Lines that begin so need an account."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that are under version control, as a clone has them, and what `make wheel` makes of them."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    run(folder, folder, "make wheel")
    return folder


def run(clone: Path, place: Path, script: str) -> str:
    """Run `script` in the clone; what it installs is below `place`."""
    binaries = place / "bin"
    tools = {
        "HOME": str(place / "home"),
        "PIPX_HOME": str(place / "pipx"),
        "PIPX_BIN_DIR": str(binaries),
        "UV_TOOL_DIR": str(place / "uv"),
        "UV_TOOL_BIN_DIR": str(binaries),
        "NPM_CONFIG_PREFIX": str(place),
        "XDG_DATA_HOME": str(place / "data"),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
    }
    path = os.pathsep.join([str(binaries), str(place / "venv" / "bin"), str(Path(sys.executable).parent)])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=clone, env={**os.environ, **tools, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


def installing() -> list[Block]:
    """The blocks that install the command line."""
    return [block for block in BLOCKS if re.search(r"^(pipx|uv tool|python3 -m (pip|venv))", block.text, re.MULTILINE)]


@pytest.mark.parametrize("block", installing(), ids=lambda block: block.place)
def test_each_way_to_install_gives_the_command(block: Block, clone: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    (tmp_path / "home").mkdir()
    run(clone, tmp_path, block.text)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    (command,) = [
        place / "kspsign"
        for place in (tmp_path / "bin", tmp_path / "venv" / "bin", tmp_path / "home" / "kspsign" / "bin")
        if (place / "kspsign").is_file()
    ]
    assert run(clone, tmp_path, f"{command} version") == f"kspsign {version}\n"
    if "azure" in block.text:
        python = re.findall(r"^#!(\S+)", command.read_text(encoding="utf-8"))[0]
        run(clone, tmp_path, f"{python} -c 'import azure.identity, azure.keyvault.keys, azure.keyvault.certificates'")


def test_what_the_page_tries_works(clone: Path, tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "kspsign explain" in block.text]
    shown = run(clone, tmp_path, block.text)
    assert re.search(r"^[0-9A-F]{40}$", shown, re.MULTILINE)


def test_every_block_is_run_by_a_test() -> None:
    rest = [block for block in BLOCKS if block not in installing() and "kspsign explain" not in block.text]
    assert [block.text.splitlines()[0] for block in rest] == [
        "make package PUBLISHER=contoso",
        "npm install --global tfx-cli",
        "make wheel",
    ]


def test_no_page_takes_kspsign_from_an_index() -> None:
    """The name is not ours there: what would be installed is another's."""
    installs = re.compile(r"(?:pip3?|pipx|uv(?: tool| pip)?) (?:install|run|add|upgrade)[^`\n]*")
    for page, text in pages().items():
        for line in installs.findall(text):
            words = [word.strip("'\"") for word in line.split()]
            assert not [word for word in words if re.fullmatch(r"kspsign(\[.*\])?([=<>~!].*)?", word)], (page, line)
