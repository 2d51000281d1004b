"""Namespaces, identifiers and algorithms in manifests: closed lists, anything else is refused."""

from __future__ import annotations

from typing import Final

from kspsign.authenticode.cms.algorithms import Scheme
from kspsign.authenticode.xmldsig.algorithms import DSIG, Dialect, SignatureMethod
from kspsign.model.values import DigestAlgorithm

ASM_V1: Final = "urn:schemas-microsoft-com:asm.v1"
ASM_V2: Final = "urn:schemas-microsoft-com:asm.v2"
REL_DATA: Final = "http://schemas.microsoft.com/windows/rel/2005/reldata"
LICENSE: Final = "urn:mpeg:mpeg21:2003:01-REL-R-NS"
AUTHENTICODE: Final = "http://schemas.microsoft.com/windows/pki/2005/Authenticode"

HASH_TRANSFORM: Final = "urn:schemas-microsoft-com:HashTransforms.Identity"
"""The transform of a file's hash: the bytes of the file as they are."""
DIALECT: Final = Dialect(
    {f"{DSIG}sha256": DigestAlgorithm.SHA256, f"{DSIG}sha1": DigestAlgorithm.SHA1},
    {
        f"{DSIG}rsa-sha256": SignatureMethod(Scheme.RSA, DigestAlgorithm.SHA256),
        f"{DSIG}rsa-sha1": SignatureMethod(Scheme.RSA, DigestAlgorithm.SHA1),
    },
)
"""What .NET writes, and all that it reads: no recommendation of the W3C has these identifiers for SHA-256, and by those
that one has Windows finds no valid signature."""
STRONG_NAME: Final = "StrongNameSignature"
STRONG_NAME_KEY: Final = "StrongNameKeyInfo"
AUTHENTICODE_SIGNATURE: Final = "AuthenticodeSignature"
TOKEN: Final = "publicKeyToken"  # noqa: S105 - an attribute
