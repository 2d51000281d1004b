"""Manifests as other programs write them: .NET's spelling, and timestamps of the time before RFC 3161."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kspsign.embedded.authority import EmbeddedAuthority
from support.formats.clickonce_judge import judge
from support.formats.clickonce_samples import publish
from support.signing import Publisher

_EMPTY = re.compile(rb"<([\w:]+)( [^<>]*)?></\1>")


@pytest.fixture(scope="module")
def unstamped(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed application manifest without a timestamp, among its files."""
    published = publish(tmp_path_factory.mktemp("published"))
    assert publisher.sign(Path(), "--folder", published.folder, stamped=False).code == 0
    return published.application


def dotnet(data: bytes) -> bytes:
    """The manifest as .NET's XmlWriter has it, but for its lines: empty elements in one tag."""
    return _EMPTY.sub(rb"<\1\2 />", data)


def old_timestamp(value: bytes, authority: EmbeddedAuthority, folder: Path) -> bytes:
    """What a server of before answers, by openssl: a SignedData around the signature value, in lines of base64."""
    certificate, key = folder / "unit.pem", folder / "unit.key"
    certificate.write_bytes(authority.timestamp.certificate.public_bytes(Encoding.PEM))
    key.write_bytes(authority.timestamp.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    command = ["openssl", "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-md", "sha256", "-outform", "DER"]
    done = subprocess.run(
        [*command, "-signer", str(certificate), "-inkey", str(key)],
        input=value, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    text = base64.b64encode(done.stdout)
    return b"".join(text[at : at + 64] + b"\n" for at in range(0, len(text), 64))


def stamped(data: bytes, stamp: bytes) -> bytes:
    place = b"</X509Data></KeyInfo></Signature>"
    assert data.count(place) == 1
    added = b"</X509Data></KeyInfo><Object><as:Timestamp>" + stamp + b"</as:Timestamp></Object></Signature>"
    return data.replace(place, added)


def test_an_old_timestamp(unstamped: Path, publisher: Publisher, authority: EmbeddedAuthority, tmp_path: Path) -> None:
    signed = unstamped.read_bytes()
    (_, value) = re.findall(rb"<SignatureValue>([^<]*)<", signed)
    right = old_timestamp(base64.b64decode(value), authority, tmp_path)
    other = old_timestamp(base64.b64decode(value)[::-1], authority, tmp_path)
    for data in (stamped(signed, right), dotnet(stamped(signed, right))):
        unstamped.write_bytes(data)
        run = publisher.verify(unstamped)
        assert run.code == 0, run.text
        assert run.file["signatures"][0]["timestamp"]["digest"] == "sha256"
    assert publisher.refusal(unstamped, stamped(signed, other)) == "TRUST_E_MALFORMED_SIGNATURE"
    joined = right.replace(b"\n", b"", 1)
    assert publisher.refusal(unstamped, stamped(signed, joined)) == "TRUST_E_MALFORMED_SIGNATURE"
    # In a file with CRLF, as Windows writes it, all lines end so; the manifest's text is the same to XML.
    assert publisher.refusal(unstamped, stamped(signed, right).replace(b"\n", b"\r\n")) is None
    unstamped.write_bytes(signed)


def test_the_spelling_of_dotnet(unstamped: Path, publisher: Publisher) -> None:
    """A manifest that .NET wrote is stamped later without another byte being changed; mixed spellings are refused."""
    signed = unstamped.read_bytes()
    data = dotnet(signed)
    assert data.count(b" />") > 20
    unstamped.write_bytes(data)
    assert publisher.stamp(unstamped).code == 0
    with_stamp = unstamped.read_bytes()
    assert re.sub(rb"<Object>.*</Object>", b"", with_stamp) == data
    assert publisher.verify(unstamped).code == 0
    assert judge(unstamped).ok
    begin = signed.index(b"<Signature")
    mixed = signed[:begin] + signed[begin:].replace(b"<as:SignedBy></as:SignedBy>", b"<as:SignedBy />")
    assert publisher.refusal(unstamped, mixed) == "TRUST_E_MALFORMED_SIGNATURE"
    unstamped.write_bytes(signed)
