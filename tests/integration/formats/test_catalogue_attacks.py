"""Catalogues that say two things: members of several digests, tags of other files, and digests that are of an image to
one reader and of a whole file to another. Each has a twin that proves its file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kspsign.authenticode.cat.members import MAX_MEMBERS, read_members
from kspsign.authenticode.cms.algorithms import algorithm_identifier
from kspsign.authenticode.cms.oids import OID_SPC_CAB_DATA, OID_SPC_INDIRECT_DATA, OID_SPC_PE_IMAGE_DATA
from kspsign.certificates import der
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm
from support.formats.cat_samples import USAGE, unsigned
from support.formats.peimages import build_pe, digest, parts
from support.samples import Run, Store, kspsign_at

FILE = b"[Version]\n"
OTHER = b"[Other]\n"
NAME_VALUE = "1.3.6.1.4.1.311.12.2.1"


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def covered(value: bytes, kind: str = OID_SPC_CAB_DATA, more: bytes = b"") -> bytes:
    """An SpcIndirectDataContent."""
    info = der.sequence(algorithm_identifier(DigestAlgorithm.SHA256), der.octet_string(value))
    return der.sequence(der.sequence(der.oid(kind)), info, more)


def attribute(*values: bytes, kind: str = OID_SPC_INDIRECT_DATA, more: bytes = b"") -> bytes:
    return der.sequence(der.oid(kind), der.set_of(*values), more)


def member(tag: bytes, *attributes: bytes, more: bytes = b"") -> bytes:
    return der.sequence(der.octet_string(tag), der.set_of(*attributes), more)


def text(tag: str) -> bytes:
    return f"{tag}\0".encode("utf-16-le")


def listed(*members: bytes, before: bytes = b"", usages: int = 1) -> bytes:
    """The trust list of these members."""
    return der.sequence(
        der.sequence(*[der.oid(USAGE)] * usages),
        der.octet_string(bytes(16)),
        der.element(0x17, b"260101000000Z"),
        der.sequence(der.oid("1.3.6.1.4.1.311.12.1.3"), der.element(der.NULL)),
        before,
        der.sequence(*members),
    )


PLAIN = member(sha256(FILE), attribute(covered(sha256(FILE))))
ELSE = member(sha256(OTHER), attribute(covered(sha256(OTHER))))


def judged(store: Store, folder: Path, trust_list: bytes, name: str, data: bytes) -> Run:
    """The verdict on a file by a signed catalogue with this list."""
    (folder / "x.cat").write_bytes(unsigned(trust_list))
    (folder / name).write_bytes(data)
    key = ("--thumbprint", store.thumbprint, "--store", store.folder, "--no-timestamp")
    assert kspsign_at("sign", "x.cat", *key, folder=folder).code == 0
    options = ("--catalog", "x.cat", "--trust-root", store.root, "--no-timestamp")
    return kspsign_at("verify", name, *options, folder=folder)


def failed(run: Run, name: str) -> list[str]:
    return [check["name"] for check in run.files[name]["verdict"]["checks"] if not check["ok"]]


LISTS = {
    "two values": listed(member(sha256(FILE), attribute(covered(sha256(FILE)), covered(sha256(OTHER))))),
    "two digests": listed(member(sha256(FILE), attribute(covered(sha256(FILE))), attribute(covered(sha256(OTHER))))),
    "a field after a digest": listed(member(sha256(FILE), attribute(covered(sha256(FILE), more=covered(bytes(32)))))),
    "a field after an attribute": listed(
        member(sha256(FILE), attribute(covered(sha256(FILE)), more=der.set_of(covered(sha256(OTHER)))))
    ),
    "a field after a member": listed(member(sha256(FILE), attribute(covered(sha256(FILE))), more=der.set_of())),
    "a second list": listed(PLAIN, before=der.sequence(ELSE)),
    "two usages": listed(PLAIN, usages=2),
    "the tag of another file": listed(member(sha256(OTHER), attribute(covered(sha256(FILE))))),
    "the tag of another file in hex": listed(
        member(text(sha256(OTHER).hex()), attribute(covered(sha256(FILE)))), PLAIN
    ),
    "the tag of another file by SHA-1": listed(
        member(text(hashlib.sha1(OTHER, usedforsecurity=False).hexdigest()), attribute(covered(sha256(FILE))))
    ),
    "one tag for two files": listed(
        member(text("driver"), attribute(covered(sha256(FILE)))),
        member(text("driver"), attribute(covered(sha256(OTHER)))),
    ),
}
TWINS = {
    "plain": listed(PLAIN, ELSE),
    "the tag in hex": listed(member(text(sha256(FILE).hex().upper()), attribute(covered(sha256(FILE))))),
    "a tag of words": listed(member(text("driver"), attribute(covered(sha256(FILE)))), ELSE),
    "one file twice": listed(PLAIN, PLAIN),
}


@pytest.mark.parametrize("trust_list", LISTS.values(), ids=LISTS)
def test_a_list_that_two_readers_read_differently_proves_nothing(
    store: Store, tmp_path: Path, trust_list: bytes
) -> None:
    run = judged(store, tmp_path, trust_list, "x.inf", FILE)
    assert run.code == 2, run.text
    assert run.files["x.cat"]["verdict"]["result"] == "failed"
    assert "catalog-members" in failed(run, "x.cat"), run.text
    assert run.files["x.inf"]["verdict"]["result"] == "failed"


@pytest.mark.parametrize("trust_list", TWINS.values(), ids=TWINS)
def test_the_twin_proves_its_file(store: Store, tmp_path: Path, trust_list: bytes) -> None:
    run = judged(store, tmp_path, trust_list, "x.inf", FILE)
    assert run.code == 0, run.text


def test_a_data_file_does_not_prove_an_image(store: Store, tmp_path: Path) -> None:
    """Whoever may have a data file listed makes it of what a signature covers of a program of his."""
    image = build_pe(overlay=b"payload!")
    found = parts(image)
    data = image[: found.checksum] + image[found.checksum + 4 : found.directory] + image[found.directory + 8 :]
    assert sha256(data).hex().upper() == digest(image)
    flat = listed(member(sha256(data), attribute(covered(sha256(data)))))
    of_image = listed(member(sha256(data), attribute(covered(sha256(data), OID_SPC_PE_IMAGE_DATA))))
    program, other = ("x.exe", image), ("x.bin", data)
    for trust_list, accepted, refused in ((flat, other, program), (of_image, program, other)):
        assert judged(store, tmp_path, trust_list, *accepted).code == 0
        run = judged(store, tmp_path, trust_list, *refused)
        assert (run.code, failed(run, refused[0])) == (2, ["catalog-member"]), run.text


def test_a_weak_digest_of_the_whole_file_excuses_nothing(store: Store, tmp_path: Path, signed_image: bytes) -> None:
    """What surrounds a signature is not looked at only where a digest that counts covers it."""
    appended = signed_image + b"appended"
    image = bytes.fromhex(digest(signed_image))
    of_image = member(image, attribute(covered(image, OID_SPC_PE_IMAGE_DATA)))
    weak = member(hashlib.sha1(appended, usedforsecurity=False).digest())
    run = judged(store, tmp_path, listed(of_image, weak), "x.exe", appended)
    assert "trailing-data" in failed(run, "x.exe"), run.text
    assert judged(store, tmp_path, listed(of_image, weak), "x.exe", signed_image).code == 0
    whole = member(sha256(appended), attribute(covered(sha256(appended))))
    assert judged(store, tmp_path, listed(of_image, whole), "x.exe", appended).code == 0


def test_countless_members_are_refused_by_their_count() -> None:
    one = member(bytes(32))
    assert len(list(read_members(listed(*[one] * 3)))) == 3
    with pytest.raises(TrustError, match="more than 262144 members"):
        list(read_members(listed(one * (MAX_MEMBERS + 1))))
