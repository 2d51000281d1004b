"""Another process writes to a file through a shared mapping while it is verified, so that its times stay as they are:
the verdict and the sha256 are of one content, or the file changed."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.conftest import sign
from kspsign.authenticode.formats import detect_format
from kspsign.authenticode.io.snapshot import LARGE
from kspsign.authenticode.signable import Glimpse
from kspsign.certificates.windows_name import windows_name
from kspsign.embedded.authority import load_authority
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.verifier import Verifier
from support.formats.appx_samples import Package
from support.formats.cab_samples import build_cab
from support.formats.cat_samples import trust_list, unsigned
from support.formats.compound_builder import MSI, Folder, write_compound
from support.formats.navx_samples import build_navx
from support.formats.nuget_samples import package
from support.formats.peimages import build_pe
from support.formats.zips import Part
from support.samples import Store

MARK = b"the byte after this one is changed:"
RUNS, PATIENCE = 12, 300
BESIDE = 20 << 10
"""Bytes around the mark: it lies in a stream, a block, an entry of its own, not at a border."""

WRITER = """
import mmap, random, sys, time
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
    at, others = int(sys.argv[2]), (content[int(sys.argv[2])], content[int(sys.argv[2])] ^ 1)
    print("writing", flush=True)
    while True:
        for value in others[::-1]:
            content[at] = value
            time.sleep(random.random() * float(sys.argv[3]))
"""


def padded(size: int) -> bytes:
    """Content of about that size, the mark in its middle."""
    return b"\r\n".join((b"# before", b"." * (size // 2), MARK + b"0", b"." * (size // 2), b"# after", b""))


def msi(folder: Path, content: bytes) -> bytes:
    path = folder / "unsigned.compound"
    write_compound(path, Folder({"cab": content, "Property": b"small"}, MSI))
    return path.read_bytes()


def appx(content: bytes, store: Store) -> bytes:
    subject = load_authority(store.folder / "embedded").leaf.certificate.subject
    return Package(publisher=windows_name(subject), files={"App.png": content}).build()


SAMPLES: dict[str, Callable[[Path, Store, bytes], bytes]] = {
    "file.exe": lambda _folder, _store, content: build_pe(overlay=content),
    "file.msi": lambda folder, _store, content: msi(folder, content),
    "file.cab": lambda _folder, _store, content: build_cab(files={"a.bin": content}),
    "file.msix": lambda _folder, store, content: appx(content, store),
    "file.nupkg": lambda _folder, _store, content: package(Part("a.bin", content)),
    "file.app": lambda _folder, _store, content: build_navx(content=content),
}
SMALL_ONES: dict[str, Callable[[Path, Store, bytes], bytes]] = {
    "file.ps1": lambda _folder, _store, content: content,
    "file.vbs": lambda _folder, _store, content: content.replace(b"# ", b"' "),
    "file.cat": lambda _folder, _store, _content: unsigned(trust_list({"a.sys": b"MZ"}, version=1)),
}


@contextlib.contextmanager
def written_to(path: Path, at: int, pause: float) -> Iterator[None]:
    """Another process changes the byte at `at` and back, each time after a pause of up to `pause` seconds."""
    command = [sys.executable, "-c", WRITER, str(path), str(at), str(pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        try:
            yield
        finally:
            writer.kill()


def place(data: bytes) -> int:
    """The byte to change: after the mark, or in the name of a catalogue's member."""
    return data.index(MARK) + len(MARK) if MARK in data else data.index("a.sys".encode("utf-16-le"))


@pytest.mark.parametrize(
    ("name", "size"),
    [*((name, BESIDE) for name in {**SAMPLES, **SMALL_ONES}), *((name, LARGE + BESIDE) for name in SAMPLES)],
)
def test_verdict_and_sha256_are_of_one_content(name: str, size: int, store: Store, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes({**SAMPLES, **SMALL_ONES}[name](tmp_path, store, padded(size)))
    assert sign(path, store).code == 0
    data = path.read_bytes()
    at = place(data)
    changed = bytearray(data)
    changed[at] ^= 1
    verified = (hashlib.sha256(data).hexdigest(), "verified")
    fits = {verified, (hashlib.sha256(changed).hexdigest(), "failed")}
    format_ = detect_format(Glimpse(path, data[:4096], len(data)))
    anchors = TrustAnchors.from_pem_files([store.root])
    verifier = Verifier(Trust(anchors, anchors, timestamp_required=False))

    def verdict() -> tuple[str, str]:
        try:
            verification = verifier.verify(path, format_)
        except ArtifactError as error:
            return "", str(error.hresult)
        return verification.sha256, verification.verdict.result

    started = time.monotonic()
    assert verdict() in fits
    taken = time.monotonic() - started
    seen: list[tuple[str, str]] = []
    with written_to(path, at, taken):
        while len(seen) < RUNS or not (fits <= set(seen) if size < LARGE else {*seen} - {verified}):
            assert time.monotonic() - started < PATIENCE, f"the content never changed: {set(seen)}"
            seen.append(verdict())
    assert set(seen) <= {*fits, ("", str(Hresult.ERROR_SHARING_VIOLATION))}
