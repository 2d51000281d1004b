"""The CMS of a signature: what is written reads back, and every deviation from the one accepted form is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from asn1crypto import algos, core
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.file_signature import read_signature
from kspsign.authenticode.cms.profile import AUTHENTICODE
from kspsign.authenticode.cms.signature import content_fault, signer_fault
from kspsign.authenticode.cms.spc import indirect_data
from kspsign.authenticode.cms.write import UnsignedMessage, add_nested, add_token
from kspsign.authenticode.profile import SigningTerms
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.model.errors import TrustError
from kspsign.model.values import DigestAlgorithm
from support.formats import cms_schema
from support.pki import signer as code_signer

SHA256 = DigestAlgorithm.SHA256
DIGEST = bytes(range(32))


@pytest.fixture(scope="module")
def signature(authority: EmbeddedAuthority) -> bytes:
    """A signature over DIGEST, without timestamp."""
    unsigned = prepared()
    value = authority.leaf.key.sign(unsigned.digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    return unsigned.assemble(value, authority.signing_chain, token=None)


def prepared(description: str | None = None, url: str | None = None) -> UnsignedMessage:
    terms = SigningTerms(SHA256, (), description=description, description_url=url)
    content = indirect_data(oids.OID_SPC_PE_IMAGE_DATA, b"\x30\x00", SHA256, DIGEST)
    return AUTHENTICODE.prepare(terms, content)


def fault(der: bytes) -> str | None:
    """Why the signature does not hold, None when it does."""
    try:
        read = read_signature(der, AUTHENTICODE)
    except TrustError as refused:
        return f"{refused.code}: {refused.message}"
    return content_fault(read.message) or signer_fault(read.message.signer, read.certificate)


def changed(der: bytes, change: Callable[[Any, Any], None]) -> bytes:
    """The signature after `change(signed data, signer info)`."""
    info = cms_schema.ContentInfo.load(der)
    change(info["content"], info["content"]["signer_infos"][0])
    return bytes(info.dump(force=True))


def test_what_is_written_reads_back(signature: bytes, authority: EmbeddedAuthority) -> None:
    read = read_signature(signature, AUTHENTICODE)
    assert fault(signature) is None
    assert (read.algorithm, read.file_digest, read.content_oid) == (SHA256, DIGEST, oids.OID_SPC_PE_IMAGE_DATA)
    assert read.certificate == authority.signing_chain[0]
    assert set(read.message.certificates) == set(authority.signing_chain[:2]), "the root stays at home"
    assert (read.tokens, read.further, read.program_name) == ((), (), None)


@pytest.mark.parametrize("description", ["Tool", "Werkzeug für Größe", "日本語", "a" * 300])
def test_the_description_is_kept(authority: EmbeddedAuthority, description: str) -> None:
    unsigned = prepared(description, "https://example.com/")
    value = authority.leaf.key.sign(unsigned.digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    der = unsigned.assemble(value, authority.signing_chain, token=None)
    assert read_signature(der, AUTHENTICODE).program_name == description
    assert fault(der) is None


def test_tokens_and_nested_signatures_leave_the_rest_as_it_was(signature: bytes) -> None:
    both = add_nested(add_token(signature, signature, AUTHENTICODE), signature)
    read = read_signature(both, AUTHENTICODE)
    assert (read.tokens, read.further) == ((signature,), (signature,))
    assert read.message.signer.signed == read_signature(signature, AUTHENTICODE).message.signer.signed
    assert fault(both) is None
    three = read_signature(add_nested(both, add_token(signature, signature, AUTHENTICODE)), AUTHENTICODE)
    assert len(three.further) == 2


def with_scheme(name: str) -> Callable[[Any, Any], None]:
    def change(_signed: Any, signer: Any) -> None:
        signer["signature_algorithm"] = algos.SignedDigestAlgorithm({"algorithm": name})

    return change


@pytest.mark.parametrize("scheme", ["rsassa_pkcs1v15", "sha256_rsa"])
def test_both_names_of_rsa_are_known(signature: bytes, scheme: str) -> None:
    assert fault(changed(signature, with_scheme(scheme))) is None


@pytest.mark.parametrize("scheme", ["sha1_rsa", "sha512_rsa", "sha256_ecdsa", "md5_rsa", "sha256_dsa", "ed25519"])
def test_another_scheme_than_was_used_is_refused(signature: bytes, scheme: str) -> None:
    assert fault(changed(signature, with_scheme(scheme))) is not None


def set_version(_signed: Any, signer: Any) -> None:
    signer["version"] = 3


def test_algorithm_parameters_are_absent_or_null(signature: bytes) -> None:
    sha256_null = bytes.fromhex("06096086480165030402010500")
    places = [place for place in range(len(signature)) if signature.startswith(sha256_null, place)]
    assert len(places) == 3, "of the message, of the file's digest, of the signer"
    for place in places:
        end = place + len(sha256_null)
        assert fault(signature[: end - 2] + b"\x04\x00" + signature[end:]) is not None


def two_signers(signed: Any, signer: Any) -> None:
    signed["signer_infos"] = [signer, signer]


def no_signer(signed: Any, _signer: Any) -> None:
    signed["signer_infos"] = []


def other_content(signed: Any, _signer: Any) -> None:
    signed["encap_content_info"]["content_type"] = "1.2.840.113549.1.7.1"


def other_issuer(_signed: Any, signer: Any) -> None:
    signer["sid"].chosen["serial_number"] = 4711


def broken_certificate(signed: Any, _signer: Any) -> None:
    signed["certificates"] = [*signed["certificates"], core.Any(core.Sequence.load(b"\x30\x03\x02\x01\x05"))]


def unsigned_attributes_signed(_signed: Any, signer: Any) -> None:
    signer["signed_attrs"] = cms_schema.Attributes([signer["signed_attrs"][0]])


def attribute_twice(_signed: Any, signer: Any) -> None:
    signer["signed_attrs"] = cms_schema.Attributes([*signer["signed_attrs"], signer["signed_attrs"][0]])


@pytest.mark.parametrize(
    "change",
    [
        set_version, two_signers, no_signer, other_content, other_issuer, broken_certificate,
        unsigned_attributes_signed, attribute_twice,
    ],
)  # fmt: skip
def test_a_structure_that_deviates_is_refused(signature: bytes, change: Callable[[Any, Any], None]) -> None:
    assert fault(changed(signature, change)) is not None


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"\x30\x80\x00\x00",
        b"\x02\x01\x05",
        b"\x30\x82\xff\xff" + bytes(64),
        b"\x30\x80" * 3000,
    ],
)
def test_what_is_no_signature_is_refused(der: bytes) -> None:
    assert fault(der) is not None


def test_data_behind_it_is_refused(signature: bytes) -> None:
    assert fault(signature + b"\0") is not None


@pytest.mark.parametrize("seed", range(6))
def test_damage_of_any_kind_gives_an_answer(signature: bytes, seed: int) -> None:
    """Never a foreign exception, and never a signature that still holds over something else."""
    chance = random.Random(seed)  # noqa: S311 - test data
    original = read_signature(signature, AUTHENTICODE)
    for _ in range(300):
        data = bytearray(signature)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(data))
            if chance.random() < 0.5:
                data[place] = chance.randrange(256)
            elif chance.random() < 0.5:
                del data[place : place + chance.randrange(1, 9)]
            else:
                data[place:place] = chance.randbytes(chance.randrange(1, 9))
        if fault(bytes(data)) is None:
            read = read_signature(bytes(data), AUTHENTICODE)
            assert (read.file_digest, read.algorithm) == (original.file_digest, original.algorithm)
            assert read.content_oid == original.content_oid


def pss_signed(salt: int, mask: hashes.HashAlgorithm, parameters: dict[str, Any]) -> bytes:
    """A signature with RSASSA-PSS, made with and stating these parameters."""
    key = rsa.generate_private_key(65537, 2048)
    issued = code_signer("PSS", key=key)
    unsigned = prepared()
    scheme = padding.PSS(padding.MGF1(mask), salt)
    value = key.sign(unsigned.digest, scheme, Prehashed(hashes.SHA256()))
    der = unsigned.assemble(value, [issued.der], token=None)
    algorithm = algos.SignedDigestAlgorithm({"algorithm": "rsassa_pss", "parameters": parameters})

    def change(_signed: Any, signer: Any) -> None:
        signer["signature_algorithm"] = algorithm

    return changed(der, change)


def pss_parameters(digest: str = "sha256", mask: str = "sha256", salt: int = 32) -> dict[str, Any]:
    return {
        "hash_algorithm": {"algorithm": digest},
        "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": mask}},
        "salt_length": salt,
    }


def test_pss_holds_in_the_form_that_everybody_writes() -> None:
    assert fault(pss_signed(32, hashes.SHA256(), pss_parameters())) is None


@pytest.mark.parametrize(
    "stated", [pss_parameters(salt=20), pss_parameters(mask="sha1"), pss_parameters(digest="sha512")]
)
def test_pss_whose_parameters_say_something_else_is_refused(stated: dict[str, Any]) -> None:
    assert fault(pss_signed(32, hashes.SHA256(), stated)) is not None


def test_an_ec_signature_holds_and_can_not_be_called_rsa() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    unsigned = prepared()
    value = key.sign(unsigned.digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    der = unsigned.assemble(value, [code_signer("EC", key=key).der], token=None)
    assert fault(der) is None
    assert fault(changed(der, with_scheme("sha256_rsa"))) is not None
    assert fault(changed(der, with_scheme("sha384_ecdsa"))) is not None
