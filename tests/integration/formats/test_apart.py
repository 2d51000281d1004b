"""Signatures taken out of their files and put back, and those made of digests alone, where the files are not."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from kspsign.batch.attach import read_signature_file
from kspsign.embedded.authority import EmbeddedAuthority
from support.certificates import PASSWORD
from support.formats.peimages import build_pe
from support.formats.unsigned import EXACT, UNSIGNED
from support.key_command.world import KeyCommand
from support.samples import Run, assert_no_leftovers, kspsign, kspsign_at, osslsigncode_verify
from support.signing import Publisher, signed_by_peer

PEER_READS = ("image.exe", "plain.cab", "setup.msi", "no-checksum.dll")
"""osslsigncode reads these as we do."""


@pytest.mark.parametrize("name", [*UNSIGNED])
def test_taken_out_and_put_back(name: str, publisher: Publisher, tmp_path: Path) -> None:
    """A signature that is extracted, removed and attached gives the signed file again, and no other file gets it."""
    path, original = tmp_path / name, UNSIGNED[name]()
    path.write_bytes(original)
    assert publisher.sign(path).code == 0
    signed = path.read_bytes()
    extracted = kspsign("extract", path, folder=tmp_path)
    assert extracted.file["outcome"] == "extracted"
    assert f"signatures are written to {path}.p7s\n" in extracted.text
    assert path.read_bytes() == signed
    removed = kspsign("remove", path, folder=tmp_path)
    assert (removed.code, removed.file["outcome"]) == (0, "removed")
    if name in EXACT:
        assert path.read_bytes() == original
    changed = _changed(path)
    assert _attach(publisher, path).code != 0
    assert path.read_bytes() == changed
    path.write_bytes(original)
    attached = _attach(publisher, path)
    assert (attached.code, attached.file["outcome"]) == (0, "signed"), attached.text
    assert path.read_bytes() == signed
    assert_no_leftovers(tmp_path)


def test_signed_where_the_files_are_not(publisher: Publisher, tmp_path: Path) -> None:
    """One document takes every format over the air gap; the signing side has nothing but the document."""
    build, vault = tmp_path / "build", tmp_path / "vault"
    build.mkdir()
    vault.mkdir()
    for name, sample in UNSIGNED.items():
        (build / name).write_bytes(sample())
    document = _digest(publisher, build)
    before = json.loads(document.read_bytes())
    assert [entry["path"] for entry in before["files"]] == sorted(UNSIGNED)
    back = _sign(publisher, shutil.copy(document, vault))
    after = json.loads(back.read_bytes())
    for unsigned, signed in zip(before["files"], after["files"], strict=True):
        assert signed["signature"]["timestamp"] is not None
        assert {**signed, "signature": None} == unsigned
    changed = build / "no-checksum.dll"
    content = _changed(changed)
    attached = kspsign(
        "attach", "--document", back, "--folder", build, "--trust-root", publisher.roots, folder=tmp_path
    )
    assert attached.code == 1
    failed = {name: file["error"]["code"] for name, file in attached.files.items() if file["error"]}
    assert failed == {changed.name: "TRUST_E_BAD_DIGEST"}
    assert changed.read_bytes() == content
    changed.unlink()
    assert publisher.verify(build).code == 0
    for name in (name for name in PEER_READS if (build / name).exists()):
        assert publisher.peer(build / name).accepted, name
    twin = build / "image.exe"
    _changed(twin)
    assert not publisher.peer(twin).accepted
    assert_no_leftovers(tmp_path)


def test_a_document_that_was_changed_is_not_signed(publisher: Publisher, tmp_path: Path) -> None:
    """Every entry agrees with itself: neither digest, attributes nor content can be exchanged alone."""
    (tmp_path / "image.exe").write_bytes(EXACT["image.exe"]())
    document = _digest(publisher, tmp_path, "image.exe")
    good: dict[str, Any] = json.loads(document.read_bytes())
    (entry,) = good["files"]
    other = base64.b64encode(b"\x30\x03\x02\x01\x07").decode()
    for key, value in (
        ("digest", base64.b64encode(bytes(32)).decode()),
        ("content", other),
        ("attributes", base64.b64encode(b"\x31\x00").decode()),
        ("path", "../image.exe"),
        ("path", "C:/image.exe"),
        ("sha256", "0"),
        ("unknown", True),
    ):
        document.write_text(json.dumps({**good, "files": [{**entry, key: value}]}), encoding="utf-8")
        run = _sign_run(publisher, document)
        assert (run.code, run.report["error"]["code"]) == (3, "CONFIGURATION"), (key, run.text)
        assert run.report["totals"]["signatures_used"] == 0


def test_a_signature_of_another_file(publisher: Publisher, tmp_path: Path) -> None:
    """It is refused, whoever made it; a second signature goes next to the first on request alone."""
    (tmp_path / "image.exe").write_bytes(EXACT["image.exe"]())
    path = signed_by_peer(publisher, tmp_path / "image.exe")
    signature = tmp_path / "peer.pem"
    _osslsigncode("extract-signature", "-pem", "-in", path, "-out", signature)
    target = tmp_path / "image.exe"
    options = ("--signature", signature, "--no-timestamp")
    other = tmp_path / "other.exe"
    other.write_bytes(build_pe(overlay=b"different"))
    assert _attach(publisher, other, *options).error_code == "TRUST_E_BAD_DIGEST"
    attached = _attach(publisher, target, *options)
    assert (attached.code, attached.file["outcome"]) == (0, "signed"), attached.text
    assert osslsigncode_verify(target, publisher.roots).accepted
    assert _attach(publisher, target, *options).error_code == "ALREADY_SIGNED"
    assert publisher.sign(target, "--append", stamped=False).code == 0
    pem = kspsign("extract", target, "--pem", "--output", tmp_path / "out" / "all.pem", folder=tmp_path)
    assert pem.code == 0, pem.text
    assert read_signature_file(tmp_path / "out" / "all.2.pem") != read_signature_file(tmp_path / "out" / "all.pem")
    second = tmp_path / "out" / "all.2.pem"
    assert kspsign("remove", target, folder=tmp_path).code == 0
    assert _attach(publisher, target, "--signature", second, "--no-timestamp").code == 0


def test_what_is_refused_before_anything_is_written(publisher: Publisher, tmp_path: Path) -> None:
    """Formats that name their signer need the certificate; text and missing files are named."""
    package, text = tmp_path / "Contoso.Tools.1.0.0.nupkg", tmp_path / "read.me"
    package.write_bytes(EXACT[package.name]())
    text.write_bytes(b"hello")
    output = tmp_path / "release.json"
    run = kspsign("digest", package, text, "--output", output, "--folder", tmp_path, folder=tmp_path)
    assert run.code == 6
    assert {file["error"]["code"] for file in run.report["files"]} == {
        "ERROR_NOT_SUPPORTED",
        "TRUST_E_SUBJECT_FORM_UNKNOWN",
    }
    assert not output.exists()
    assert kspsign("digest", package, folder=tmp_path).code == 3
    assert _attach(publisher, package).error_code == "TRUST_E_NOSIGNATURE"
    text.with_name("Contoso.Tools.1.0.0.nupkg.p7s").write_bytes(b"-----BEGIN PKCS7-----")
    assert _attach(publisher, package).error_code == "TRUST_E_MALFORMED_SIGNATURE"


def test_what_the_signing_side_refuses(publisher: Publisher, authority: EmbeddedAuthority, tmp_path: Path) -> None:
    """Another certificate than the digest names, what was decided before, and an output that can't be written: each is
    known before a signature is spent. What the document lacks is not attached."""
    package = tmp_path / "Contoso.Tools.1.0.0.nupkg"
    package.write_bytes(EXACT[package.name]())
    other, document = tmp_path / "other.pem", tmp_path / "release.json"
    other.write_bytes(authority.leaf.certificate.public_bytes(Encoding.PEM))
    digest = ("digest", package, "--folder", tmp_path, "--output", document)
    assert kspsign(*digest, "--signer", other, folder=tmp_path).code == 0
    refused = _sign_run(publisher, document)
    assert (refused.code, refused.error_code) == (6, "ERROR_NOT_SUPPORTED"), refused.text
    assert not document.with_suffix(".signed").exists()
    assert kspsign(*digest, "--signer", _certificate(publisher, tmp_path), folder=tmp_path).code == 0
    for options in (("--append",), (package,), ("--output", package / "below")):
        run = _sign_run(publisher, document, *options)
        assert (run.code, run.report["totals"]["signatures_used"]) == (3, 0), run.text
    attached = kspsign("attach", "--document", document, "--folder", tmp_path, folder=tmp_path)
    assert attached.error_code == "TRUST_E_NOSIGNATURE"
    package.unlink()
    assert kspsign("attach", "--document", document, "--folder", tmp_path, folder=tmp_path).code == 4


def test_no_signature_is_spent_twice(tmp_path: Path) -> None:
    """A run that its limit ends writes what it has; the next one goes on from there, and one content is signed once."""
    program = KeyCommand.create(tmp_path / "program")
    for name, overlay in (("a.dll", b"one"), ("same.dll", b"one"), ("b.dll", b"another")):
        (tmp_path / name).write_bytes(build_pe(overlay=overlay))
    first, second, third = (tmp_path / f"{number}.json" for number in (1, 2, 3))
    assert kspsign_at("digest", "*.dll", "--output", first, folder=tmp_path).code == 0

    def sign(document: Path, output: Path, *more: object) -> Run:
        key = (*program.options, *program.trust, "--store", tmp_path / "store", "--no-timestamp")
        chosen = ("sign", "--document", document, "--output", output, *key, *more)
        return kspsign_at(*chosen, folder=tmp_path, environment=program.environment)

    limited = sign(first, second, "--max-signatures", "1")
    assert (limited.code, program.made) == (1, 1), limited.text
    assert "BUDGET_SPENT" in {file["error"] and file["error"]["code"] for file in limited.report["files"]}
    rest = sign(second, third)
    assert (rest.code, program.made, rest.report["totals"]["signatures_used"]) == (0, 2, 1), rest.text
    options = ("--document", third, *program.trust, "--no-timestamp")
    assert kspsign_at("attach", *options, folder=tmp_path).report["totals"]["signed"] == 3


def _digest(publisher: Publisher, folder: Path, *names: str) -> Path:
    output = folder.parent / "release.json"
    certificate = _certificate(publisher, folder.parent)
    chosen = [folder / name for name in names or UNSIGNED]
    run = kspsign(
        "digest", *chosen, "--folder", folder, "--output", output, "--signer", certificate, folder=folder.parent
    )
    assert run.code == 0, run.text
    assert {file["outcome"] for file in run.report["files"]} == {"prepared"}
    return output


def _sign(publisher: Publisher, document: str | Path) -> Path:
    run = _sign_run(publisher, Path(document))
    assert run.code == 0, run.text
    return Path(document).with_suffix(".signed")


def _sign_run(publisher: Publisher, document: Path, *options: object) -> Run:
    stamp = ("--timestamp-url", publisher.timestamp_url, "--trust-root", publisher.roots)
    output = document.with_suffix(".signed")
    return kspsign(
        *("sign", "--document", document, "--output", output),
        *publisher.file.options,
        *stamp,
        *options,
        folder=document.parent,
    )


def _attach(publisher: Publisher, path: Path, *options: object) -> Run:
    return kspsign("attach", path, "--trust-root", publisher.roots, *options, folder=path.parent)


def _certificate(publisher: Publisher, folder: Path) -> Path:
    """The publisher's certificate with its issuers, and not the key."""
    path = folder / "signer.pem"
    store = pkcs12.load_pkcs12(publisher.file.path.read_bytes(), PASSWORD.encode())
    assert store.cert is not None
    certificates = (store.cert, *store.additional_certs)
    path.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in certificates))
    return path


def _changed(path: Path) -> bytes:
    """Change one byte in the middle of the file; returns what it holds now."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return bytes(content)


def _osslsigncode(*arguments: object) -> None:
    subprocess.run(["osslsigncode", *map(str, arguments)], check=True, capture_output=True, timeout=60)
