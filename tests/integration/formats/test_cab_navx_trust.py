"""Cabinets and Business Central packages whose signature is well made, by the wrong one or for another file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from kspsign.authenticode.cab import CabFile
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.navx import NavxFile
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import SignableFile
from support.certificates import EXPIRED, PASSWORD, VALID, SigningFile, signing_file
from support.forging import ALGORITHM, signature
from support.formats.cab_samples import build_cab
from support.formats.navx_samples import build_navx
from support.samples import Store, kspsign

FORMATS: dict[str, tuple[bytes, bytes, Callable[[Snapshot], SignableFile]]] = {
    "some.cab": (build_cab(), build_cab(files={"other.txt": b"another cabinet"}), CabFile.open),
    "some.app": (build_navx(), build_navx(content=b"PK\3\4 another package"), NavxFile.open),
}


@pytest.fixture(params=list(FORMATS.values()), ids=list(FORMATS))
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], SignableFile]:
    """Opens the first or the second sample of a format."""

    def opened(number: int) -> SignableFile:
        path = tmp_path / f"{number}.bin"
        path.write_bytes(request.param[number])
        return request.param[2](Snapshot(path))  # type: ignore[no-any-return]

    return opened


def signed_by(file: SignableFile, signer: SigningFile) -> bytes:
    loaded = pkcs12.load_pkcs12(signer.path.read_bytes(), PASSWORD.encode())
    assert loaded.cert is not None
    assert isinstance(loaded.key, ec.EllipticCurvePrivateKey)
    chain = [
        certificate.certificate.public_bytes(Encoding.DER) for certificate in (loaded.cert, *loaded.additional_certs)
    ]
    terms = SigningTerms(ALGORITHM, tuple(chain))
    return signature(file, file.content(terms, file.digest([ALGORITHM])), chain, loaded.key)


@pytest.mark.parametrize(
    ("end", "code_signing", "other_root", "code"),
    [
        (VALID, True, False, None),
        (VALID, True, True, "CERT_E_CHAINING"),
        (EXPIRED, True, False, "CERT_E_EXPIRED"),
        (VALID, False, False, "CERT_E_WRONG_USAGE"),
    ],
    ids=["right", "wrong root", "expired", "wrong usage"],
)
def test_who_signed(
    opener: Callable[[int], SignableFile], store: Store, tmp_path: Path, end: object, code_signing: bool,
    other_root: bool, code: str | None,
) -> None:  # fmt: skip
    file, target = opener(0), tmp_path / "signed.bin"
    signer = signing_file(tmp_path, end=end, code_signing=code_signing)  # type: ignore[arg-type]
    with target.open("wb") as out:
        file.embed(file.digest([]), (signed_by(file, signer),), out)
    root = store.root if other_root else signer.root
    run = kspsign("verify", target, "--trust-root", root, "--no-timestamp", folder=tmp_path)
    assert run.error_code == code
    stripped = kspsign("verify", target, "--trust-root", root, folder=tmp_path)
    failed = [check["name"] for check in stripped.file["verdict"]["checks"] if not check["ok"]]
    assert "timestamp" in failed


def test_a_signature_from_another_file(opener: Callable[[int], SignableFile], tmp_path: Path) -> None:
    file, other, target = opener(0), opener(1), tmp_path / "swapped.bin"
    signer = signing_file(tmp_path)
    with target.open("wb") as out:
        file.embed(file.digest([]), (signed_by(other, signer),), out)
    run = kspsign("verify", target, "--trust-root", signer.root, "--no-timestamp", folder=tmp_path)
    assert run.error_code == "TRUST_E_BAD_DIGEST"
