"""X.509 chain validation for code signing and timestamping, with Windows' result codes (RFC 5280 §6).

What can be found out without knowing the time is kept for the next file that was signed with the same chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509

from kspsign.certificates.parse import CHAIN_CHECK, parse_certificate
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.verifying.path_search import FoundPath, PathSearch
from kspsign.verifying.roots import TrustAnchors
from kspsign.verifying.strength import STRONG, Strength
from kspsign.verifying.usage import CertificatePurpose, ChainFault, faults_at_time, time_independent_faults

__all__ = ["CertificatePurpose", "ChainFault", "ChainResult", "parse_certificate", "validate_chain"]


class ChainResult(NamedTuple):
    """The best path found, leaf first (up to the root when there is one), and what is wrong with it."""

    path: tuple[x509.Certificate, ...]
    faults: tuple[ChainFault, ...]


class _Examined(NamedTuple):
    """A path with those of its faults that don't depend on the time."""

    path: FoundPath
    faults: tuple[ChainFault, ...]


def validate_chain(
    leaf: bytes,
    candidates: Sequence[bytes],
    anchors: TrustAnchors,
    purpose: CertificatePurpose,
    moment: datetime,
    strength: Strength = STRONG,
) -> ChainResult:
    """Find the best path from `leaf` over `candidates` (DER, any order) to `anchors`, and examine it.

    `moment` is timezone-aware: the timestamp's time, or now when there is none. Keys and signatures count as
    `strength` says, the signature that an anchor bears excepted. No faults means the chain is trusted for
    `purpose`. What is wrong, malformed certificates included, is in the result, never raised.
    """
    try:
        parse_certificate(leaf)
    except TrustError as error:
        return ChainResult((), (_malformed(error),))
    results = [
        ChainResult(found.path.certificates, (*found.faults, *_momentary(found.path, purpose, moment)))
        for found in _examined(leaf, tuple(candidates), anchors, purpose, strength)
    ]
    return min(results, key=lambda result: len(result.faults) > 0)


def _momentary(path: FoundPath, purpose: CertificatePurpose, moment: datetime) -> tuple[ChainFault, ...]:
    return tuple(faults_at_time(path.certificates, path.anchor, purpose, moment))


@lru_cache(maxsize=128)
def _examined(
    leaf: bytes, candidates: tuple[bytes, ...], anchors: TrustAnchors, purpose: CertificatePurpose, strength: Strength
) -> tuple[_Examined, ...]:
    """Every path from `leaf`, the best first: anchored ones with the fewest faults, then by their end."""
    examined = []
    for path in PathSearch(candidates, anchors, strength).paths_from(parse_certificate(leaf)):
        lasting = tuple(time_independent_faults(path.certificates, path.anchor, purpose, strength))
        examined.append(_Examined(path, lasting if path.end is None else (path.end, *lasting)))
    return tuple(sorted(examined, key=_promise))


def _promise(examined: _Examined) -> tuple[int, int, int]:
    end = examined.path.end
    rank = 0 if end is None else 1 + _ENDS.index(end.hresult)
    return rank, len(examined.faults), len(examined.path.certificates)


_ENDS = (
    Hresult.CERT_E_UNTRUSTEDROOT,
    Hresult.TRUST_E_CERT_SIGNATURE,
    Hresult.NTE_BAD_ALGID,
    Hresult.TRUST_E_MALFORMED_SIGNATURE,
    Hresult.CERT_E_CHAINING,
)
"""How a path can end without an anchor, the most informative end first."""


def _malformed(error: TrustError) -> ChainFault:
    return ChainFault(CHAIN_CHECK, error.hresult or Hresult.TRUST_E_MALFORMED_SIGNATURE, error.message)
