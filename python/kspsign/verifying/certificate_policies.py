"""Certificate policies along a path (RFC 5280 §6.1, RFC 9618), with the inputs that Windows uses: any policy will do,
and none is asked for unless a certificate of the path requires one.

RFC 5280's tree is kept one level at a time: with any policy acceptable all that counts in the end is whether the last
level is empty. That keeps the work linear, where a tree may grow without bounds (RFC 9618 §2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from kspsign.certificates import der
from kspsign.certificates.parse import display_name, extension, extensions

ANY_POLICY = "2.5.29.32.0"
POLICY_MAPPINGS = ExtensionOID.POLICY_MAPPINGS

_Level = dict[str, frozenset[str]]
"""The policies that are valid at one certificate, and by which names the next certificate may call each."""


def policy_violations(path: Sequence[x509.Certificate]) -> Iterator[str]:
    """What in `path` (leaf first, its trust anchor last) breaks a certificate's demands on policies, one sentence each.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when an extension it needs is malformed.
    """
    below = list(reversed(path[:-1]))
    state = _State(len(below))
    for number, certificate in enumerate(below, start=1):
        last = number == len(below)
        state.enter(certificate, last=last)
        if not last:
            if ANY_POLICY in _named(_mappings(certificate)):
                yield f"{display_name(certificate)} maps the policy anyPolicy"
            state.prepare(certificate)
        else:
            state.conclude(certificate)
        if state.is_broken:
            yield f"a policy is required, and {display_name(certificate)} has none that the CAs above it allow"
            return


class _State:
    """RFC 5280 §6.1.2: the valid policies (None: there are none), and how many certificates may follow until a policy
    is required, any policy no longer counts, and policies can't be mapped."""

    def __init__(self, count: int) -> None:
        self._level: _Level | None = {ANY_POLICY: frozenset({ANY_POLICY})}
        self._explicit = self._any = self._mapping = count + 1

    @property
    def is_broken(self) -> bool:
        """§6.1.3 f: a policy is required and there is none."""
        return self._explicit == 0 and self._level is None

    def enter(self, certificate: x509.Certificate, *, last: bool) -> None:
        """§6.1.3 d and e: the policies that `certificate` names, as far as the level above allows them."""
        stated = extension(certificate, x509.CertificatePolicies)
        if stated is None or self._level is None:
            self._level = None
            return
        above = self._level
        expected = frozenset().union(*above.values())
        named = {information.policy_identifier.dotted_string for information in stated.value}
        allowed = {oid for oid in named - {ANY_POLICY} if oid in expected or ANY_POLICY in above}
        if ANY_POLICY in named and (self._any > 0 or (not last and _is_self_issued(certificate))):
            allowed |= expected
        self._level = {oid: frozenset({oid}) for oid in allowed} or None

    def prepare(self, certificate: x509.Certificate) -> None:
        """§6.1.4 b, h, i and j: what an intermediate certificate says of those below it."""
        self._map(_mappings(certificate))
        if not _is_self_issued(certificate):
            self._explicit, self._any, self._mapping = (
                max(count - 1, 0) for count in (self._explicit, self._any, self._mapping)
            )
        constraints = extension(certificate, x509.PolicyConstraints)
        if constraints is not None:
            self._explicit = _least(self._explicit, constraints.value.require_explicit_policy)
            self._mapping = _least(self._mapping, constraints.value.inhibit_policy_mapping)
        inhibited = extension(certificate, x509.InhibitAnyPolicy)
        if inhibited is not None:
            self._any = _least(self._any, inhibited.value.skip_certs)

    def conclude(self, certificate: x509.Certificate) -> None:
        """§6.1.5 a and b: the leaf may require a policy too."""
        self._explicit = max(self._explicit - 1, 0)
        constraints = extension(certificate, x509.PolicyConstraints)
        if constraints is not None and constraints.value.require_explicit_policy == 0:
            self._explicit = 0

    def _map(self, mappings: dict[str, frozenset[str]]) -> None:
        if self._level is None or not mappings:
            return
        level = dict(self._level)
        for issuer, subjects in mappings.items():
            if self._mapping == 0:
                level.pop(issuer, None)
            elif issuer in level or ANY_POLICY in level:
                level[issuer] = subjects
        self._level = level or None


def _mappings(certificate: x509.Certificate) -> dict[str, frozenset[str]]:
    """PolicyMappings (§4.2.1.5): the CA's policies, each with what it is called by those below it."""
    found: dict[str, frozenset[str]] = {}
    for entry in extensions(certificate):
        if entry.oid == POLICY_MAPPINGS and isinstance(entry.value, x509.UnrecognizedExtension):
            for pair in der.parse(entry.value.value).children():
                issuer, subject = map(der.oid_of, pair.children(most=2))
                found[issuer] = found.get(issuer, frozenset()) | {subject}
    return found


def _named(mappings: dict[str, frozenset[str]]) -> Iterable[str]:
    return frozenset(mappings).union(*mappings.values())


def _least(current: int, stated: int | None) -> int:
    return current if stated is None else min(current, stated)


def _is_self_issued(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject
