"""`kspsign demo`: sign and verify real Windows executables with throw-away keys that we did not make.

The binaries are the launchers that Python's packaging tools carry (x86, x64, arm64; console and GUI).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import load_or_create
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.publishing.page import has_page
from kspsign.settings.model import Settings

LAUNCHER_PACKAGES = ("setuptools", "pip._vendor.distlib", "distlib")


def run_demo(folder: Path, run: Callable[[Settings], int]) -> int:
    """Copy the launchers to `folder`/signed and take them along the whole path; returns the exit code.

    Leaves signed/, root.pem, report.json, junit.xml, summary.md and signatures.html in `folder`, the last one where
    this installation can write it. The keys live in a private temporary folder and are gone afterwards.
    """
    page = folder / "signatures.html"
    with tempfile.TemporaryDirectory(prefix="kspsign-demo-", ignore_cleanup_errors=True) as private:
        try:
            _copy_launchers(folder / "signed")
            authority = load_or_create(Path(private) / "embedded")
            (folder / "root.pem").write_bytes(authority.root.certificate.public_bytes(Encoding.PEM))
        except OSError as refused:
            raise ConfigurationError(
                f"the demo's folder can't be written: {refused}",
                remedy="Name another: kspsign demo DIR.",
                file=str(folder),
            ) from refused
        settings = Settings(
            command="run",
            files=("**/*.exe",),
            folder=folder / "signed",
            key_store="embedded",
            store=Path(private),
            description="kspsign demo",
            report=folder / "report.json",
            junit=folder / "junit.xml",
            summary=folder / "summary.md",
            html=page if has_page() else None,
        )
        exit_code = run(settings)
    sys.stdout.write(f"Results: {folder} (signed/ root.pem report.json junit.xml summary.md)\n")
    if has_page():
        sys.stdout.write(f"Open in a browser: {page}\n")
    return exit_code


def _copy_launchers(target: Path) -> None:
    """Fresh, unsigned copies, each in a folder named after its package."""
    launchers = tuple(_launchers())
    if not launchers:
        raise PrerequisiteError(
            "no Windows launchers to sign: neither setuptools nor distlib is installed with kspsign",
            code="DEMO_BINARIES",
            remedy="pip install setuptools distlib, then run the demo again.",
        )
    for package, source in launchers:
        place = target / package.rpartition(".")[2]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place / source.name)


def _launchers() -> Iterator[tuple[str, Path]]:
    for package in LAUNCHER_PACKAGES:
        try:
            spec = find_spec(package)
        except ModuleNotFoundError:
            continue  # the parent package is not installed
        if spec is not None and spec.origin is not None:
            yield from ((package, path) for path in sorted(Path(spec.origin).parent.glob("*.exe")))
