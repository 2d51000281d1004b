"""Algorithms as XML signatures name them (RFC 9231; XML Signature §6): a closed list, without MD5 and HMAC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from kspsign.authenticode.cms.algorithms import Scheme
from kspsign.model.values import DigestAlgorithm

DSIG = "http://www.w3.org/2000/09/xmldsig#"
ENVELOPED = f"{DSIG}enveloped-signature"
_MORE, _ENC = "http://www.w3.org/2001/04/xmldsig-more#", "http://www.w3.org/2001/04/xmlenc#"


class SignatureMethod(NamedTuple):
    """How a signature value was made: by which kind of key, over which digest."""

    scheme: Scheme
    algorithm: DigestAlgorithm


@dataclass(frozen=True, slots=True)
class Dialect:
    """The identifiers that a format uses for digests and for signatures; of several for one the first is written."""

    digests: Mapping[str, DigestAlgorithm]
    signatures: Mapping[str, SignatureMethod]

    def digest_uri(self, algorithm: DigestAlgorithm) -> str:
        """The identifier of a digest; raises StopIteration for none of the dialect."""
        return next(uri for uri, found in self.digests.items() if found is algorithm)

    def signature_uri(self, method: SignatureMethod) -> str:
        """The identifier of a signature method; raises StopIteration for none of the dialect."""
        return next(uri for uri, found in self.signatures.items() if found == method)


_DIGESTS: Final = {
    f"{DSIG}sha1": DigestAlgorithm.SHA1,
    f"{_ENC}sha256": DigestAlgorithm.SHA256,
    f"{_MORE}sha384": DigestAlgorithm.SHA384,
    f"{_ENC}sha512": DigestAlgorithm.SHA512,
}
_RSA: Final = {
    f"{DSIG}rsa-sha1": SignatureMethod(Scheme.RSA, DigestAlgorithm.SHA1),
    f"{_MORE}rsa-sha256": SignatureMethod(Scheme.RSA, DigestAlgorithm.SHA256),
    f"{_MORE}rsa-sha384": SignatureMethod(Scheme.RSA, DigestAlgorithm.SHA384),
    f"{_MORE}rsa-sha512": SignatureMethod(Scheme.RSA, DigestAlgorithm.SHA512),
}
_ECDSA: Final = {
    f"{_MORE}ecdsa-sha256": SignatureMethod(Scheme.ECDSA, DigestAlgorithm.SHA256),
    f"{_MORE}ecdsa-sha384": SignatureMethod(Scheme.ECDSA, DigestAlgorithm.SHA384),
    f"{_MORE}ecdsa-sha512": SignatureMethod(Scheme.ECDSA, DigestAlgorithm.SHA512),
}
STANDARD: Final = Dialect(_DIGESTS, {**_RSA, **_ECDSA})
RSA_ONLY: Final = Dialect(_DIGESTS, _RSA)
"""What formats use whose readers know RSA alone. SHA-1 is read, so that it can be refused by its name."""
