"""Code-signing certificates of the lab's own CA: in the PKCS#12 file that a user would have, or a renewed one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kspsign.certificates.parse import thumbprint_of, to_der
from windows_lab.machine import Windows


def write_pkcs12(lab: Path, target: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes) -> None:
    """Have Winlab Code Signing CA certify `key`; write both, with the CA's certificate, to `target`."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fabrikam Ltd")])
    certificate, authority = _certify(lab, name, key.public_key(), timedelta(days=1))
    encryption = serialization.BestAvailableEncryption(password)
    target.write_bytes(pkcs12.serialize_key_and_certificates(b"fabrikam", key, certificate, [authority], encryption))


def renew(windows: Windows, alias: str, *, linked: bool = True) -> str:
    """A newer certificate for the key pair `alias`, same subject, in CurrentUser\\My beside those that are there: its
    thumbprint.

    It is linked with its key as certsync does it, or as it is when somebody imports the file.
    """
    old = x509.load_pem_x509_certificate(windows.key(alias).certificate.read_bytes())
    public = old.public_key()
    assert isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey))
    renewed, _authority = _certify(windows.lab, old.subject, public, timedelta(days=1))
    file = windows.root / f"{alias}-renewed.crt"
    file.write_bytes(renewed.public_bytes(serialization.Encoding.PEM))
    ended = windows.run("cert", "add", "user", "MY", file, *((alias,) if linked else ()))
    assert ended.exit_code == 0, ended.output
    return thumbprint_of(to_der(renewed))


def _certify(
    lab: Path, subject: x509.Name, public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, age: timedelta
) -> tuple[x509.Certificate, x509.Certificate]:
    """A code-signing certificate that is valid for another month, and its issuer's."""
    authority = x509.load_pem_x509_certificate((lab / "pki" / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((lab / "pki" / "ca.key").read_bytes(), None)
    assert isinstance(signer, rsa.RSAPrivateKey)
    now = datetime.now(UTC)
    usages = (False,) * 8
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - age)
        .not_valid_after(now + timedelta(days=60))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, *usages), critical=True)  # digital signature
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return certificate, authority
