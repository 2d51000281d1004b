"""Digest documents that were changed between the steps, names that are other files elsewhere, and files in the way: all
of it is known before a signature is spent or a file is written."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kspsign.authenticode.cms.algorithms import algorithm_identifier
from kspsign.authenticode.cms.oids import (
    OID_CONTENT_TYPE,
    OID_CTL,
    OID_MESSAGE_DIGEST,
    OID_SPC_INDIRECT_DATA,
    OID_SPC_INDIVIDUAL,
    OID_SPC_OPUS_INFO,
    OID_SPC_STATEMENT_TYPE,
    OID_TST_INFO,
)
from kspsign.certificates import der
from kspsign.model.errors import ConfigurationError
from kspsign.model.values import DigestAlgorithm
from kspsign.signing.digest_document import read_document
from support.formats.cat_samples import trust_list
from support.formats.peimages import build_pe
from support.key_command.world import KeyCommand
from support.samples import Run, assert_no_leftovers, kspsign_at
from support.signing import Publisher

Document = dict[str, Any]
OPUS = der.sequence(der.element(0xA0, der.element(0x80, "Setup".encode("utf-16-be"))))


class Gap:
    """Two files, the document of their digests, and the same with signatures."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder / "build", KeyCommand.create(folder / "program")
        self.folder.mkdir()
        self.files = {name: build_pe(overlay=name.encode()) for name in ("a.dll", "b.dll")}
        self.restore()
        assert kspsign_at("digest", "*.dll", "--output", "../digests.json", folder=self.folder).code == 0
        self.unsigned: Document = json.loads((folder / "digests.json").read_bytes())
        assert self.sign(json.dumps(self.unsigned)).code == 0
        self.signed: Document = json.loads((folder / "signed.json").read_bytes())

    def restore(self) -> None:
        for name, data in self.files.items():
            (self.folder / name).write_bytes(data)

    def sign(self, text: str) -> Run:
        (self.folder.parent / "digests.json").write_text(text, encoding="utf-8")
        key = (*self.program.options, *self.program.trust, "--store", self.folder.parent / "store", "--no-timestamp")
        names = ("--document", "../digests.json", "--output", "../signed.json")
        return kspsign_at("sign", *names, *key, folder=self.folder, environment=self.program.environment)

    def attach(self, document: Document) -> Run:
        (self.folder.parent / "signed.json").write_text(json.dumps(document), encoding="utf-8")
        trust = (*self.program.trust, "--no-timestamp")
        return kspsign_at("attach", "--document", "../signed.json", *trust, folder=self.folder)


@pytest.fixture(scope="module")
def gap(tmp_path_factory: pytest.TempPathFactory) -> Gap:
    return Gap(tmp_path_factory.mktemp("gap"))


def first(document: Document, **changes: object) -> Document:
    """The document with other values in its first entry."""
    entry, *others = document["files"]
    return {**document, "files": [{**entry, **changes}, *others]}


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def prepared(content_type: str, content: bytes, opus: bytes = OPUS, more: bytes = b"") -> dict[str, str]:
    """What an entry has for that content: signed attributes of it as Authenticode has them, and their digest."""
    octets = der.octet_string(hashlib.sha256(der.parse(content, content[0]).content).digest())
    stated = {
        OID_CONTENT_TYPE: der.oid(content_type),
        OID_MESSAGE_DIGEST: octets,
        OID_SPC_STATEMENT_TYPE: der.sequence(der.oid(OID_SPC_INDIVIDUAL)),
        OID_SPC_OPUS_INFO: opus,
    }
    written = [der.sequence(der.oid(kind), der.set_of(value)) for kind, value in stated.items()]
    attributes = der.set_of(*written, *([more] if more else []))
    digest = hashlib.sha256(attributes).digest()
    return {"content": encoded(content), "attributes": encoded(attributes), "digest": encoded(digest)}


def spc(algorithm: str, kind: str = "1.3.6.1.4.1.311.2.1.15") -> bytes:
    """An SpcIndirectDataContent of that kind of file."""
    digest = der.octet_string(bytes(hashlib.new(algorithm).digest_size))
    named = algorithm_identifier(DigestAlgorithm(algorithm))
    return der.sequence(der.sequence(der.oid(kind)), der.sequence(named, digest))


OTHER_CONTENT = {
    "a timestamp": prepared(OID_TST_INFO, der.octet_string(b"\x30\x00")),
    "a mail": prepared("1.2.840.113549.1.7.1", der.octet_string(b"Approved.")),
    "a catalogue": prepared(OID_CTL, trust_list({"a": b"a"})),
    "a script": prepared(OID_SPC_INDIRECT_DATA, spc("sha256", "1.3.6.1.4.1.311.2.1.30")),
    "a weak digest": prepared(OID_SPC_INDIRECT_DATA, spc("sha1")),
    "no content": prepared(OID_SPC_INDIRECT_DATA, der.sequence()),
    "an attribute more": prepared(
        OID_SPC_INDIRECT_DATA,
        spc("sha256"),
        more=der.sequence(der.oid("1.2.3.4"), der.set_of(der.octet_string(b"x"))),
    ),
    "a value more": prepared(
        OID_SPC_INDIRECT_DATA,
        spc("sha256"),
        more=der.sequence(der.oid("1.2.3.4"), der.set_of(OPUS, der.sequence())),
    ),
    "a field after the description": prepared(
        OID_SPC_INDIRECT_DATA, spc("sha256"), der.sequence(der.parse(OPUS).content, der.octet_string(b"x"))
    ),
    "a description that is not text": prepared(
        OID_SPC_INDIRECT_DATA, spc("sha256"), der.sequence(der.element(0xA0, der.element(0x80, b"\xd8")))
    ),
}


@pytest.mark.parametrize("other", OTHER_CONTENT.values(), ids=OTHER_CONTENT)
def test_what_is_not_the_content_of_that_format_is_not_signed(gap: Gap, other: dict[str, str]) -> None:
    """All agree with themselves; a signature of one of them would be good for something else than the file."""
    made = gap.program.made
    run = gap.sign(json.dumps(first(gap.unsigned, **other)))
    assert (run.code, gap.program.made) == (3, made), run.text
    right = gap.sign(json.dumps(first(gap.unsigned, **prepared(OID_SPC_INDIRECT_DATA, spc("sha256")))))
    assert (right.code, gap.program.made) == (0, made + 2), right.text


ENTRIES: dict[str, dict[str, object]] = {
    "a path spelled otherwise": {"path": "./a.dll"},
    "a path out of the folder": {"path": "x/../../a.dll"},
    "a path of Windows": {"path": "n\n..\\..\\a.dll"},
    "a path of a drive": {"path": "C:a.dll"},
    "a device": {"path": "con.dll"},
    "a name that Windows cuts": {"path": "a.dll."},
    "a long name": {"path": f"{'x' * 300}.dll"},
    "a line for the agent": {"path": "a\n##vso[task.complete result=Succeeded]"},
    "the other file's path": {"path": "b.dll"},
    "its path in another case": {"path": "B.DLL"},
    "a huge size": {"size": 10**400},
    "a size as a text": {"size": "2048"},
    "another format": {"format": "cat"},
    "a format of two signatures": {"format": "clickonce-application"},
    "a format that names its certificate": {"format": "nuget"},
    "an unknown key": {"approved": True},
}


@pytest.mark.parametrize("changes", ENTRIES.values(), ids=ENTRIES)
def test_an_entry_that_can_t_be_is_refused(gap: Gap, changes: dict[str, object]) -> None:
    made = gap.program.made
    for run in (gap.sign(json.dumps(first(gap.unsigned, **changes))), gap.attach(first(gap.signed, **changes))):
        assert (run.code, run.report["error"]["code"]) == (3, "CONFIGURATION"), run.text
        assert run.report["error"]["remedy"]
    assert gap.program.made == made
    assert {path.name: path.read_bytes() for path in gap.folder.glob("*.dll")} == gap.files


TEXTS: dict[str, Callable[[str], str]] = {
    "a key twice": lambda text: text.replace('"tool":', '"tool": "another", "tool":'),
    "a byte order mark": lambda text: f"\ufeff{text}",
    "no number of JSON": lambda text: text.replace('"size": ', '"size": NaN, "x": '),
    "bits that fill up base64": lambda text: re.sub(
        r'("digest": "[^"]{42})(.)=', lambda found: f"{found[1]}{chr(ord(found[2]) + 1)}=", text
    ),
    "cut off": lambda text: text[:-9],
    "nothing": lambda _: "",
    "deep": lambda _: "[" * 100_000,
    "another version": lambda text: text.replace("kspsign.digests/1", "kspsign.digests/2"),
}


@pytest.mark.parametrize("change", TEXTS.values(), ids=TEXTS)
def test_a_text_that_others_read_otherwise_is_refused(gap: Gap, change: Callable[[str], str]) -> None:
    made = gap.program.made
    run = gap.sign(change(json.dumps(gap.unsigned)))
    assert (run.code, gap.program.made) == (3, made), run.text
    assert "is not a digest document that can be used" in run.report["error"]["message"]


def test_a_signature_is_attached_to_its_own_file_alone(gap: Gap) -> None:
    """Exchanged signatures, another size, a link to the same file, and one that leads out of the folder."""
    one, two = gap.signed["files"]
    run = gap.attach(first(gap.signed, signature=two["signature"], size=one["size"] + 1))
    assert {name: file["error"] and file["error"]["code"] for name, file in run.files.items()} == {
        "a.dll": "TRUST_E_BAD_DIGEST",
        "b.dll": None,
    }
    gap.restore()
    run = gap.attach(first(gap.signed, signature=two["signature"]))
    assert run.files["a.dll"]["error"]["code"] == "TRUST_E_CERT_SIGNATURE"
    gap.restore()
    (gap.folder / "link.dll").symlink_to("a.dll")
    outside = gap.folder.parent / "outside"
    outside.mkdir()
    (outside / "a.dll").write_bytes(gap.files["a.dll"])
    (gap.folder / "linked").symlink_to(outside)
    try:
        twice = gap.attach({**gap.signed, "files": [one, {**one, "path": "link.dll"}]})
        assert (twice.code, "names one file twice" in twice.text) == (3, True), twice.text
        out = gap.attach(first(gap.signed, path="linked/a.dll"))
        assert (out.code, out.report["error"]["code"]) == (4, "NO_FILES_MATCHED"), out.text
    finally:
        (gap.folder / "link.dll").unlink()
        (gap.folder / "linked").unlink()
    assert (outside / "a.dll").read_bytes() == gap.files["a.dll"]
    assert {path.name: path.read_bytes() for path in gap.folder.iterdir() if path.suffix == ".dll"} == gap.files
    whole = gap.attach(gap.signed)
    assert (whole.code, whole.report["totals"]["signed"]) == (0, 2), whole.text
    gap.restore()
    assert_no_leftovers(gap.folder)


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (("A.dll", "a.dll"), 3, "differ in case"),
        (("\u00e9.dll", "e\u0301.dll"), 3, "differ in case"),
        (("we\\ird.dll",), 6, "it has a backslash"),
        (("new\nline.dll",), 6, "a character that no name on Windows has"),
        ((os.fsdecode(b"\xff.dll"),), 6, "not UTF-8"),
        (("con.dll",), 6, "reserved for a device"),
        (("a.dll", "b.dll"), 0, ""),
    ],
    ids=["case", "Unicode", "backslash", "line", "bytes", "device", "good"],
)
def test_names_that_are_others_elsewhere(tmp_path: Path, names: tuple[str, ...], code: int, said: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(build_pe())
    run = kspsign_at("digest", "*.dll", "--output", "digests.json", folder=tmp_path)
    assert run.code == code, run.text
    assert said in json.dumps(run.report)
    assert "unexpected" not in run.text
    assert (tmp_path / "digests.json").exists() == (code == 0)
    if "UTF-8" in said:
        listed = kspsign_at("catalog", "*.dll", "-o", "x.cat", folder=tmp_path)
        assert (listed.code, "not UTF-8" in listed.text, "unexpected" in listed.text) == (1, True, False), listed.text


def test_a_link_out_of_the_folder_is_not_below_it(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside):
        folder.mkdir()
    (outside / "a.dll").write_bytes(build_pe())
    (inside / "linked").symlink_to(outside)
    refused = kspsign_at("digest", "linked/a.dll", "--output", "digests.json", folder=inside)
    assert (refused.code, refused.error_code) == (6, "ERROR_NOT_SUPPORTED"), refused.text
    taken = kspsign_at("digest", "a.dll", "--folder", "linked", "--output", "digests.json", folder=inside)
    assert taken.code == 0, taken.text


@pytest.mark.parametrize("part", ["{},", "[],", '"",'], ids=["objects", "lists", "texts"])
def test_a_document_of_countless_values_takes_no_memory(tmp_path: Path, part: str) -> None:
    path = tmp_path / "digests.json"
    path.write_text(f'{{"schema":"kspsign.digests/1","tool":"","created":"","files":[{part * 7_000_000}0]}}')
    with pytest.raises(ConfigurationError, match="more values than"):
        read_document(path)


def test_an_extracted_signature_takes_no_other_file_s_place(publisher: Publisher, tmp_path: Path) -> None:
    """Further signatures get numbers, and a number may make the name of another file."""
    (tmp_path / "app.2.exe").write_bytes(build_pe())
    (tmp_path / "one.exe.2").write_bytes(build_pe(overlay=b"other"))
    for name in ("app.2.exe", "one.exe.2"):
        assert publisher.sign(tmp_path / name).code == 0
    assert publisher.sign(tmp_path / "app.2.exe", "--append").code == 0
    twice = (tmp_path / "app.2.exe").read_bytes()
    (tmp_path / "one.exe").write_bytes(twice)
    run = kspsign_at("extract", "app.2.exe", "--output", "app.exe", folder=tmp_path)
    assert (run.code, run.error_code) == (6, "ERROR_NOT_SUPPORTED"), run.text
    assert (tmp_path / "app.2.exe").read_bytes() == twice
    assert not (tmp_path / "app.exe").exists()
    both = kspsign_at("extract", "one.exe", "one.exe.2", "--output", "out", folder=tmp_path)
    assert {name: file["outcome"] for name, file in both.files.items()} == {
        "one.exe": "failed",
        "one.exe.2": "extracted",
    }
    alone = kspsign_at("extract", "one.exe", "--output", "alone/one.p7s", folder=tmp_path)
    assert alone.code == 0, alone.text
    assert {path.name for path in (tmp_path / "alone").iterdir()} == {"one.p7s", "one.2.p7s"}
