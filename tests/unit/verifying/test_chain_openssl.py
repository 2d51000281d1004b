"""Our verdict on timestamping chains beside `openssl verify -x509_strict -purpose timestampsign`, the real program.

(OpenSSL knows the code-signing purpose from 3.2 on only; the timestamping one is in every version.)
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from kspsign.verifying.chain import CertificatePurpose, validate_chain
from kspsign.verifying.roots import TrustAnchors
from support.pki import (
    CODE_SIGNING,
    MOMENT,
    TIMESTAMPING,
    Extension,
    Issued,
    ca,
    extended,
    issue,
    key_usage,
    name,
    new_key,
    write_pem,
)

UNKNOWN: Extension = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00"), True)
ACME = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme")]))
ONLY_ACME: Extension = (x509.NameConstraints([ACME], None), True)


@dataclass(frozen=True)
class Chain:
    root: Issued
    leaf: Issued
    between: list[Issued] = field(default_factory=list)


def timestamper(issuer: Issued, *more: Extension, subject: x509.Name | str = "Timestamper", **sides: object) -> Issued:
    own = (extended(TIMESTAMPING, critical=True), key_usage("digital_signature"), *more)
    return issue(subject, issuer, extensions=own, **sides)  # type: ignore[arg-type]


def through(middle: Issued, root: Issued, **sides: object) -> Chain:
    return Chain(root, timestamper(middle, **sides), [middle])  # type: ignore[arg-type]


def cross_certified() -> Chain:
    old, new = ca("Old root"), ca("New root")
    middle = ca("Middle", new)
    return Chain(old, timestamper(middle), [ca("New root", old, key=new.key), middle])


def issued_by_a_leaf() -> Chain:
    root = ca("Root")
    leaf = timestamper(root)
    return Chain(root, timestamper(leaf, subject="Below"), [leaf])


def with_root(make: Callable[[Issued], Chain]) -> Callable[[], Chain]:
    return lambda: make(ca("Root"))


CASES: dict[str, tuple[Callable[[], Chain], bool]] = {
    "whole": (with_root(lambda root: through(ca("Middle", root), root)), True),
    "cross-certified": (cross_certified, True),
    "missing intermediate": (with_root(lambda root: Chain(root, timestamper(ca("Middle", root)))), False),
    "unknown root": (with_root(lambda root: Chain(ca("Other"), timestamper(root), [root])), False),
    "forged": (with_root(lambda root: through(ca("Middle", root, signing_key=new_key()), root)), False),
    "expired": (
        with_root(lambda root: through(ca("Middle", root, end=MOMENT - timedelta(seconds=1)), root)),
        False,
    ),
    "expires now": (
        with_root(lambda root: through(ca("Middle", root, end=MOMENT + timedelta(seconds=1)), root)),
        True,
    ),
    "no CA": (issued_by_a_leaf, False),
    "path length kept": (lambda: through_two(limit=1), True),
    "path length broken": (lambda: through_two(limit=0), False),
    "unknown critical extension": (with_root(lambda root: Chain(root, timestamper(root, UNKNOWN))), False),
    "permitted name": (
        with_root(lambda root: through(ca("Middle", root, ONLY_ACME), root, subject=name("S", "Acme"))),
        True,
    ),
    "name outside": (
        with_root(lambda root: through(ca("Middle", root, ONLY_ACME), root, subject=name("S", "Other"))),
        False,
    ),
    "leaf for more": (
        with_root(lambda root: Chain(root, issue("S", root, extensions=[extended(TIMESTAMPING, CODE_SIGNING)]))),
        False,
    ),
}


def through_two(limit: int) -> Chain:
    root = ca("Root")
    upper = ca("Upper", root, path_length=limit)
    lower = ca("Lower", upper)
    return Chain(root, timestamper(lower), [upper, lower])


@pytest.mark.parametrize("case", CASES)
def test_openssl_says_the_same(case: str, tmp_path: Path) -> None:
    make, accepted = CASES[case]
    chain = make()
    assert we_verify(chain) is accepted
    assert openssl_verifies(chain, tmp_path) is accepted


def test_a_ca_for_something_else_is_refused_by_windows_rule_but_not_by_openssl(tmp_path: Path) -> None:
    root = ca("Root")
    chain = through(ca("Middle", root, extended(CODE_SIGNING)), root)
    assert not we_verify(chain)
    assert openssl_verifies(chain, tmp_path)


def we_verify(chain: Chain) -> bool:
    anchors = TrustAnchors.from_certificates([chain.root.der])
    others = [issued.der for issued in chain.between]
    return not validate_chain(chain.leaf.der, others, anchors, CertificatePurpose.TIMESTAMPING, MOMENT).faults


def openssl_verifies(chain: Chain, folder: Path) -> bool:
    command = ["openssl", "verify", "-x509_strict", "-purpose", "timestampsign", "-no-CApath", "-no-CAstore"]
    command += ["-attime", str(int(MOMENT.timestamp()))]
    command += ["-CAfile", str(write_pem(folder / "root.pem", chain.root))]
    if chain.between:
        command += ["-untrusted", str(write_pem(folder / "between.pem", *chain.between))]
    command.append(str(write_pem(folder / "leaf.pem", chain.leaf)))
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
