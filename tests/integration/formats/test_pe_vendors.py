"""Real vendors' files hold against the default roots; with one byte changed they do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from asn1crypto import x509

from kspsign.authenticode.cms.file_signature import read_signature
from kspsign.authenticode.cms.profile import AUTHENTICODE
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.pe import PeFile
from support.formats import cms_schema
from support.formats.peimages import flipped, parts, with_checksum
from support.samples import corpus, kspsign

VENDORS = {
    "signtool.exe": ["Microsoft Corporation"],
    "conpty.dll": ["Microsoft Corporation"],
    "msvcp140_1.dll": ["Microsoft Windows Software Compatibility Publisher", "Microsoft Corporation"],
    "vcruntime140_threads.dll": ["Microsoft Windows Software Compatibility Publisher", "Microsoft Corporation"],
    "attach_x86.dll": ["Microsoft 3rd Party Application Component"],
    "inject_dll_amd64.exe": ["Microsoft 3rd Party Application Component"],
    "tbbbind_2_0.dll": ["Intel Corporation"],
    "snoretoast-x86.exe": ["K Desktop Environment e.V."],
}


@pytest.mark.parametrize("name", VENDORS)
def test_it_is_verified(name: str, tmp_path: Path) -> None:
    run = kspsign("verify", corpus(name), folder=tmp_path)
    assert run.code == 0, run.text
    assert all(check["ok"] for check in run.file["verdict"]["checks"])
    subjects = [signature["subject"].removeprefix("CN=").split(",")[0] for signature in run.file["signatures"]]
    assert subjects == VENDORS[name]
    assert all(signature["timestamp"] for signature in run.file["signatures"])


@pytest.mark.parametrize("name", VENDORS)
def test_with_one_byte_of_its_content_changed_it_is_not(name: str, tmp_path: Path) -> None:
    data = corpus(name).read_bytes()
    path = tmp_path / name
    start, length = parts(data).sections[0]
    path.write_bytes(with_checksum(flipped(data, start + length // 2)))
    run = kspsign("verify", path, folder=tmp_path)
    assert (run.code, run.error_code) == (2, "TRUST_E_BAD_DIGEST")


@pytest.mark.no_cover
@pytest.mark.parametrize("name", VENDORS)
def test_with_one_byte_of_its_signature_changed_it_is_not(name: str, tmp_path: Path) -> None:
    """But for bytes that no verdict rests on: nothing signs the set of certificates beside a signature.

    Microsoft's timestamps carry an attribute certificate (RFC 5755) there, Sectigo's chains a cross-certificate of
    the root that is itself in the root program. No path uses either, so that changing them changes nothing.
    """
    data = corpus(name).read_bytes()
    found, path = parts(data), tmp_path / name
    spare = spare_ranges(corpus(name), roots_of(corpus(name), tmp_path))
    tried = 0
    for offset in range(found.signature, found.table + found.table_size, 211):
        if any(offset in place for place in spare):
            continue
        tried += 1
        path.write_bytes(with_checksum(flipped(data, offset, 0x01)))
        run = kspsign("verify", path, folder=tmp_path)
        assert (run.code, run.file["verdict"]["result"]) == (2, "failed"), offset - found.signature
    assert tried > 20


def roots_of(path: Path, folder: Path) -> set[str]:
    """The common names of the roots that the file's chains end in."""
    checks = kspsign("verify", path, folder=folder).file["verdict"]["checks"]
    return {check["detail"].split(" < ")[-1] for check in checks if "certificate-chain" in check["name"]}


def spare_ranges(path: Path, roots: set[str]) -> list[range]:
    """Where certificates stand in the file that no chain uses: attribute certificates and those of the roots."""
    data, found = path.read_bytes(), []
    for message in messages_of(PeFile.open(Snapshot(path)).signatures):
        for certificate in cms_schema.ContentInfo.load(message)["content"]["certificates"]:
            der = certificate.dump()
            if der[:1] != b"\x30" or x509.Certificate.load(der).subject.native.get("common_name") in roots:
                found.append(range(data.index(der), data.index(der) + len(der)))
    return found


def messages_of(signatures: Iterable[bytes]) -> Iterator[bytes]:
    """The signatures, their timestamps, and the signatures nested in them."""
    for der in signatures:
        signature = read_signature(der, AUTHENTICODE)
        yield from (der, *signature.tokens, *messages_of(signature.further))


def test_our_roots_are_not_theirs(tmp_path: Path, authority_root: Path) -> None:
    run = kspsign("verify", corpus("signtool.exe"), "--trust-root", authority_root, folder=tmp_path)
    assert run.code == 2
    assert run.error_code in {"CERT_E_UNTRUSTEDROOT", "CERT_E_CHAINING"}
