"""NuGet packages: openssl and asn1crypto accept the author's signatures we make; repositories' are told as what they
are; whatever NuGet would refuse is refused before a signature is spent."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import cms, tsp
from cryptography import x509

from kspsign.authenticode.cms import oids
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.nuget import NugetFile
from kspsign.authenticode.nuget.profile import NUGET
from kspsign.authenticode.nuget.rules import SIGNATURE
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.zip import Plan, ZipMember, archive_of, unpack
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.model.errors import ArtifactError
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.settings.model import Settings
from kspsign.verifying import open_verifier
from support.certificates import EXPIRED, PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.formats.nuget_samples import INDEX, PARTS, countersigned, package, repository_signed
from support.formats.zips import Part, build_zip
from support.pki import CODE_SIGNING, Issued, ca, new_key, signer, write_pem
from support.samples import kspsign
from support.signing import Publisher

CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME = (f"1.2.840.113549.1.9.{number}" for number in (3, 4, 5))
TIMESTAMP_TOKEN, COMMITMENT_TYPE, SIGNING_CERTIFICATE = (f"1.2.840.113549.1.9.16.2.{number}" for number in (14, 16, 47))
"""RFC 5652 section 11, RFC 3161 appendix A, RFC 5126 section 5.11.1, RFC 5035 section 3: other clients in this process
teach asn1crypto more names."""
OIDS = {"sha256": "2.16.840.1.101.3.4.2.1", "sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3"}


def write(folder: Path, data: bytes, name: str = "some.nupkg") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def signature_of(path: Path) -> bytes:
    """The signature's entry as zipfile reads it: stored, and last."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        info = archive.infolist()[-1]
        assert (info.filename, info.compress_type, info.flag_bits) == (SIGNATURE, zipfile.ZIP_STORED, 0)
        return archive.read(SIGNATURE)


def openssl_content(path: Path, roots: Path) -> bytes:
    """What openssl says that the signature covers, once it has verified it."""
    message = path.with_suffix(".p7s")
    message.write_bytes(signature_of(path))
    command = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(message), "-CAfile", str(roots)]
    done = subprocess.run([*command, "-purpose", "any"], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("algorithm", OIDS)
@pytest.mark.parametrize("name", ["some.nupkg", "some.snupkg", "renamed.zip"])
def test_the_authors_signature(publisher: Publisher, tmp_path: Path, algorithm: str, name: str) -> None:
    unsigned = package()
    path = write(tmp_path, unsigned, name)
    run = publisher.sign(path, "--digest", algorithm)
    assert (run.code, run.file["format"]) == (0, "nuget"), run.text
    digest = base64.b64encode(hashlib.new(algorithm, unsigned).digest()).decode()
    assert openssl_content(path, publisher.roots) == f"Version:1\n\n{OIDS[algorithm]}-Hash:{digest}\n\n".encode()
    assert path.read_bytes().startswith(unsigned[: unsigned.index(b"PK\1\2")])
    with zipfile.ZipFile(path) as archive:
        assert {part.name: archive.read(part.name) for part in PARTS} == {part.name: part.data for part in PARTS}
    checks = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}
    assert checks["signature-type"] == "the author's"
    assert {"signer-attributes", "signature-entry", "package-content", "timestamp-imprint"} <= set(checks)


def test_its_attributes_are_those_that_nuget_asks_for(publisher: Publisher, tmp_path: Path) -> None:
    """Read by asn1crypto's own classes. All files of a run state one time."""
    paths = [write(tmp_path, package(Part(f"{number}.txt", b"x")), f"{number}.nupkg") for number in range(3)]
    before = datetime.now(UTC) - timedelta(seconds=1)
    assert publisher.sign(tmp_path / "*.nupkg").code == 0
    times = set()
    for path in paths:
        info = cms.ContentInfo.load(signature_of(path))["content"]["signer_infos"][0]
        attributes = {attribute["type"].dotted: attribute["values"] for attribute in info["signed_attrs"]}
        assert set(attributes) == {CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME, SIGNING_CERTIFICATE, COMMITMENT_TYPE}
        named = attributes[SIGNING_CERTIFICATE][0]["certs"][0]
        assert named["issuer_serial"]["serial_number"].native == info["sid"].chosen["serial_number"].native
        times.add(attributes[SIGNING_TIME][0].native)
        unsigned = {attribute["type"].dotted: attribute["values"] for attribute in info["unsigned_attrs"]}
        assert list(unsigned) == [TIMESTAMP_TOKEN]
        token = unsigned[TIMESTAMP_TOKEN][0]["content"]["encap_content_info"]["content"].parsed
        assert isinstance(token, tsp.TSTInfo)
    (moment,) = times
    assert before <= moment <= datetime.now(UTC)


def test_a_signing_time_after_2049_is_a_generalized_time() -> None:
    terms = SigningTerms(DigestAlgorithm.SHA512, (ca("a").der,), moment=datetime(2050, 1, 2, 3, 4, 5, tzinfo=UTC))
    attributes = NUGET.attributes(terms)
    assert attributes[oids.OID_SIGNING_TIME] == b"\x18\x0f20500102030405Z"
    assert NUGET.attributes(replace(terms, moment=datetime(2049, 1, 2, tzinfo=UTC)))[oids.OID_SIGNING_TIME][0] == 0x17


def test_signed_packages_are_skipped_stamped_and_replaced(publisher: Publisher, tmp_path: Path) -> None:
    path = write(tmp_path, package())
    assert publisher.sign(path, stamped=False).code == 0
    assert publisher.verify(path).error_code == "TRUST_E_TIME_STAMP"
    assert publisher.stamp(path).code == 0
    assert publisher.verify(path).code == 0
    assert openssl_content(path, publisher.roots).startswith(b"Version:1")
    assert publisher.sign(path).file["outcome"] == "skipped"
    run = publisher.sign(path, "--append")
    assert (run.error_code, run.report["totals"]["signatures_used"]) == ("ERROR_NOT_SUPPORTED", 0)
    assert publisher.sign(path, "--replace").code == 0
    assert openssl_content(path, publisher.roots).endswith(content_of(package()))


def content_of(unsigned: bytes) -> bytes:
    return base64.b64encode(hashlib.sha256(unsigned).digest()) + b"\n\n"


@pytest.mark.parametrize("bits", [3072, 4096])
def test_keys(
    bits: int, tmp_path: Path, authority_root: Path, timestamp_server: TimestampServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    file = signing_file(tmp_path, key=rsa_key(bits), root_key=rsa_key(2048))
    file.root.write_bytes(file.root.read_bytes() + authority_root.read_bytes())
    path = write(tmp_path, package())
    assert Publisher(file, timestamp_server.url, file.root).sign(path, "--digest", "sha512").code == 0
    assert openssl_content(path, file.root)


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        ({"key": new_key, "root_key": lambda: rsa_key(2048)}, "NU3014"),
        ({"key": lambda: rsa_key(2048)}, "NU3013"),
        (
            {
                "key": lambda: rsa_key(2048), "root_key": lambda: rsa_key(2048),
                "usages": lambda: (CODE_SIGNING, x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.13")),
            },
            "NU3015",
        ),
        ({"key": lambda: rsa_key(2048), "root_key": lambda: rsa_key(2048), "end": lambda: EXPIRED}, "CERT_E_EXPIRED"),
    ],
    ids=["elliptic curve", "issuer with an elliptic curve", "lifetime signing", "expired"],
)  # fmt: skip
def test_certificates_that_nuget_refuses_cost_no_signature(
    sides: dict[str, object],
    words: str,
    tmp_path: Path,
    timestamp_server: TimestampServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    made = {name: side() for name, side in sides.items() if callable(side)}
    file = signing_file(tmp_path, **made)
    path = write(tmp_path, package())
    run = Publisher(file, timestamp_server.url, file.root).sign(path)
    assert run.code != 0
    assert words in run.text
    assert (run.report["totals"]["signatures_used"], path.read_bytes()) == (0, package())


def test_packages_that_nuget_refuses_cost_no_signature(publisher: Publisher, tmp_path: Path) -> None:
    path = write(tmp_path, package(zip64=True))
    run = publisher.sign(path)
    assert (run.error_code, "NU3006" in run.text) == ("ERROR_NOT_SUPPORTED", True)
    damaged = bytearray(package())
    damaged[archive_of(Snapshot(write(tmp_path, package()))).entries[2].data + 1] ^= 0xFF
    run = publisher.sign(write(tmp_path, bytes(damaged)))
    assert (run.error_code, run.report["totals"]["signatures_used"]) == ("APPX_E_CORRUPT_CONTENT", 0)
    file = NugetFile.open(Snapshot(write(tmp_path, package())))
    full = replace(file, archive=replace(file.archive, entries=file.archive.entries[:1] * 0xFFFE))
    leaf = ca("root", key=rsa_key(2048))
    with pytest.raises(ArtifactError, match="NU3039"):
        full.admit(SigningTerms(DigestAlgorithm.SHA256, (leaf.der,)))


@pytest.fixture(scope="module")
def repository() -> tuple[Issued, Issued]:
    """A repository's root and its signer."""
    root = ca("Repository root", key=rsa_key(2048), end=datetime.now(UTC) + timedelta(days=90))
    return root, signer("Repository", root, key=rsa_key(2048), end=datetime.now(UTC) + timedelta(days=80))


@pytest.fixture
def trusting(publisher: Publisher, repository: tuple[Issued, Issued], tmp_path: Path) -> Publisher:
    """The publisher, who trusts the repository's root too."""
    roots = write_pem(tmp_path / "roots.pem", repository[0])
    roots.write_bytes(roots.read_bytes() + publisher.roots.read_bytes())
    return replace(publisher, roots=roots)


def test_a_repositorys_signature_alone_is_told_as_what_it_is(
    trusting: Publisher, repository: tuple[Issued, Issued], tmp_path: Path
) -> None:
    path = write(tmp_path, package())
    path.write_bytes(repository_signed(path, repository[1]))
    run = trusting.verify(path, "--no-timestamp")
    assert run.code == 0, run.text
    (facts,) = run.file["signatures"]
    assert facts["subject"] == "CN=Repository"
    details = {check["name"]: check["detail"] for check in run.file["verdict"]["checks"]}
    assert INDEX in details["signature-type"]
    assert "no author's signature" in details["signature-type"]
    assert "contoso, fabrikam" in details["signature-type"]
    assert trusting.sign(path, stamped=False).error_code == "ALREADY_SIGNED"
    run = trusting.sign(path, "--replace")
    assert run.code == 0, run.text
    assert openssl_content(path, trusting.roots).endswith(content_of(package()))
    nowhere = repository_signed(write(tmp_path, package()), repository[1], url="")
    assert trusting.verify(write(tmp_path, nowhere), "--no-timestamp").code == 0, "without a URL it is an author's"


def test_a_repositorys_countersignature_has_a_verdict_of_its_own(
    trusting: Publisher, publisher: Publisher, repository: tuple[Issued, Issued], tmp_path: Path
) -> None:
    author_signed = write(tmp_path, package(), "author.nupkg")
    assert trusting.sign(author_signed).code == 0
    path = write(tmp_path, countersigned(author_signed, repository[1]))
    run = trusting.verify(path, "--no-timestamp")
    assert run.code == 0, run.text
    assert [signature["subject"] for signature in run.file["signatures"]] == ["CN=Test publisher", "CN=Repository"]
    checks = {check["name"] for check in run.file["verdict"]["checks"]}
    assert {"signature#2", "certificate-chain#2", "signature-type#2", "signer-attributes#2"} <= checks
    assert "certificate-chain#2" in publisher.failed_checks(path, path.read_bytes()), "its root is not trusted here"
    assert trusting.failed_checks(path, path.read_bytes()) == {"timestamp#2"}
    stamped = trusting.stamp(path)
    assert (stamped.code, stamped.error_code) == (6, "ERROR_NOT_SUPPORTED"), stamped.text
    assert "left as the repository made it" in stamped.text
    assert trusting.sign(path, stamped=False).file["outcome"] == "skipped"
    twins = {
        "signed-attributes#2": countersigned(author_signed, repository[1], over=b"another signature"),
        "signature-type#2": countersigned(author_signed, repository[1], receipt=False),
        "unsigned-attributes": countersigned(author_signed, repository[1], times=2),
    }
    for check, twin in twins.items():
        assert check in trusting.failed_checks(path, twin), check


@pytest.fixture(scope="module")
def signed(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package, signed and stamped."""
    path = write(tmp_path_factory.mktemp("nuget"), package())
    assert publisher.sign(path).code == 0
    return path


@pytest.mark.no_cover
def test_any_byte(signed: Path, publisher: Publisher, tmp_path: Path) -> None:
    """Every third byte. Only versions, times and internal attributes of the signature's own entry say nothing."""
    verifier = open_verifier(Settings(command="verify", trust_root=(publisher.roots,)), None)
    path, data = tmp_path / "twin.nupkg", signed.read_bytes()
    entry, record = archive_of(Snapshot(signed)).entries[-1], data.rindex(b"PK\1\2")
    free = {entry.offset + at for at in (4, 5, 10, 11, 12, 13)}
    free |= {record + at for at in (4, 5, 6, 7, 12, 13, 14, 15, 36, 37)}
    accepted = set()
    for at in range(0, len(data), 3):
        changed = bytearray(data)
        changed[at] ^= 1
        path.write_bytes(changed)
        if verifier.verify(path, Format.NUGET).verdict.ok:
            accepted.add(at)
    assert accepted <= free


def test_smuggling_and_swapping(signed: Path, publisher: Publisher, tmp_path: Path) -> None:
    archive = archive_of(Snapshot(signed))
    with signed.open("rb") as file:
        message = unpack(file, archive, archive.entries[-1], 1 << 20)
    content, odd = [*PARTS], (Part("evil.dll", b"MZ"), Part(SIGNATURE, message))
    twin = tmp_path / "twin.nupkg"
    codes = {
        signed.read_bytes() + b"x": "ERROR_BAD_FORMAT",
        package(): "TRUST_E_NOSIGNATURE",
        build_zip([*content, odd[1]]): None,
        build_zip([*content, *odd]): "TRUST_E_BAD_DIGEST",
        build_zip([*content, *reversed(odd)]): "TRUST_E_MALFORMED_SIGNATURE",
        build_zip([*content, Part(SIGNATURE, message, deflate=True)]): "TRUST_E_MALFORMED_SIGNATURE",
        build_zip([*content, Part(SIGNATURE, message, extra=b"\x99\x99\2\0ab")]): "TRUST_E_MALFORMED_SIGNATURE",
        build_zip([*content, Part(SIGNATURE, message, descriptor=True)]): "TRUST_E_MALFORMED_SIGNATURE",
        build_zip([*content, Part(SIGNATURE, message + b"\0")]): "TRUST_E_MALFORMED_SIGNATURE",
        build_zip([*content, Part(SIGNATURE, b"")]): "TRUST_E_MALFORMED_SIGNATURE",
        build_zip([*content[1:], odd[1]]): "TRUST_E_BAD_DIGEST",
    }
    for data, code in codes.items():
        assert publisher.refusal(twin, data) == code, code
    wide = tmp_path / "wide.nupkg"
    with wide.open("wb") as file_out:
        source = archive_of(Snapshot(write(tmp_path, package(zip64=True))))
        Plan(source, source.entries, (ZipMember(SIGNATURE, message),)).write(file_out)
    assert "signature-entry" in publisher.failed_checks(twin, wide.read_bytes())


def test_a_root_that_is_not_trusted(signed: Path, tmp_path: Path) -> None:
    run = kspsign("verify", signed, folder=tmp_path)
    assert (run.code, run.error_code) == (2, "CERT_E_CHAINING")


def test_an_archive_without_a_nuspec_is_no_package(publisher: Publisher, tmp_path: Path) -> None:
    path = write(tmp_path, build_zip([Part("deep/some.nuspec", b"x")]))
    assert publisher.sign(path).error_code == "TRUST_E_SUBJECT_FORM_UNKNOWN"
    cut = write(tmp_path, package()[:-5])
    assert publisher.sign(cut).error_code == "ERROR_BAD_FORMAT"
    assert open_signable(write(tmp_path, package()), Format.NUGET).signatures == ()
