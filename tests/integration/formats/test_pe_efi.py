"""EFI images: several signatures are several table entries, as firmware and sbsigntool read them."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.pe import PeFile
from support.certificates import PASSWORD, signing_file
from support.formats.peimages import build_pe, flipped, with_checksum
from support.samples import Run, Store, kspsign

IMAGE = build_pe(subsystem=10, sections=(hashlib.shake_128(b"boot").digest(9000),))


def sign(path: Path, store: Store, *options: str) -> Run:
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign("sign", path, *chosen, *options, folder=path.parent)


def sbverify(path: Path, *options: object) -> str:
    """What sbverify says of `path`; it raises when that is no."""
    done = subprocess.run(["sbverify", *map(str, options), path], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_further_signature_is_an_entry_of_its_own(store: Store, tmp_path: Path) -> None:
    """Each entry has its own timestamp and verdict; a nested signature would be lost on firmware."""
    path = tmp_path / "boot.efi"
    path.write_bytes(IMAGE)
    sign(path, store)
    run = sign(path, store, "--append", "--description", "the second")
    assert run.code == 0, run.text
    assert [bool(signature["timestamp"]) for signature in run.file["signatures"]] == [True, True]
    assert len(PeFile.open(Snapshot(path)).signatures) == 2
    assert "signature 2" in sbverify(path, "--list")
    assert "Signature verification OK" in sbverify(path, "--cert", store.root)
    data = path.read_bytes()
    path.write_bytes(with_checksum(flipped(data, len(data) - 300)))
    assert kspsign("verify", path, "--trust-root", store.root, folder=tmp_path).code == 2


def test_two_entries_of_another_signer(tmp_path: Path) -> None:
    path, certificate, key = tmp_path / "boot.efi", tmp_path / "leaf.pem", tmp_path / "key.pem"
    path.write_bytes(IMAGE)
    roots: list[object] = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        file = signing_file(folder)
        loaded = pkcs12.load_pkcs12(file.path.read_bytes(), PASSWORD.encode())
        assert loaded.cert is not None
        assert loaded.key is not None
        certificate.write_bytes(loaded.cert.certificate.public_bytes(Encoding.PEM))
        key.write_bytes(loaded.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        options = ("--key", key, "--cert", certificate, "--output", path, path)
        subprocess.run(["sbsign", *map(str, options)], check=True, capture_output=True)
        roots += ["--trust-root", file.root]
    both = kspsign("verify", path, *roots, "--no-timestamp", folder=tmp_path)
    assert (both.code, len(both.file["signatures"])) == (0, 2), both.text
    assert kspsign("verify", path, *roots[:2], "--no-timestamp", folder=tmp_path).code == 2
