"""Whose certificate it is: the same certificate, the same names, or the same durable usage; nothing less."""

from __future__ import annotations

import pytest
from cryptography import x509

from kspsign.certificates.identity import PublisherIdentity
from kspsign.certificates.parse import thumbprint_of
from support.pki import CODE_SIGNING, Issued, ca, extended, issue, signer

ROOT, OTHER_ROOT = ca("One CA"), ca("Another CA")
DURABLE = "1.3.6.1.4.1.311.97.582583348.60639889.931047247.527193355"


def identity(issued: Issued) -> PublisherIdentity:
    return PublisherIdentity.of(issued.der)


def subscriber(subject: str, issuer: Issued, *usages: str) -> PublisherIdentity:
    oids = (CODE_SIGNING, *map(x509.ObjectIdentifier, usages))
    return identity(issue(subject, issuer, extensions=[extended(*oids)]))


def test_a_certificate_is_itself() -> None:
    leaf = signer("Publisher", ROOT)
    assert identity(leaf).is_same(identity(leaf))
    assert identity(leaf).thumbprint == thumbprint_of(leaf.der)


def test_a_renewed_certificate_of_the_same_names_is_the_publisher_s() -> None:
    one, renewed = identity(signer("Publisher", ROOT)), identity(signer("Publisher", ROOT))
    assert one.thumbprint != renewed.thumbprint
    assert one.is_same(renewed)
    assert one.label == renewed.label


@pytest.mark.parametrize(("subject", "issuer"), [("Another", ROOT), ("Publisher", OTHER_ROOT)])
def test_one_name_alone_is_not_enough(subject: str, issuer: Issued) -> None:
    one, other = identity(signer("Publisher", ROOT)), identity(signer(subject, issuer))
    assert not one.is_same(other)
    assert one.label != other.label


@pytest.mark.parametrize(
    "usage", [DURABLE, "1.3.6.1.4.1.311.97.1.3.1.29433.35007.34545", "1.3.6.1.4.1.311.97.1.4.1.29433.35007"]
)
def test_a_durable_usage_outlives_subject_and_issuer(usage: str) -> None:
    one, other = subscriber("Publisher", ROOT, usage), subscriber("Publisher GmbH", OTHER_ROOT, usage)
    assert one.is_same(other)
    assert one.label == other.label


@pytest.mark.parametrize(
    "usage",
    [
        "1.3.6.1.4.1.311.97.1.0",  # every certificate of Public Trust has it
        "1.3.6.1.4.1.311.97.1.3.1",
        "1.3.6.1.4.1.311.97.1.2.3.4",
        "1.3.6.1.4.1.311.97.582583348.60639889.931047247",
        DURABLE + ".1",
        "1.3.6.1.4.1.311.10.3.13",
    ],
)
def test_a_usage_that_many_share_names_nobody(usage: str) -> None:
    one, other = subscriber("Publisher", ROOT, usage), subscriber("Another", OTHER_ROOT, usage)
    assert one.durable == frozenset()
    assert not one.is_same(other)
