"""Name constraints: what a CA may issue, by distinguished name; other kinds of names are refused unseen."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from kspsign.model.hresults import Hresult
from kspsign.verifying.chain import CertificatePurpose, ChainFault, validate_chain
from kspsign.verifying.roots import TrustAnchors
from support.pki import MOMENT, Issued, ca, name, signer

ACME = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme")])


def constrained(
    permitted: Sequence[x509.GeneralName] = (), excluded: Sequence[x509.GeneralName] = ()
) -> tuple[x509.NameConstraints, bool]:
    return x509.NameConstraints(list(permitted) or None, list(excluded) or None), True


def faults(root: Issued, leaf: Issued, *between: Issued) -> tuple[ChainFault, ...]:
    anchors = TrustAnchors.from_certificates([root.der])
    return validate_chain(leaf.der, [ca.der for ca in between], anchors, CertificatePurpose.CODE_SIGNING, MOMENT).faults


def refused_names(root: Issued, leaf: Issued, *between: Issued) -> bool:
    found = faults(root, leaf, *between)
    assert all((fault.check, fault.hresult) == ("certificate-chain", Hresult.CERT_E_INVALID_NAME) for fault in found)
    return bool(found)


@pytest.mark.parametrize(
    ("subject", "refused"),
    [
        (name("Tool", "Acme"), False),
        (name("Tool", " ACME "), False),
        (name("Tool", "Acme Inc"), True),
        (name("Acme"), True),
        (name("Tool"), True),
    ],
)
def test_only_permitted_names(subject: x509.Name, *, refused: bool) -> None:
    root = ca("Root")
    middle = ca("Middle", root, constrained(permitted=[x509.DirectoryName(ACME)]))
    assert refused_names(root, signer(subject, middle), middle) is refused


@pytest.mark.parametrize(("organisation", "refused"), [("Acme", True), ("ACME", True), ("Other", False)])
def test_no_excluded_names(organisation: str, *, refused: bool) -> None:
    root = ca("Root", None, constrained(excluded=[x509.DirectoryName(ACME)]))
    assert refused_names(root, signer(name("Tool", organisation), root)) is refused


def test_intermediates_are_bound_too_but_not_the_cas_own_renewal() -> None:
    root = ca("Root", None, constrained(permitted=[x509.DirectoryName(ACME)]))
    inside, outside = ca(name("CA", "Acme"), root), ca(name("CA", "Other"), root)
    assert not refused_names(root, signer(name("Tool", "Acme"), inside), inside)
    assert refused_names(root, signer(name("Tool", "Acme"), outside), outside)
    renewed = ca("Root", root)
    assert not refused_names(root, signer(name("Tool", "Acme"), renewed), renewed)


def test_alternative_directory_names_are_bound() -> None:
    root = ca("Root", None, constrained(permitted=[x509.DirectoryName(ACME)]))
    for other, refused in ((name("Tool", "Acme"), False), (name("Tool", "Other"), True)):
        alternative = x509.SubjectAlternativeName([x509.DirectoryName(other)])
        assert refused_names(root, signer(name("Tool", "Acme"), root, (alternative, False))) is refused


def test_other_kinds_of_names_are_refused_where_they_are_constrained() -> None:
    root = ca("Root", None, constrained(permitted=[x509.RFC822Name("example.com"), x509.DNSName("example.com")]))
    assert not refused_names(root, signer("Tool", root))
    mail = x509.SubjectAlternativeName([x509.RFC822Name("tool@example.com")])
    assert refused_names(root, signer("Tool", root, (mail, False)))
    address = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("https://example.com")])
    assert not refused_names(root, signer("Tool", root, (address, False)))
    in_subject = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, "tool@example.com")])
    assert refused_names(root, signer(in_subject, root))
