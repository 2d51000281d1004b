"""A note is signed, verified, and refused with other text."""

from __future__ import annotations

from pathlib import Path

from support.samples import Run, Store, kspsign


def run(command: str, path: Path, *options: object) -> Run:
    return kspsign(command, path, *options, folder=path.parent)


def test_a_note_is_signed_and_a_changed_one_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.note"
    path.write_bytes(b"NOTE\ntext")
    signed = run("sign", path, "--thumbprint", store.thumbprint, "--store", store.folder)
    assert (signed.code, signed.file["format"]) == (0, "note"), signed.text
    assert run("verify", path, "--trust-root", store.root).code == 0
    path.write_bytes(path.read_bytes().replace(b"text", b"test"))
    refused = run("verify", path, "--trust-root", store.root)
    assert (refused.code, refused.error_code) == (2, "TRUST_E_BAD_DIGEST"), refused.text
