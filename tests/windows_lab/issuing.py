"""A code-signing certificate of the lab's own CA, as the PKCS#12 file that a user would have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def write_pkcs12(lab: Path, target: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes) -> None:
    """Have Winlab Code Signing CA certify `key`; write both, with the CA's certificate, to `target`."""
    authority = x509.load_pem_x509_certificate((lab / "pki" / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((lab / "pki" / "ca.key").read_bytes(), None)
    assert isinstance(signer, rsa.RSAPrivateKey)
    now = datetime.now(UTC)
    usages = (False,) * 8
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fabrikam Ltd")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, *usages), critical=True)  # digital signature
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(password)
    target.write_bytes(pkcs12.serialize_key_and_certificates(b"fabrikam", key, certificate, [authority], encryption))
