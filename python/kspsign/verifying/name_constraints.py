"""Name constraints of the CAs in a path (RFC 5280 §4.2.1.10).

Constraints on distinguished names are evaluated. For every other kind of name, which code-signing and
timestamping certificates hardly carry, a certificate that has such a name below such a constraint is refused
unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cryptography import x509

from kspsign.certificates.parse import display_name, extension, quoted_name

_Rdn = frozenset[tuple[str, str]]


def name_violations(path: Sequence[x509.Certificate]) -> Iterator[str]:
    """What in `path` (leaf first) breaks a name constraint of a certificate above it, one sentence each.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when an extension it needs is malformed.
    """
    for position, ca in enumerate(path):
        constraints = extension(ca, x509.NameConstraints)
        if constraints is None:
            continue
        for below in range(position):
            if below > 0 and path[below].issuer == path[below].subject:
                continue  # self-issued: the CA's own new key, exempt unless it is the leaf
            for reason in _broken(constraints.value, path[below]):
                yield f"{display_name(ca)} may not issue {display_name(path[below])}: {reason}"


def _broken(constraints: x509.NameConstraints, certificate: x509.Certificate) -> Iterator[str]:
    permitted = constraints.permitted_subtrees or []
    excluded = constraints.excluded_subtrees or []
    names = list(_names(certificate))
    yield from _directory_faults(
        [name.value for name in names if isinstance(name, x509.DirectoryName)],
        [_rdns(tree.value) for tree in permitted if isinstance(tree, x509.DirectoryName)],
        [_rdns(tree.value) for tree in excluded if isinstance(tree, x509.DirectoryName)],
    )
    others = {type(tree) for tree in (*permitted, *excluded) if not isinstance(tree, x509.DirectoryName)}
    for name in names:
        if type(name) in others:
            yield f"its {type(name).__name__} can't be judged against the CA's constraints on such names"


def _directory_faults(
    names: Iterable[x509.Name], permitted: Sequence[tuple[_Rdn, ...]], excluded: Sequence[tuple[_Rdn, ...]]
) -> Iterator[str]:
    for name in names:
        rdns = _rdns(name)
        if permitted and not any(_below(rdns, tree) for tree in permitted):
            yield f"{quoted_name(name)} is outside the permitted names"
        if any(_below(rdns, tree) for tree in excluded):
            yield f"{quoted_name(name)} is among the excluded names"


def _names(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    """What a constraint applies to: the subject, its mail addresses and the subject alternative names."""
    if certificate.subject.rdns:
        yield x509.DirectoryName(certificate.subject)
    for attribute in certificate.subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS):
        yield x509.RFC822Name._init_without_validation(str(attribute.value))  # noqa: SLF001 - the only lenient way
    alternative = extension(certificate, x509.SubjectAlternativeName)
    if alternative is not None:
        yield from alternative.value


def _below(name: tuple[_Rdn, ...], tree: tuple[_Rdn, ...]) -> bool:
    return name[: len(tree)] == tree


def _rdns(name: x509.Name) -> tuple[_Rdn, ...]:
    """The name in comparable form: case and runs of white space don't count (RFC 5280 §7.1)."""
    return tuple(
        frozenset((part.oid.dotted_string, " ".join(str(part.value).casefold().split())) for part in rdn)
        for rdn in name.rdns
    )
