"""Revocation: what counts as an answer, and what an answer means for a signature of that time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from kspsign.model.hresults import Hresult
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import Finding
from kspsign.network.fetch import fetch, open_fetching
from kspsign.verifying.revocation import Revocation
from kspsign.verifying.usage import CertificatePurpose
from support.pki import Issued, ca, issue, key_usage, new_key, signer
from support.revocation.answers import CRITICAL, HOUR, NOW, Crl, Ocsp, Withdrawn, asks, responder
from support.revocation.server import RevocationServer

NO_CHECK = (x509.OCSPNoCheck(), False)
STAMPED = NOW - 24 * HOUR
BEFORE, AFTER = STAMPED - HOUR, STAMPED + HOUR
OFFLINE, REVOKED = Hresult.CRYPT_E_REVOCATION_OFFLINE, Hresult.CERT_E_REVOKED


@pytest.fixture(scope="module")
def server() -> Iterator[RevocationServer]:
    with RevocationServer() as running:
        yield running


@pytest.fixture(scope="module")
def root() -> Issued:
    return ca("Root")


@pytest.fixture(scope="module")
def stranger() -> Issued:
    return ca("Root", key=new_key())


@pytest.fixture
def leaf(root: Issued, server: RevocationServer) -> Issued:
    """A leaf whose responder and CRL say nothing yet."""
    server.responder, server.files = None, {}
    server.asked.clear()
    return signer("Leaf", root, *asks(server.url))


def asked(
    leaf: Issued,
    *above: Issued,
    purpose: CertificatePurpose = CertificatePurpose.CODE_SIGNING,
    stamped: datetime | None = None,
    revocation: Revocation | None = None,
) -> Finding:
    path = tuple(issued.certificate for issued in (leaf, *above))
    return (revocation or Revocation(NetworkOptions())).finding(path, purpose, stamped)


def serve(server: RevocationServer, leaf: Issued, answer: Ocsp | Crl | bytes) -> None:
    """Let the server answer about `leaf`: by OCSP, by a CRL, or to any question with those bytes."""
    if isinstance(answer, Ocsp):
        server.responder = lambda request: answer.responding(leaf.certificate, request)
    elif isinstance(answer, Crl):
        server.files["/crl"] = answer.signed()
    else:
        server.responder, server.files["/crl"] = lambda _request: answer, answer


Making = Callable[[Issued, Issued, Issued], Ocsp | Crl | bytes]
"""From root, leaf and a stranger with the root's name to what is answered."""


def scope(**sides: object) -> tuple[x509.IssuingDistributionPoint, bool]:
    plain = {"full_name": None, "relative_name": None, "only_some_reasons": None}
    kinds = ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs")
    return x509.IssuingDistributionPoint(**{**plain, **dict.fromkeys(kinds, False), **sides}), True  # type: ignore[arg-type]


GOOD: dict[str, Making] = {
    "OCSP of the CA": lambda root, _leaf, _: Ocsp(root),
    "OCSP of the CA, named": lambda root, _leaf, _: Ocsp(root, by_name=True),
    "OCSP without nonce": lambda root, _leaf, _: Ocsp(root, repeats_nonce=False),
    "OCSP without nextUpdate, fresh": lambda root, _leaf, _: Ocsp(root, next_update=None),
    "OCSP of a delegate": lambda root, _leaf, _: Ocsp(root, responder(root, NO_CHECK)),
    "OCSP of a delegate, named": lambda root, _leaf, _: Ocsp(root, responder(root, NO_CHECK), by_name=True),
    "OCSP with SHA-512": lambda root, _leaf, _: Ocsp(root, digest=hashes.SHA512()),
    "CRL": lambda root, _leaf, _: Crl(root),
    "CRL with others in it": lambda root, _leaf, _: Crl(root, ((4711, Withdrawn()),)),
    "CRL for users": lambda root, _leaf, _: Crl(root, extensions=(scope(only_contains_user_certs=True),)),
}
UNDETERMINED: dict[str, tuple[Making, str]] = {
    "OCSP: expired": (lambda root, *_: Ocsp(root, next_update=NOW - HOUR / 2), "expired"),
    "OCSP: of the future": (
        lambda root, *_: Ocsp(root, this_update=NOW + HOUR, next_update=NOW + 2 * HOUR),
        "of the future",
    ),
    "OCSP: no nextUpdate, old": (lambda root, *_: Ocsp(root, this_update=NOW - 25 * HOUR, next_update=None), "expired"),
    "OCSP: unknown": (lambda root, *_: Ocsp(root, unknown=True), "does not know"),
    "OCSP: another nonce": (lambda root, *_: Ocsp(root, nonce=b"another nonce!!!"), "another nonce"),
    "OCSP: another certificate": (
        lambda root, *_: Ocsp(root, about=signer("Other", root).certificate),
        "another certificate",
    ),
    "OCSP: another CA of the name": (lambda _root, _leaf, other: Ocsp(other), "another certificate"),
    "OCSP: another key": (lambda root, _leaf, other: Ocsp(root, other, by_name=True), "is not signed by"),
    "OCSP: critical extension": (lambda root, *_: Ocsp(root, extensions=(CRITICAL,)), "1.2.3.4"),
    "OCSP: delegate of another CA": (
        lambda root, _leaf, other: Ocsp(root, responder(other, NO_CHECK)),
        "was not authorised",
    ),
    "OCSP: delegate that may not": (
        lambda root, *_: Ocsp(root, responder(root, NO_CHECK, usages=False)),
        "may not sign OCSP",
    ),
    "OCSP: a signer as delegate": (lambda root, leaf, _: Ocsp(root, leaf), "may not sign OCSP"),
    "OCSP: expired delegate": (
        lambda root, *_: Ocsp(root, responder(root, NO_CHECK, end=NOW - HOUR)),
        "is not valid now",
    ),
    "OCSP: delegate left out": (
        lambda root, *_: Ocsp(root, responder(root, NO_CHECK), embedded=False),
        "is not in it",
    ),
    "OCSP: delegate that nobody vouches for": (lambda root, *_: Ocsp(root, responder(root)), "is unknown"),
    "OCSP: try later": (
        lambda *_: ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
            Encoding.DER
        ),
        "try_later",
    ),
    "garbage": (lambda *_: b"<html>sign in</html>", "can't be read"),
    "nothing": (lambda *_: b"", "can't be read"),
    "huge": (lambda *_: bytes((1 << 17) + 1), "more than 131072 bytes"),
    "CRL: expired": (lambda root, *_: Crl(root, next_update=NOW - HOUR / 2), "expired"),
    "CRL: of the future": (
        lambda root, *_: Crl(root, this_update=NOW + HOUR, next_update=NOW + 2 * HOUR),
        "of the future",
    ),
    "CRL: another key": (lambda root, _leaf, other: Crl(root, key=other), "not signed by"),
    "CRL: another issuer": (lambda *_: Crl(ca("Other")), 'is not of "Root"'),
    "CRL: critical extension": (lambda root, *_: Crl(root, extensions=(CRITICAL,)), "1.2.3.4"),
    "CRL: delta": (lambda root, *_: Crl(root, extensions=((x509.DeltaCRLIndicator(1), True),)), "2.5.29.27"),
    "CRL: for CAs": (lambda root, *_: Crl(root, extensions=(scope(only_contains_ca_certs=True),)), "not about"),
    "CRL: indirect": (lambda root, *_: Crl(root, extensions=(scope(indirect_crl=True),)), "indirect"),
    "CRL: some reasons": (
        lambda root, *_: Crl(root, extensions=(scope(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise})),)),
        "some reasons",
    ),
    "CRL: of another place": (
        lambda root, *_: Crl(
            root, extensions=(scope(full_name=[x509.UniformResourceIdentifier("http://example.org/crl")]),)
        ),
        "another distribution point",
    ),
    "CRL: entry of another issuer": (
        lambda root, leaf, _: Crl(root).with_entry(
            leaf.certificate,
            Withdrawn(more=((x509.CertificateIssuer([x509.DirectoryName(leaf.certificate.subject)]), True),)),
        ),
        "2.5.29.29",
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_good_answer_says_by_whom_and_until_when(
    case: str, root: Issued, stranger: Issued, leaf: Issued, server: RevocationServer
) -> None:
    serve(server, leaf, GOOD[case](root, leaf, stranger))
    finding = asked(leaf, root)
    assert finding.hresult is None, finding.detail
    kind = case.partition(" ")[0]
    assert finding.detail.startswith(f'"Leaf" good by {kind} {server.url}/{kind.lower()} until 20')
    assert finding.check == "revocation"


@pytest.mark.parametrize("case", UNDETERMINED)
def test_what_does_not_count_leaves_it_undetermined(
    case: str, root: Issued, stranger: Issued, leaf: Issued, server: RevocationServer
) -> None:
    making, words = UNDETERMINED[case]
    serve(server, leaf, making(root, leaf, stranger))
    finding = asked(leaf, root)
    assert (finding.hresult, finding.check) == (OFFLINE, "revocation")
    assert words in finding.detail
    assert f"OCSP {server.url}/ocsp: " in finding.detail
    assert f"CRL {server.url}/crl: " in finding.detail


def test_a_server_that_is_down_leaves_it_undetermined(root: Issued) -> None:
    with RevocationServer() as gone:
        url = gone.url
    finding = asked(signer("Leaf", root, *asks(url)), root)
    assert finding.hresult is OFFLINE
    assert finding.detail.count("no answer") == 2


def test_a_certificate_that_names_nobody_is_undetermined(root: Issued) -> None:
    finding = asked(signer("Leaf", root), root)
    assert (finding.hresult, "names neither" in finding.detail) == (OFFLINE, True)


def test_the_root_itself_is_not_asked_about(root: Issued) -> None:
    assert asked(root).hresult is None


@pytest.mark.parametrize("vouched", [True, False])
def test_a_crl_vouches_for_a_delegate(vouched: bool, root: Issued, leaf: Issued, server: RevocationServer) -> None:
    delegate = responder(root, *asks(server.url, ocsp_at=""))
    serve(server, leaf, Ocsp(root, delegate))
    listed = Crl(root)
    server.files["/crl"] = (listed if vouched else listed.with_entry(delegate.certificate, Withdrawn())).signed()
    finding = asked(leaf, root)
    assert finding.hresult is None  # by the CRL at last, where the delegate is revoked
    assert ("good by OCSP" in finding.detail) is vouched


@pytest.mark.parametrize("answer", [lambda *_: b"", lambda root, *_: Ocsp(root, unknown=True)], ids=["none", "unknown"])
def test_where_ocsp_does_not_answer_the_crl_does(
    answer: Making, root: Issued, leaf: Issued, server: RevocationServer
) -> None:
    serve(server, leaf, answer(root, leaf, root))
    serve(server, leaf, Crl(root))
    assert "good by CRL" in asked(leaf, root).detail
    serve(server, leaf, Crl(root).with_entry(leaf.certificate, Withdrawn()))
    assert asked(leaf, root).hresult is REVOKED


def test_a_crl_may_be_pem(root: Issued, leaf: Issued, server: RevocationServer) -> None:
    server.files["/crl"] = Crl(root).signed(Encoding.PEM)
    assert asked(leaf, root).hresult is None


def test_a_ca_that_may_not_sign_crls_signs_none(root: Issued, leaf: Issued, server: RevocationServer) -> None:
    is_ca = (x509.BasicConstraints(ca=True, path_length=None), True)
    silent = issue("Root", extensions=(is_ca, key_usage("key_cert_sign")), key=root.key)
    serve(server, leaf, Crl(root))
    assert "may not sign CRLs" in asked(leaf, silent).detail
    assert asked(leaf, root).hresult is None


Reason = x509.ReasonFlags
TIMES: list[tuple[Withdrawn, datetime | None, CertificatePurpose, bool]] = [
    (Withdrawn(BEFORE), None, CertificatePurpose.CODE_SIGNING, True),
    (Withdrawn(AFTER), None, CertificatePurpose.CODE_SIGNING, True),
    (Withdrawn(BEFORE), STAMPED, CertificatePurpose.CODE_SIGNING, True),
    (Withdrawn(STAMPED), STAMPED, CertificatePurpose.CODE_SIGNING, True),
    (Withdrawn(AFTER), STAMPED, CertificatePurpose.CODE_SIGNING, False),
    (Withdrawn(AFTER, Reason.superseded), STAMPED, CertificatePurpose.CODE_SIGNING, False),
    (Withdrawn(AFTER, Reason.key_compromise), STAMPED, CertificatePurpose.CODE_SIGNING, True),
    (Withdrawn(AFTER, Reason.ca_compromise), STAMPED, CertificatePurpose.CODE_SIGNING, True),
    (Withdrawn(AFTER), STAMPED, CertificatePurpose.TIMESTAMPING, True),
    (Withdrawn(AFTER, Reason.cessation_of_operation), STAMPED, CertificatePurpose.TIMESTAMPING, False),
    (Withdrawn(AFTER, Reason.key_compromise), STAMPED, CertificatePurpose.TIMESTAMPING, True),
]


@pytest.mark.parametrize("kind", ["OCSP", "CRL"])
@pytest.mark.parametrize("case", TIMES, ids=range(len(TIMES)))
def test_a_revocation_counts_from_its_date_on(
    case: tuple[Withdrawn, datetime | None, CertificatePurpose, bool],
    kind: str,
    root: Issued,
    leaf: Issued,
    server: RevocationServer,
) -> None:
    withdrawn, stamped, purpose, counts = case
    listed = Crl(root).with_entry(leaf.certificate, withdrawn)
    serve(server, leaf, Ocsp(root, revoked=withdrawn) if kind == "OCSP" else listed)
    finding = asked(leaf, root, purpose=purpose, stamped=stamped)
    assert finding.hresult is (REVOKED if counts else None)
    assert finding.check == ("revocation" if purpose is CertificatePurpose.CODE_SIGNING else "timestamp-revocation")
    assert f"revoked since {withdrawn.when:%Y-%m-%dT%H:%M:%SZ}" in finding.detail
    assert ("after the timestamp" in finding.detail) is not counts
    assert f"by {kind} {server.url}" in finding.detail


def test_an_invalidity_date_is_the_earlier_truth(root: Issued, leaf: Issued, server: RevocationServer) -> None:
    serve(server, leaf, Crl(root).with_entry(leaf.certificate, Withdrawn(AFTER, invalid=BEFORE)))
    assert asked(leaf, root, stamped=STAMPED).hresult is REVOKED
    serve(server, leaf, Crl(root).with_entry(leaf.certificate, Withdrawn(BEFORE, invalid=AFTER)))
    assert asked(leaf, root, stamped=STAMPED).hresult is REVOKED


@pytest.mark.usefixtures("leaf")
def test_every_certificate_but_the_root_is_asked_about(root: Issued, server: RevocationServer) -> None:
    between = ca("Between", root, *asks(server.url, ocsp_at="", crl_at="/root"))
    last = signer("Last", between, *asks(server.url, ocsp_at="", crl_at="/between"))
    server.files = {"/between": Crl(between).signed(), "/root": Crl(root).signed()}
    finding = asked(last, between, root)
    assert (finding.hresult, finding.detail.count("good by CRL")) == (None, 2)
    server.files["/root"] = Crl(root).with_entry(between.certificate, Withdrawn()).signed()
    assert asked(last, between, root).hresult is REVOKED
    server.files["/root"] = b""
    assert asked(last, between, root).hresult is OFFLINE
    server.files["/root"] = Crl(root, extensions=(scope(only_contains_user_certs=True),)).signed()
    assert "not about" in asked(last, between, root).detail


def test_each_certificate_is_asked_about_once_in_a_run(root: Issued, leaf: Issued, server: RevocationServer) -> None:
    serve(server, leaf, Ocsp(root))
    revocation = Revocation(NetworkOptions())
    with ThreadPoolExecutor(8) as pool:
        findings = list(pool.map(lambda _: asked(leaf, root, revocation=revocation), range(16)))
    assert (len(set(findings)), server.asked) == (1, ["/ocsp"])
    serve(server, leaf, Crl(root))
    other = signer("Other", root, *asks(server.url, ocsp_at=""))
    another = signer("Another", root, *asks(server.url, ocsp_at=""))
    for certificate in (other, another, other):
        assert asked(certificate, root, revocation=revocation).hresult is None
    assert server.asked == ["/ocsp", "/crl"]


def test_what_failed_is_not_asked_again_in_a_run(root: Issued, leaf: Issued, server: RevocationServer) -> None:
    revocation = Revocation(NetworkOptions())
    for _ in range(3):
        assert asked(leaf, root, revocation=revocation).hresult is OFFLINE
    assert server.asked == ["/ocsp", "/crl"]


def test_an_answer_that_trickles_is_given_up(server: RevocationServer) -> None:
    server.files["/crl"] = bytes(1 << 20)
    with closing(open_fetching(NetworkOptions(deadline=0))) as hasty:
        assert fetch(hasty, f"{server.url}/crl", 1 << 25) == "not complete after 0 s"
    with closing(open_fetching(NetworkOptions())) as pool:
        assert fetch(pool, f"{server.url}/crl", 1 << 25) == bytes(1 << 20)
        assert fetch(pool, f"{server.url}/gone", 1 << 25) == "HTTP 404"
        assert str(fetch(pool, "ftp://127.0.0.1/crl", 1 << 25)).startswith("no answer")


def freshest(server: RevocationServer) -> x509.FreshestCRL:
    """What names the delta CRL."""
    return x509.FreshestCRL(
        [x509.DistributionPoint([x509.UniformResourceIdentifier(f"{server.url}/delta")], None, None, None)]
    )


def test_a_crl_that_names_a_delta_counts_with_it_alone(root: Issued, leaf: Issued, server: RevocationServer) -> None:
    whole = Crl(root, extensions=((freshest(server), False),))
    delta = Crl(root, extensions=((x509.DeltaCRLIndicator(1), True),))
    held = Withdrawn(reason=x509.ReasonFlags.certificate_hold)
    released = Withdrawn(reason=x509.ReasonFlags.remove_from_crl)
    serve(server, leaf, whole)
    missing = asked(leaf, root)
    assert (missing.hresult, "delta" in missing.detail) == (OFFLINE, True)
    for base, newer, expected in (
        (whole, delta, None),
        (whole, delta.with_entry(leaf.certificate, Withdrawn()), REVOKED),
        (whole.with_entry(leaf.certificate, held), delta, REVOKED),
        (whole.with_entry(leaf.certificate, held), delta.with_entry(leaf.certificate, released), None),
        (whole, Crl(root, extensions=((x509.DeltaCRLIndicator(2), True),)), OFFLINE),
        (whole, replace(delta, key=leaf), OFFLINE),
        (whole, replace(delta, next_update=NOW - timedelta(minutes=30)), OFFLINE),
        (whole, Crl(root), OFFLINE),
    ):
        serve(server, leaf, base)
        server.files["/delta"] = newer.signed()
        found = asked(leaf, root)
        assert found.hresult is expected, found.detail


def test_a_certificate_may_name_the_delta(root: Issued, server: RevocationServer) -> None:
    leaf = signer("Leaf", root, *asks(server.url), (freshest(server), False))
    server.responder, server.files = None, {"/crl": Crl(root).signed()}
    assert asked(leaf, root).hresult is OFFLINE
    server.files["/delta"] = Crl(root, extensions=((x509.DeltaCRLIndicator(1), True),)).signed()
    assert asked(leaf, root).hresult is None
