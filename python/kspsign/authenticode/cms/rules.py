"""What the CMS signatures of a format hold and in which form: the data that writing and reading them goes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.account import Carries
from kspsign.authenticode.profile import SigningTerms
from kspsign.model.values import DigestAlgorithm

MAX_NESTED = 16
"""Signatures that one may carry."""


class Covered(NamedTuple):
    """What a signature says it covers: `content_oid` is the format's OID and `content_value` the DER of its own
    structure (empty when there is none), `digest` the file's digest; `algorithm` None is one that we don't know."""

    content_oid: str
    content_value: bytes
    algorithm: DigestAlgorithm | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class CmsRules:
    """`attributes` gives the signed attributes besides content type and message digest, as DER values by OID.

    `terms` reads back on what terms they were made (digest algorithm of the signer, values by OID, certificate where it
    is known), and raises TrustError where none give them.
    `covered` reads what a signature's content says (one DER element, and the digest algorithm of who signs it), and
    raises TrustError when that is malformed; `content_oids` are what it may name as its `content_oid`. `nests` is
    whether a further signature is an attribute of the first (SPC_NESTED_SIGNATURE) or follows it in the file.
    `versions` are those of message and signer that go together. `countersigned` says that a counter-signature
    (RFC 5652 §11.4) is a further signer's own signature; in Authenticode it is a timestamp.
    """

    content_type: str
    content_oids: frozenset[str]
    token_attribute: str
    attributes: Callable[[SigningTerms], Mapping[str, bytes]]
    covered: Callable[[bytes, DigestAlgorithm | None], Covered]
    terms: Callable[[DigestAlgorithm, Mapping[str, bytes], bytes | None], SigningTerms]
    nests: bool = True
    versions: frozenset[tuple[int, int]] = frozenset({(1, 1)})
    countersigned: bool = False

    @property
    def carries(self) -> Carries:
        """What a signature may carry unsigned: one timestamp of each kind, and further signatures in Authenticode."""
        stamps = {self.token_attribute: 1, oids.OID_COUNTER_SIGNATURE: 1}
        return Carries(stamps if self.countersigned else {**stamps, oids.OID_SPC_NESTED_SIGNATURE: MAX_NESTED})
