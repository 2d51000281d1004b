"""What signers write into the signature of a cabinet beside the digest: every known form, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.formats.test_cab_signing import sign
from kspsign.authenticode.cab import CabFile
from kspsign.authenticode.cms.oids import OID_SPC_CAB_DATA, OID_SPC_LINK, OID_SPC_PE_IMAGE_DATA
from kspsign.authenticode.cms.spc import indirect_data
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.signable import Digest
from kspsign.certificates import der
from support.forging import ALGORITHM, forge
from support.formats.cab_samples import build_cab
from support.samples import Run, Store, kspsign, osslsigncode_verify

CLASS_ID = bytes.fromhex("a6b586d5b4a12466ae05a217da8e60d6")
ENHANCED = der.oid("1.3.6.1.4.1.311.2.5.1")


def moniker(
    *, class_id: bytes = CLASS_ID, kind: bytes = ENHANCED, value: bytes = bytes(32), more: bytes = b""
) -> bytes:
    attribute = der.sequence(kind, der.set_of(der.octet_string(value))) + more
    return der.element(0xA1, der.octet_string(class_id), der.octet_string(der.element(der.SET, attribute)))


def file(name: str, tag: int = 0x80) -> bytes:
    return der.element(0xA2, der.element(tag, name.encode("utf-16-be" if tag == 0x80 else "ascii")))


def image_data(link: bytes) -> bytes:
    return der.sequence(bytes.fromhex("030100"), der.element(0xA0, link))


GENUINE = {
    "SignTool's": (OID_SPC_LINK, moniker()),
    "with SHA-1": (OID_SPC_LINK, moniker(value=bytes(20))),
    "obsolete": (OID_SPC_LINK, file("<<<Obsolete>>>")),
    "an empty name": (OID_SPC_LINK, file("")),
    "an empty name in ASCII": (OID_SPC_LINK, file("", 0x81)),
    "cabinet data, obsolete": (OID_SPC_CAB_DATA, file("<<<Obsolete>>>")),
    "cabinet data, SignTool's": (OID_SPC_CAB_DATA, moniker()),
    "image data": (OID_SPC_CAB_DATA, image_data(file(""))),
    "image data, obsolete": (OID_SPC_CAB_DATA, image_data(file("<<<Obsolete>>>"))),
}
OTHER = {
    "nothing": (OID_SPC_LINK, b""),
    "no link": (OID_SPC_LINK, der.octet_string(b"payload")),
    "a URL": (OID_SPC_LINK, der.element(0x80, b"https://example.org")),
    "a file": (OID_SPC_LINK, file("payload.exe")),
    "a file of no string": (OID_SPC_LINK, der.element(0xA2, der.octet_string(b""))),
    "two strings": (OID_SPC_LINK, der.element(0xA2, der.element(0x80), der.element(0x80))),
    "no string": (OID_SPC_LINK, der.element(0xA2)),
    "another class": (OID_SPC_LINK, moniker(class_id=bytes(16))),
    "another attribute": (OID_SPC_LINK, moniker(kind=der.oid("1.3.6.1.4.1.311.2.3.1"))),
    "a hash of no size": (OID_SPC_LINK, moniker(value=b"12345")),
    "a second attribute": (OID_SPC_LINK, moniker(more=der.octet_string(bytes(4000)))),
    "image data in place of a link": (OID_SPC_LINK, image_data(file(""))),
    "image data with a field more": (OID_SPC_CAB_DATA, der.sequence(bytes.fromhex("030100"), der.octet_string(b"x"))),
    "image data with a URL": (OID_SPC_CAB_DATA, image_data(der.element(0x80, b"https://example.org"))),
    "an image": (OID_SPC_PE_IMAGE_DATA, image_data(file(""))),
}


def verdict(store: Store, folder: Path, kind: str, value: bytes) -> Run:
    path = folder / "data.cab"
    path.write_bytes(build_cab())

    def content(digest: Digest) -> bytes:
        return indirect_data(kind, value, ALGORITHM, digest.values[ALGORITHM])

    return forge(CabFile.open(Snapshot(path)), store, folder / "signed.cab", content)


@pytest.mark.parametrize(("kind", "value"), GENUINE.values(), ids=GENUINE)
def test_each_form_is_verified(store: Store, tmp_path: Path, kind: str, value: bytes) -> None:
    run = verdict(store, tmp_path, kind, value)
    assert run.code == 0, run.text
    assert osslsigncode_verify(tmp_path / "signed.cab", store.root).accepted


@pytest.mark.parametrize(("kind", "value"), OTHER.values(), ids=OTHER)
def test_every_other_is_refused(store: Store, tmp_path: Path, kind: str, value: bytes) -> None:
    run = verdict(store, tmp_path, kind, value)
    assert (run.code, run.error_code) == (2, "TRUST_E_MALFORMED_SIGNATURE")
    failed = {check["name"] for check in run.file["verdict"]["checks"] if not check["ok"]}
    assert failed <= {"content-link", "cms-structure"}


def test_a_signature_is_appended_to_one_with_a_link(store: Store, tmp_path: Path) -> None:
    assert verdict(store, tmp_path, OID_SPC_LINK, moniker()).code == 0
    path = tmp_path / "signed.cab"
    run = sign(path, store, "--append", "--digest", "sha512", "--no-timestamp")
    assert run.code == 0, run.text
    assert [signature["digest"] for signature in run.file["signatures"]] == ["sha256", "sha512"]
    details = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}
    assert "enhanced hash" in details["content-link"]
    assert details["content-link#2"] == "a link to no file"
    checked = kspsign("verify", path, "--trust-root", store.root, "--no-timestamp", folder=tmp_path)
    assert checked.code == 0, checked.text
