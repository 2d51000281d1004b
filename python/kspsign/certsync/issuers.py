"""Issuers that a certificate's key store does not know, from files that were named (SignTool's /ac)."""

from __future__ import annotations

from collections.abc import Sequence

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.parse import display_name, parse_certificate
from kspsign.keys.protocol import SigningKey
from kspsign.model.errors import PrerequisiteError


def with_given_issuers(key: SigningKey, given: Sequence[bytes]) -> SigningKey:
    """The key with a chain that goes on with `given` certificates (DER) where the key store's ends.

    Raises PrerequisiteError for one that is in no place of the chain: no verifier would need it.
    """
    if not given:
        return key
    chain = key.certificate.chain
    last = parse_certificate(chain[-1])
    if last.subject != last.issuer:
        chain = (*chain[:-1], *ordered_chain(chain[-1], [parse_certificate(der) for der in given]))
    strangers = [display_name(parse_certificate(der)) for der in given if der not in chain]
    if strangers:
        raise PrerequisiteError(
            f"{', '.join(strangers)} issued no certificate of the signer's chain",
            code="ISSUER_NOT_IN_CHAIN",
            remedy="Leave it out, or give the certificate that issued the last one of the chain.",
        )
    return key._replace(certificate=key.certificate._replace(chain=chain))
