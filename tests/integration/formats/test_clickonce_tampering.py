"""Signed manifests, changed in every way that was thought of and in 200 chosen at random: none verifies, and each that
means something else fails for its own reason."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from kspsign.model.values import Format
from kspsign.settings.model import Settings
from kspsign.verifying import Verifier, open_verifier
from support.certificates import shared_key, signing_file
from support.formats.clickonce_samples import Published, publish
from support.signing import Publisher

MUTANTS = 200
Change = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def signed(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Published:
    published = publish(tmp_path_factory.mktemp("published"))
    assert publisher.sign(Path(), "--folder", published.folder).code == 0
    return published


@pytest.fixture(scope="module")
def verifier(publisher: Publisher) -> Verifier:
    return open_verifier(Settings(files=("x",), trust_root=(publisher.roots,)), None)


@pytest.fixture(scope="module")
def stranger(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The same application, signed by another publisher of the same CA's making."""
    folder = tmp_path_factory.mktemp("stranger")
    published = publish(folder / "published")
    file = signing_file(folder, key=shared_key(1), root_key=shared_key(2), subject="Stranger")
    roots = folder / "roots.pem"
    roots.write_bytes(file.root.read_bytes() + publisher.roots.read_bytes())
    assert Publisher(file, publisher.timestamp_url, roots).sign(Path(), "--folder", published.folder).code == 0
    return published


def failures(verifier: Verifier, published: Published, data: bytes, path: Path | None = None) -> set[str]:
    """The checks that `data`, in the manifest's place, does not meet."""
    place = path or published.application
    kept = place.read_bytes()
    place.write_bytes(data)
    try:
        format_ = Format.CLICKONCE_APPLICATION if place == published.application else Format.CLICKONCE_DEPLOYMENT
        verdict = verifier.verify(place, format_).verdict
    finally:
        place.write_bytes(kept)
    assert verdict.ok == all(check.ok for check in verdict.checks)
    return {check.name for check in verdict.checks if not check.ok}


def put(old: bytes, new: bytes, count: int = 1) -> Change:
    def change(data: bytes) -> bytes:
        assert old in data, old
        return data.replace(old, new, count)

    return change


def in_license(old: bytes, new: bytes) -> Change:
    """A change after the licence begins."""

    def change(data: bytes) -> bytes:
        at = data.index(b"<msrel:RelData")
        return data[:at] + put(old, new)(data[at:])

    return change


def without(pattern: bytes) -> Change:
    """What matches is taken out."""
    return lambda data: re.sub(pattern, b"", data)


def flipped_value(which: int) -> Change:
    """One bit of the SignatureValue of this number."""

    def change(data: bytes) -> bytes:
        found = list(re.finditer(rb"<SignatureValue>([^<]*)<", data))[which]
        value = bytearray(base64.b64decode(found[1]))
        value[10] ^= 1
        return data[: found.start(1)] + base64.b64encode(value) + data[found.end(1) :]

    return change


def second_license(data: bytes) -> bytes:
    whole = re.search(rb"<r:license.*</r:license>", data, re.DOTALL)
    assert whole is not None
    return data[: whole.end()] + whole[0] + data[whole.end() :]


def wrapped(data: bytes) -> bytes:
    """The signed document inside another one, whose own content is new."""
    begin, end = data.index(b"<asmv1:assembly"), data.rindex(b"</asmv1:assembly>") + len(b"</asmv1:assembly>")
    inner = data[begin:end]
    signature = inner[inner.index(b"<publisherIdentity") : inner.rindex(b"</asmv1:assembly>")]
    body = inner.replace(signature, b"").replace(b"App.exe", b"Evil.exe")
    return data[:begin] + body.replace(b"</asmv1:assembly>", inner + signature + b"</asmv1:assembly>")


CHANGES: dict[str, tuple[Change, set[str]]] = {
    "a hash": (put(b"<dsig:DigestValue>", b"<dsig:DigestValue>AAAA"), {"digest", "strong-name"}),
    "a size": (put(b' size="', b' size="1'), {"digest", "strong-name", "manifest-files"}),
    "a name": (put(b'"App.exe.config"', b'"app.exe.config"'), {"digest", "strong-name"}),
    "the entry point": (put(b'parameters=""', b'parameters="/x"'), {"digest", "strong-name"}),
    "text between elements": (put(b"<application />", b"<application /> "), {"digest", "strong-name"}),
    "the identity": (put(b'version="1.0.0.0"', b'version="1.0.0.1"'), {"digest", "strong-name", "manifest-license"}),
    "the token": (
        lambda data: re.sub(rb'publicKeyToken="[^"]*"', b'publicKeyToken="0123456789abcdef"', data, count=1),
        {"digest", "strong-name", "manifest-license"},
    ),
    "the publisher": (put(b'name="CN=Test', b'name="CN=Best'), {"digest", "strong-name", "publisher-identity"}),
    "the issuer's key": (put(b'issuerKeyHash="', b'issuerKeyHash="0'), {"digest", "publisher-identity"}),
    "the licence's publisher": (in_license(b"CN=Test publisher", b"CN=Best publisher"), {"signed-attributes"}),
    "the licence's hash": (in_license(b'Hash="', b'Hash="00'), {"cms-structure", "digest"}),
    "the licence's identity": (in_license(b'version="1.0.0.0"', b'version="1.0.0.1"'), {"signed-attributes"}),
    "the description": (put(b'Description=""', b'Description="Setup"'), {"signed-attributes"}),
    "the strong name's value": (flipped_value(0), {"strong-name"}),
    "the publisher's value": (flipped_value(1), {"signature"}),
    "no strong name's Id": (put(b'Id="StrongNameSignature"', b'Id="Other"'), {"cms-structure"}),
    "an Id twice": (put(b'Id="AuthenticodeSignature"', b'Id="StrongNameSignature"'), {"structure"}),
    "another reference": (put(b'<Reference URI="">', b'<Reference URI="#StrongNameKeyInfo">'), {"cms-structure"}),
    "another transform": (
        put(b"xmldsig#enveloped-signature", b"xmldsig#base64"),
        {"cms-structure"},
    ),
    "a transform more": (
        put(
            b"<Transforms>", b'<Transforms><Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></Transform>'
        ),
        {"cms-structure"},
    ),
    "another canonicalisation": (
        put(b"xml-exc-c14n#", b"xml-exc-c14n#WithComments"),
        {"cms-structure"},
    ),
    "another identifier": (put(b"2000/09/xmldsig#sha256", b"2001/04/xmlenc#sha256", 9), {"structure"}),
    "the other identifier": (put(b"2000/09/xmldsig#rsa-sha256", b"2001/04/xmldsig-more#rsa-sha256"), {"algorithms"}),
    "two licences": (second_license, {"structure"}),
    "an Object more": (put(b"</KeyInfo></Signature></asmv1", b"</KeyInfo><Object></Object></Signature></asmv1"), set()),
    "two timestamps": (in_license(b"</Object>", b"</Object><Object></Object>"), {"cms-structure"}),
    "a timestamp cut off": (in_license(b"</as:Timestamp>", b"AAAA</as:Timestamp>"), set()),
    "a comment in the licence": (in_license(b"<r:issuer>", b"<r:issuer><!-- x -->"), {"cms-structure"}),
    "an attribute in the licence": (in_license(b"<as:SignedBy>", b'<as:SignedBy x="1">'), {"cms-structure"}),
    "spaces in a tag": (in_license(b"<KeyInfo>", b"<KeyInfo  >"), {"cms-structure"}),
    "a character reference": (in_license(b"CN=Test", b"&#67;N=Test"), {"cms-structure"}),
    "an instruction": (put(b"<application />", b"<application /><?x y?>"), {"digest", "strong-name"}),
    "after the root": (lambda data: data + b"<?x y?>", {"structure"}),
    "an element after the signature": (put(b"</Signature></asmv1", b"</Signature><file/></asmv1"), {"structure"}),
    "an entity": (put(b"<asmv1:assembly ", b'<!DOCTYPE x [<!ENTITY y "z">]><asmv1:assembly '), {"structure"}),
    "UTF-16": (lambda data: data.decode("utf-8-sig").replace("utf-8", "utf-16").encode("utf-16"), {"structure"}),
    "a comment in a hash": (put(b"<dsig:DigestValue>", b"<dsig:DigestValue><!-- x -->"), {"structure"}),
    "a comment after the root": (lambda data: data + b"<!-- x -->", {"structure"}),
    "a namespace in the signature": (in_license(b"<KeyInfo>", b'<KeyInfo xmlns:x="urn:x">'), {"cms-structure"}),
    "a prefix in the signature": (
        lambda data: data.replace(b"msrel:", b"x:").replace(b"xmlns:msrel", b"xmlns:x"),
        {"cms-structure"},
    ),
    "wrapped": (wrapped, {"structure"}),
    "no licence": (without(rb"<msrel:RelData.*</msrel:RelData>"), {"cms-structure"}),
    "no publisher": (without(rb"<publisherIdentity[^/]*</publisherIdentity>"), {"cms-structure"}),
    "no signature": (without(rb"<Signature xmlns=[^>]* Id=.StrongName.*</Signature>(?=</asmv1)"), {"signed"}),
    "a line end in a tag": (in_license(b"<as:Timestamp xmlns:as", b"<as:Timestamp\nxmlns:as"), {"cms-structure"}),
    "lines in the timestamp": (in_license(b">MII", b">MI\nI"), {"cms-structure"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_refused_by_its_name(name: str, signed: Published, verifier: Verifier) -> None:
    change, expected = CHANGES[name]
    data = signed.application.read_bytes()
    assert not failures(verifier, signed, data)
    changed = change(data)
    assert changed != data
    found = failures(verifier, signed, changed)
    assert found
    assert found >= expected, found


def test_a_licence_of_another_manifest(signed: Published, stranger: Published, verifier: Verifier) -> None:
    """The deployment's licence in the application manifest, and a stranger's whole signature in ours."""
    application, deployment = signed.application.read_bytes(), signed.deployment.read_bytes()
    license_ = re.compile(rb"<r:license.*</r:license>", re.DOTALL)
    found = license_.search(deployment)
    assert found is not None
    swapped = license_.sub(lambda _: found[0], application)
    assert {"digest", "manifest-license"} <= failures(verifier, signed, swapped)
    signature = re.compile(rb"<publisherIdentity.*</Signature>(?=</asmv1)", re.DOTALL)
    foreign = signature.search(stranger.application.read_bytes())
    assert foreign is not None
    assert "strong-name" in failures(verifier, signed, signature.sub(lambda _: foreign[0], application))
    strangers_license = license_.search(stranger.application.read_bytes())
    assert strangers_license is not None
    mixed = license_.sub(lambda _: strangers_license[0], application)
    assert {"digest", "strong-name", "publisher-identity"} <= failures(verifier, signed, mixed)


def test_the_files_are_looked_at(signed: Published, verifier: Verifier) -> None:
    """Changed, gone, and all gone: that nothing was looked at is said, and does not pass."""
    manifest = signed.application.read_bytes()
    config = signed.files[2]
    kept = config.read_bytes()
    config.write_bytes(kept + b" ")
    assert failures(verifier, signed, manifest) == {"manifest-files"}
    config.unlink()
    assert failures(verifier, signed, manifest) == {"manifest-files"}
    config.write_bytes(kept)
    alone = signed.folder / "alone"
    alone.mkdir()
    for source, format_ in (
        (signed.application, Format.CLICKONCE_APPLICATION),
        (signed.deployment, Format.CLICKONCE_DEPLOYMENT),
    ):
        path = alone / source.name
        path.write_bytes(source.read_bytes())
        found = verifier.verify(path, format_)
        (failed,) = (check for check in found.verdict.checks if not check.ok)
        assert failed.name == "manifest-files"
        assert failed.detail.startswith("not looked at: of ")
        assert found.error is not None
        assert found.error.code == "ERROR_FILE_NOT_FOUND"


def test_the_file_that_users_get_is_looked_at(signed: Published, verifier: Verifier) -> None:
    """Not another one next to it, with or without .deploy; an application manifest is delivered by its own name."""
    program, manifest = signed.files[0], signed.application
    kept, listed = program.read_bytes(), manifest.read_bytes()
    plain, renamed = program.with_suffix(""), manifest.with_name(f"{manifest.name}.deploy")
    plain.write_bytes(kept)
    program.write_bytes(b"another")
    try:
        assert failures(verifier, signed, listed) == {"manifest-files"}
        manifest.rename(renamed)
        deployment = verifier.verify(signed.deployment, Format.CLICKONCE_DEPLOYMENT).verdict
        assert [check.name for check in deployment.checks if not check.ok] == ["manifest-files"]
    finally:
        plain.unlink()
        program.write_bytes(kept)
        manifest.write_bytes(listed)
        renamed.unlink(missing_ok=True)


def test_an_application_of_another_identity(signed: Published, verifier: Verifier) -> None:
    """The application manifest changes together with what the deployment states of its bytes, but not of its name."""
    kept = signed.application.read_bytes()
    signed.application.write_bytes(kept.replace(b'language="neutral"', b'language="de"', 1))
    try:
        assert failures(verifier, signed, signed.deployment.read_bytes(), signed.deployment) == {"manifest-files"}
    finally:
        signed.application.write_bytes(kept)


def test_mutants(signed: Published, verifier: Verifier) -> None:
    """Bytes flipped, inserted, deleted and repeated anywhere, elements dropped, repeated and moved: what is another
    document does not verify, and neither does anything else in the signature."""
    data = signed.application.read_bytes()
    chance = random.Random(20)  # noqa: S311 - the same mutants each time
    begin = data.index(b"<publisherIdentity")
    survivors = []
    made = 0
    while made < MUTANTS:
        mutant = mutate(data, chance)
        # Outside of the signature, another spelling of the same document is the same document.
        same = mutant[-(len(data) - begin) :] == data[begin:] and canonical(mutant) == canonical(data)
        if mutant == data or same:
            continue
        made += 1
        if not failures(verifier, signed, mutant):
            survivors.append(mutant)
    assert not [context(data, mutant) for mutant in survivors]


def context(data: bytes, mutant: bytes) -> tuple[bytes, bytes]:
    """Where they begin to differ."""
    at = next((at for at, pair in enumerate(zip(data, mutant, strict=False)) if pair[0] != pair[1]), len(data))
    return data[at - 60 : at + 40], mutant[at - 60 : at + 60]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One change: of some bytes, or of elements without others in them."""
    kind = chance.choice(["flip", "insert", "delete", "repeat", "drop", "copy", "move"])
    at, length = chance.randrange(len(data)), chance.randrange(1, 99)
    noise = chance.choice([b" ", b"A", b"<x/>", b"<!-- -->", b"\n", b"&#32;"])
    of_bytes = {
        "flip": (bytes([data[at] ^ 1 << chance.randrange(8)]), 1),
        "insert": (noise, 0),
        "delete": (b"", length % 9 + 1),
        "repeat": (data[at : at + length], 0),
    }
    if kind in of_bytes:
        written, taken = of_bytes[kind]
        return data[:at] + written + data[at + taken :]
    return of_elements(kind, data, chance)


def of_elements(kind: str, data: bytes, chance: random.Random) -> bytes:
    elements = list(re.finditer(rb"<([\w:.]+)(?: [^<>]*)?>[^<>]*</\1>|<[\w:.]+(?: [^<>]*)?/>", data))
    chosen, other = chance.choice(elements), chance.choice(elements)
    if kind == "drop":
        return data[: chosen.start()] + data[chosen.end() :]
    if kind == "copy":
        return data[: other.start()] + chosen[0] + data[other.start() :]
    swapped = {chosen.span(): other[0], other.span(): chosen[0]}
    written, last = b"", 0
    for start, end in sorted(swapped):
        written += data[last:start] + swapped[start, end]
        last = end
    return written + data[last:]


def canonical(data: bytes) -> bytes:
    try:
        found: bytes = etree.tostring(etree.fromstring(data), method="c14n", exclusive=True, with_comments=False)
    except (etree.LxmlError, ValueError):
        return data
    return found
