"""Signatures taken out: the digest stays, an unsigned original comes back, and what is signed again verifies."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import pytest

from kspsign.authenticode.formats import open_signable
from kspsign.batch.select import named_artifacts
from kspsign.cli.main import main
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.verifying import read_signatures
from support.formats.peimages import build_pe
from support.formats.unsigned import EVERY_FORMAT, EXACT, SAME_DIGEST, UNSIGNED
from support.signing import Publisher, signed_by_peer

_AS_XML = frozenset({Format.VSIX, Format.CLICKONCE_APPLICATION, Format.CLICKONCE_DEPLOYMENT})
"""Formats whose signature is XML: test_vsix_signing.py and test_clickonce_signing.py take it out and sign again."""


def test_every_format_is_among_them(tmp_path: Path) -> None:
    for name, sample in EVERY_FORMAT.items():
        (tmp_path / name).write_bytes(sample())
    artifacts = named_artifacts([tmp_path / name for name in EVERY_FORMAT], tmp_path)
    assert {artifact.format for artifact in artifacts} == set(Format) - _AS_XML


@pytest.mark.parametrize("name", [*EVERY_FORMAT])
def test_removed_and_signed_again(name: str, publisher: Publisher, tmp_path: Path) -> None:
    """Removal is the inverse of signing: what is signed again has the same digest."""
    path = tmp_path / name
    original = EVERY_FORMAT[name]()
    path.write_bytes(original)
    assert publisher.sign(path, stamped=False).code == 0
    signed = _digests(path)
    assert _remove(path, "/s") == 0
    assert publisher.refusal(path, path.read_bytes()) == "TRUST_E_NOSIGNATURE"
    if name in SAME_DIGEST or name == "apps.msixbundle":
        assert path.read_bytes() != original
    else:
        assert path.read_bytes() == original
    assert publisher.sign(path, stamped=False).code == 0
    assert _digests(path) == signed
    assert publisher.verify(path, "--no-timestamp").code == 0


@pytest.mark.parametrize("name", ["image.exe", "setup.msi"])
def test_what_a_peer_signed(name: str, publisher: Publisher, tmp_path: Path) -> None:
    """An MSI without MsiDigitalSignatureEx has another digest once it is signed by us; a peer reads both."""
    (tmp_path / name).write_bytes(UNSIGNED[name]())
    path = signed_by_peer(publisher, tmp_path / name)
    assert _remove(path, "/s") == 0
    assert "no signature" in _osslsigncode(path).lower()
    assert publisher.sign(path, stamped=False).code == 0
    assert publisher.peer(path).accepted


def test_parts_of_a_signature(publisher: Publisher, tmp_path: Path) -> None:
    """/u takes timestamp and second signature, /c the certificates but the signer's; the first signature holds."""
    path = tmp_path / "image.exe"
    path.write_bytes(EXACT["image.exe"]())
    assert publisher.sign(path).code == 0
    assert publisher.sign(path, "--append").code == 0
    before = open_signable(path, named_artifacts([path], tmp_path)[0].format)
    first, second = read_signatures(before)[0]
    assert (bool(first.tokens), bool(second.tokens)) == (True, True)
    assert _remove(path, "/u") == 0
    (left,) = read_signatures(open_signable(path, named_artifacts([path], tmp_path)[0].format))[0]
    assert (left.value, left.tokens, left.further) == (first.value, (), ())
    assert publisher.verify(path, "--no-timestamp").code == 0
    assert _remove(path, "/c") == 0
    (bare,) = read_signatures(open_signable(path, named_artifacts([path], tmp_path)[0].format))[0]
    assert bare.certificates == (first.certificate,)
    assert bare.signer_fault() is None


def test_what_is_not_taken_out(publisher: Publisher, tmp_path: Path) -> None:
    """An unsigned file, one of no known type, and one with data after its signature keep their bytes."""
    plain, text, trailing = tmp_path / "plain.exe", tmp_path / "read.me", tmp_path / "trailing.exe"
    plain.write_bytes(build_pe())
    text.write_bytes(b"hello")
    trailing.write_bytes(build_pe())
    assert publisher.sign(trailing, stamped=False).code == 0
    trailing.write_bytes(trailing.read_bytes() + b"surplus!")
    for path in (plain, text, trailing):
        before = path.read_bytes()
        assert _remove(path, "/s") == 1
        assert path.read_bytes() == before


def _digests(path: Path) -> dict[DigestAlgorithm, bytes]:
    """What the file's signatures say of its content."""
    (artifact,) = named_artifacts([path], path.parent)
    return {
        signature.algorithm: signature.file_digest
        for signature in read_signatures(open_signable(path, artifact.format))[0]
    }


def _remove(path: Path, option: str) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return main(["signtool", "remove", option, str(path)])


def _osslsigncode(path: Path) -> str:
    command = ["osslsigncode", "verify", "-in", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, errors="replace")
    return done.stdout + done.stderr
