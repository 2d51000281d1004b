"""The rules of NuGet's client, with its error codes: checked before a signature is requested and when one is verified.

Source: NuGet Package Signatures Technical Specification, and NuGet.Packaging.Signing (SigningUtility,
SignatureUtility) for the codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.timestamp import read_token
from kspsign.authenticode.zip import Archive
from kspsign.certificates.parse import parse_certificate
from kspsign.certificates.validity import is_for_lifetime_signing
from kspsign.model.values import DigestAlgorithm

SIGNATURE = ".signature.p7s"
MAX_ENTRIES = 0xFFFE
"""More would need Zip64, which NuGet does not read (NU3039)."""
_MIN_RSA_BITS = 2048
_RSA_OIDS = frozenset({
    x509.SignatureAlgorithmOID.RSA_WITH_SHA256, x509.SignatureAlgorithmOID.RSA_WITH_SHA384,
    x509.SignatureAlgorithmOID.RSA_WITH_SHA512,
})  # fmt: skip


class Violation(NamedTuple):
    """A rule of NuGet that is broken, and what to do instead."""

    cause: str
    remedy: str


def archive_violation(archive: Archive) -> Violation | None:
    """Why NuGet would not read the signature of this archive, whether it has one or gets one."""
    if archive.zip64:
        return Violation(
            "it is a Zip64 archive, which NuGet does not sign (NU3006)", "Pack it again with NuGet (dotnet pack)."
        )
    count = sum(entry.name != SIGNATURE for entry in archive.entries)
    if count >= MAX_ENTRIES:
        return Violation(
            f"{count} entries and a signature would need Zip64, which NuGet can't read (NU3039)",
            f"Split the package: at most {MAX_ENTRIES - 1} files.",
        )
    names = [entry.name for entry in archive.entries if entry.name.lower() == SIGNATURE]
    if names not in ([], [SIGNATURE]):
        return Violation(
            f"it has more than one {SIGNATURE}, or one in another case: {', '.join(names)} (NU3009)",
            "Pack it again with NuGet (dotnet pack).",
        )
    return None


def certificate_violation(leaf: x509.Certificate) -> Violation | None:
    """Why NuGet refuses signatures of this certificate."""
    key = leaf.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        return Violation(
            "NuGet accepts RSA only, and the certificate has a key of another kind (NU3013, NU3014)",
            "Sign NuGet packages with an RSA certificate, or exclude them (!**/*.nupkg).",
        )
    if key.key_size < _MIN_RSA_BITS:
        return Violation(
            f"NuGet accepts RSA keys of at least {_MIN_RSA_BITS} bits only, the certificate's has {key.key_size} "
            "(NU3014)",
            "Sign NuGet packages with a certificate of such a key, or exclude them (!**/*.nupkg).",
        )
    if leaf.signature_algorithm_oid not in _RSA_OIDS:
        return Violation(
            "NuGet accepts only certificates that a CA signed with RSA and SHA-2 (NU3013)",
            "Sign NuGet packages with a certificate of such a CA, or exclude them (!**/*.nupkg).",
        )
    if is_for_lifetime_signing(leaf):
        return Violation(
            "NuGet accepts no certificate for lifetime signing (NU3015)",
            "Sign NuGet packages with a certificate without that extended key usage.",
        )
    return None


def signature_violation(signature: CmsSignature) -> Violation | None:
    """Why NuGet refuses an existing signature, by its certificate or its timestamp. Raises TrustError for one that
    can't be read."""
    if signature.certificate is not None:
        violation = certificate_violation(parse_certificate(signature.certificate))
        if violation is not None:
            return violation
    return _timestamp_violation(signature.tokens, signature.value)


def _timestamp_violation(tokens: Sequence[bytes], value: bytes) -> Violation | None:
    for token in tokens:
        stamp = read_token(token, value)
        if stamp.digest_algorithm is DigestAlgorithm.SHA1:
            return Violation("its timestamp is made with SHA-1, which NuGet refuses (NU3024)", _OTHER_SERVER)
        key = None if stamp.signer is None else parse_certificate(stamp.signer).public_key()
        if key is not None and not (isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS):
            return Violation(
                f"the timestamp authority's key is not RSA of at least {_MIN_RSA_BITS} bits (NU3023)", _OTHER_SERVER
            )
    return None


_OTHER_SERVER = "Timestamp the package with a server that uses RSA and SHA-2 (--timestamp-url)."
