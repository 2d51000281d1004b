"""What a man in the middle can add to a TimeStampResp without breaking its signature."""

from __future__ import annotations

from collections.abc import Callable

from kspsign.certificates import der
from support.pki import ca

_STRANGER = ca("Somebody else").der


def with_certificate(reply: bytes) -> bytes:
    """One certificate more among the token's."""
    return _changed(reply, lambda signed: [*signed[:3], _longer(signed[3], _STRANGER), *signed[4:]])


def with_crl(reply: bytes) -> bytes:
    """Bytes in the place of revocation lists."""
    hidden = der.element(0xA1, der.sequence(der.octet_string(bytes(1000))))
    return _changed(reply, lambda signed: [*signed[:4], hidden, *signed[4:]])


def with_unsigned_attribute(reply: bytes) -> bytes:
    """An attribute beside the signature."""
    attribute = der.sequence(der.oid("1.2.3.4"), der.set_of(der.octet_string(bytes(1000))))

    def changed(signed: list[bytes]) -> list[bytes]:
        (signer,) = der.parse(signed[-1], der.SET).children()
        return [*signed[:-1], der.element(der.SET, _longer(signer.der, der.element(0xA1, attribute)))]

    return _changed(reply, changed)


def _changed(reply: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The reply, whose SignedData's elements are what `change` makes of them."""
    status, token = der.parse(reply).children()
    kind, content = token.children()
    (signed,) = content.children()
    again = der.sequence(*change([child.der for child in signed.children()]))
    return der.sequence(status.der, der.sequence(kind.der, der.element(0xA0, again)))


def _longer(data: bytes, *more: bytes) -> bytes:
    """The element `data` with `more` at its end."""
    return der.element(data[0], *(child.der for child in der.parse(data, data[0]).children()), *more)
