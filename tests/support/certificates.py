"""PKCS#12 files for signing, right and wrong in every way, issued in a line of code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from support.pki import CODE_SIGNING, Extension, Issued, Key, ca, extended, issue, key_usage, new_key

PASSWORD = "test only"  # noqa: S105 - of files made in the test
PASSWORD_VARIABLE = "TEST_PKCS12_PASSWORD"  # noqa: S105 - a name
EXPIRED = datetime.now(UTC) - timedelta(days=2)
VALID = datetime.now(UTC) + timedelta(days=300)


@cache
def shared_key(_number: int) -> rsa.RSAPrivateKey:
    """RSA keys of 2048 bits that all tests of a process share: of another number, another key."""
    return rsa_key(2048)


@dataclass(frozen=True)
class SigningFile:
    """A PKCS#12 file and the root to trust for it."""

    path: Path
    root: Path

    @property
    def options(self) -> tuple[str, ...]:
        """What makes kspsign sign with it."""
        return (
            *("--key-store", "pkcs12", "--pkcs12", str(self.path), "--password-env", PASSWORD_VARIABLE),
            *("--trust-root", str(self.root), "--store", str(self.path.parent / "store")),
        )


def signing_file(  # noqa: PLR0913 - a publisher has that many sides, and a test turns one of them
    folder: Path,
    *,
    key: Key | None = None,
    file_key: Key | None = None,
    end: datetime = VALID,
    code_signing: bool = True,
    self_signed: bool = False,
    root: Issued | None = None,
    root_key: Key | None = None,
    subject: str | x509.Name = "Test publisher",
    usages: Sequence[x509.ObjectIdentifier] = (CODE_SIGNING,),
    more: tuple[Extension, ...] = (),
) -> SigningFile:
    """A leaf below a fresh root, or below `root`, with `more` extensions.

    `file_key` replaces its key in the file, which then does not fit.
    """
    own = key or new_key()
    root = root or ca("Test root", end=VALID, key=root_key)
    extensions = [key_usage("digital_signature"), *([extended(*usages)] if code_signing else []), *more]
    leaf = issue(subject, None if self_signed else root, extensions=extensions, key=own, end=end)
    path, pem = folder / "signing.p12", folder / "root.pem"
    path.write_bytes(_pkcs12(leaf, file_key or own, root))
    pem.write_bytes(root.pem)
    return SigningFile(path, pem)


def _pkcs12(leaf: Issued, key: Key, root: Issued) -> bytes:
    encryption = BestAvailableEncryption(PASSWORD.encode())
    if key is leaf.key:
        return pkcs12.serialize_key_and_certificates(b"test", key, leaf.certificate, [root.certificate], encryption)
    # The library refuses a certificate that is not the key's own in that place; among the others it may stand.
    return pkcs12.serialize_key_and_certificates(b"test", key, None, [leaf.certificate, root.certificate], encryption)


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """An RSA key."""
    return rsa.generate_private_key(65537, bits)
