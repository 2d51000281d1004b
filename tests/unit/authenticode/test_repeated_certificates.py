"""Azure Artifact Signing has the signer's certificate twice in each message; nothing else may come again."""

from __future__ import annotations

import pytest

from kspsign.authenticode.cms.read import read_signed_message
from kspsign.authenticode.cms.timestamp import check_reply, make_query
from kspsign.certificates import der
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_reply import respond
from kspsign.model.values import DigestAlgorithm
from support.pki import MOMENT, ca, issue
from support.tokens import make_token


def with_certificates(message: bytes, *certificates: bytes) -> bytes:
    """The message with these members of its certificates."""
    kind, wrapped = der.parse(message).children()
    fields = [child.der for child in wrapped.first().children()]
    fields[3] = der.element(0xA0, *certificates)
    return der.sequence(kind.der, der.element(0xA0, der.sequence(*fields)))


@pytest.mark.parametrize("extra", ["", "signer", "signer twice", "issuer"])
def test_the_signers_certificate_may_come_once_more(extra: str) -> None:
    root = ca("Root")
    between = ca("Between", root)
    unit = issue("Authority", between)
    token = make_token(unit, b"value", MOMENT)
    more = {"": (), "signer": (unit.der,), "signer twice": (unit.der, unit.der), "issuer": (between.der,)}[extra]
    message = read_signed_message(with_certificates(token, unit.der, between.der, *more))
    assert message.certificates == (unit.der, between.der)
    assert bool(message.refused) is (extra in {"signer twice", "issuer"})
    assert all("a repeated one" in said for said in message.refused)


def test_a_message_as_it_is_made_repeats_nothing(authority: EmbeddedAuthority) -> None:
    query = make_query(b"value", DigestAlgorithm.SHA256)
    token = check_reply(respond(query.der, authority, MOMENT), query, b"value")[0]
    assert read_signed_message(token).refused == ()
