"""Data in the places of a message that no signature covers and no peer looks at: through the front door, with the
place named and memory bounded."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz.samples import authority
from generative.samples import SAMPLES, Sample
from kspsign.certificates import der
from support.formats.zips import Part, build_zip
from support.pki import Issued
from support.places import ROOT
from support.samples import Run, kspsign

PAYLOAD = der.octet_string(bytes(range(256)) * 160)
ATTRIBUTE = der.sequence(der.oid("1.3.6.1.4.1.42921.1.2.1"), der.element(der.SET, PAYLOAD))
VERIFY = """
import sys
from kspsign.cli.main import main

try:
    sys.exit(main(sys.argv[1:]))
finally:
    print(open("/proc/self/status").read(), file=sys.stderr)
"""
"""The program, with its own account of what it took: the system's also counts the process that it was forked from."""
TOKEN = "1.3.6.1.4.1.311.3.3.1"  # noqa: S105 - an OID


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return SAMPLES["pe"](tmp_path_factory.mktemp("sample"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root.pem"
    path.write_bytes(Issued(authority().root.certificate, authority().root.key).pem)
    return path


def fields(message: bytes) -> list[bytes]:
    """The fields of the SignedData."""
    signed = der.parse(message).children()[1].children()[0]
    return [child.der for child in signed.children()]


def info(parts: list[bytes]) -> bytes:
    """The ContentInfo of a SignedData with these fields."""
    return der.sequence(der.oid("1.2.840.113549.1.7.2"), der.element(0xA0, der.sequence(*parts)))


def crls(message: bytes) -> bytes:
    version, algorithms, content, certificates, signers = fields(message)
    return info([version, algorithms, content, certificates, der.element(0xA1, PAYLOAD), signers])


def among_certificates(member: bytes) -> Callable[[bytes], bytes]:
    def change(message: bytes) -> bytes:
        parts = fields(message)
        parts[3] = der.element(0xA0, der.parse(parts[3], 0xA0).content, member)
        return info(parts)

    return change


def in_token(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """The change made in the timestamp token."""

    def changed(message: bytes) -> bytes:
        parts = fields(message)
        (signer,) = der.parse(parts[-1], der.SET).children()
        of_signer = [child.der for child in signer.children()]
        (attribute,) = der.parse(of_signer[-1], 0xA1).children()
        token = attribute.children()[1].children()[0].der
        new = der.sequence(der.oid(TOKEN), der.element(der.SET, change(token)))
        of_signer[-1] = der.element(0xA1, new)
        parts[-1] = der.element(der.SET, der.sequence(*of_signer))
        return info(parts)

    return changed


def unsigned_attribute(message: bytes) -> bytes:
    """An attribute behind those that the signer has."""
    parts = fields(message)
    (signer,) = der.parse(parts[-1], der.SET).children()
    of_signer = [child.der for child in signer.children()]
    if of_signer[-1][0] != 0xA1:
        of_signer.append(der.element(0xA1))
    of_signer[-1] = der.element(0xA1, der.parse(of_signer[-1], 0xA1).content, ATTRIBUTE)
    parts[-1] = der.element(der.SET, der.sequence(*of_signer))
    return info(parts)


MESSAGE_CHANGES = {
    "crls": (crls, "SignedData.crls"),
    "unsigned attribute": (unsigned_attribute, "1.3.6.1.4.1.42921.1.2.1"),
    "bare octet string": (among_certificates(PAYLOAD), "tag 0x04"),
    **{f"choice [{tag}]": (among_certificates(der.element(0xA0 + tag, PAYLOAD)), "certificate") for tag in range(4)},
}


def verify(path: Path, root: Path) -> Run:
    return kspsign("verify", path, "--trust-root", root, folder=path.parent)


@pytest.mark.parametrize("name", MESSAGE_CHANGES)
@pytest.mark.parametrize("place", ["signature", "token"])
def test_the_place_is_named(sample: Sample, root: Path, tmp_path: Path, name: str, place: str) -> None:
    change, words = MESSAGE_CHANGES[name]
    changed = sample.put((in_token(change) if place == "token" else change)(sample.message))
    assert changed is not None
    path = tmp_path / "app.exe"
    path.write_bytes(changed)
    run = verify(path, root)
    assert (run.code, run.error_code) == (2, "TRUST_E_MALFORMED_SIGNATURE"), run.text
    message = run.file["error"]["message"]
    assert words in message
    assert ("timestamp-structure" in message) == (place == "token")
    path.write_bytes(sample.data)
    assert verify(path, root).code == 0


HOSTILE: dict[str, Callable[[], bytes]] = {
    "elements.exe": lambda: der.sequence(der.oid("1.2.840.113549.1.7.2"), b"\x05\x00" * 1_000_000),
    "deep.exe": lambda: _nested(20_000),
}


def _nested(depth: int) -> bytes:
    """An element in an element, and so on."""
    data = b""
    for _ in range(depth):
        data = der.element(0xA0, data)
    return der.sequence(der.oid("1.2.840.113549.1.7.2"), data)


def peak_megabytes(path: Path) -> int:
    """The most memory that `kspsign verify` takes."""
    command = [sys.executable, "-c", VERIFY, "verify", "--no-timestamp", str(path)]
    child = subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.returncode == 2
    peak = re.findall(r"^VmHWM:\s+(\d+) kB$", child.stderr, re.MULTILINE)
    return int(peak[-1]) >> 10


@pytest.mark.skipif(sys.platform != "linux", reason="what a child took is told in KiB by Linux alone")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_signature_takes_little_memory(sample: Sample, tmp_path: Path, name: str) -> None:
    changed = sample.put(HOSTILE[name]())
    assert changed is not None
    path = tmp_path / name
    path.write_bytes(changed)
    assert peak_megabytes(path) < 200 + len(changed) // (10 << 20)


@pytest.mark.skipif(sys.platform != "linux", reason="what a child took is told in KiB by Linux alone")
def test_a_signature_that_inflates_is_not_unpacked(tmp_path: Path) -> None:
    bomb = b"PKCX" + der.sequence(der.oid("1.2.840.113549.1.7.2"), b"\x05\x00" * (4 << 20))
    parts = [
        Part("AppxManifest.xml", b"<Package/>"),
        Part("AppxBlockMap.xml", b"<BlockMap/>"),
        Part("[Content_Types].xml", b"<Types/>"),
        Part("AppxSignature.p7x", bomb, deflate=True),
    ]
    path = tmp_path / "bomb.msix"
    path.write_bytes(build_zip(parts))
    assert path.stat().st_size < 64 << 10
    assert peak_megabytes(path) < 200
