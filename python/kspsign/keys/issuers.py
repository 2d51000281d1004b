"""The issuers of a key store's certificate, fetched where its options allow that."""

from __future__ import annotations

from collections.abc import Iterator

from kspsign.keys.aia import with_issuers
from kspsign.keys.options import IssuerFetching
from kspsign.keys.prerequisites import CHAIN, Prerequisite, examine_certificate, failed
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import KspSignError


def complete_chain(chain: tuple[bytes, ...], options: IssuerFetching, surroundings: Surroundings) -> tuple[bytes, ...]:
    """`chain` (DER, leaf first) with the issuers that it lacks, unless --no-aia. Raises PrerequisiteError."""
    return chain if options.no_aia else with_issuers(chain, surroundings.store_folder, surroundings.network)


def examine_chain(
    chain: tuple[bytes, ...], options: IssuerFetching, surroundings: Surroundings
) -> Iterator[Prerequisite]:
    """The certificate that signs, and what kept its issuers from being fetched."""
    broken: KspSignError | None = None
    try:
        chain = complete_chain(chain, options, surroundings)
    except KspSignError as error:
        broken = error
    yield examine_certificate(chain if broken is None else chain[:1])
    if broken is not None:
        yield failed(CHAIN, broken)
