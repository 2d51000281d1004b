"""The eSigner stand-in as another client of the Cloud Signature Consortium's API meets it: pyHanko's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pyhanko.sign.general import SigningError
from pyhanko.sign.signers.csc_signer import (
    CSCAuthorizationInfo,
    CSCAuthorizationManager,
    CSCServiceSessionInfo,
    CSCSigner,
    fetch_certs_in_csc_credential,
)

from support.esigner.server import PRODUCTION, ESigner
from support.esigner.world import CLIENT_IDS, CREDENTIAL, PASSWORD, USER, password_at
from support.pki import new_key

CONTENTS = [b"first", b"second", b"third"]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ESigner]:
    with ESigner(tmp_path) as running:
        yield running


class Authorizing(CSCAuthorizationManager):
    """Asks for the authorisation of each batch, with the one-time password that it is given."""

    def __init__(self, session: aiohttp.ClientSession, otp: str, *about: Any) -> None:
        super().__init__(*about)
        self.session, self.otp = session, otp

    async def authorize_signature(self, hash_b64s: list[str]) -> CSCAuthorizationInfo:
        request = self.format_csc_auth_request(hash_b64s=hash_b64s, otp=self.otp)
        url = self.csc_session_info.endpoint_url("credentials/authorize")
        async with self.session.post(url, headers=self.auth_headers, json=request) as response:
            if response.status != 200:
                raise SigningError((await response.json())["error_description"])
            info: CSCAuthorizationInfo = self.parse_csc_auth_response(await response.json())
            return info


def signed(service: ESigner, otp: str) -> list[bytes]:
    """The signatures of CONTENTS, in one batch."""

    async def sign(session: aiohttp.ClientSession) -> list[bytes]:
        form = {
            "client_id": CLIENT_IDS[PRODUCTION[0]],
            "grant_type": "password",
            "username": USER,
            "password": PASSWORD,
        }
        async with session.post(f"{service.endpoint}/oauth2/token", data=form, raise_for_status=True) as answered:
            token = (await answered.json())["access_token"]
        about = CSCServiceSessionInfo(service.endpoint, CREDENTIAL, oauth_token=token, api_ver="v0")
        credential = await fetch_certs_in_csc_credential(session, about)
        assert credential.signing_cert.dump() == service.account.only.chain[0].der
        assert [issuer.dump() for issuer in credential.chain] == [
            issuer.der for issuer in service.account.only.chain[1:]
        ]
        signer = CSCSigner(session, Authorizing(session, otp, about, credential), batch_size=len(CONTENTS))
        return list(await asyncio.gather(*(signer.async_sign_raw(content, "sha256") for content in CONTENTS)))

    return asyncio.run(_in_session(sign))


async def _in_session(work: Callable[[aiohttp.ClientSession], Awaitable[list[bytes]]]) -> list[bytes]:
    async with aiohttp.ClientSession() as session:
        return await work(session)


@pytest.mark.parametrize("key", [None, new_key()], ids=["rsa", "p256"])
def test_a_batch_of_signatures_for_one_password(key: ec.EllipticCurvePrivateKey | None, service: ESigner) -> None:
    held = service.account.add(CREDENTIAL, key)
    values = signed(service, password_at(service.account.totp, int(time.time() // 30)))
    assert (service.account.authorized, len(service.account.windows)) == ([3], 1)
    public = held.chain[0].certificate.public_key()

    def verify(value: bytes, content: bytes) -> None:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(value, content, padding.PKCS1v15(), hashes.SHA256())
        else:
            assert isinstance(public, ec.EllipticCurvePublicKey)
            public.verify(value, content, ec.ECDSA(hashes.SHA256()))

    for value, content in zip(values, CONTENTS, strict=True):
        verify(value, content)
        with pytest.raises(InvalidSignature):
            verify(value, content + b"!")


def test_a_password_that_is_wrong_or_used_is_refused(service: ESigner) -> None:
    right = password_at(service.account.totp, int(time.time() // 30))
    signed(service, right)
    for otp in (right, "000000" if right != "000000" else "000001", ""):
        with pytest.raises(SigningError):
            signed(service, otp)
    assert len(service.account.signed) == len(CONTENTS)
    with pytest.raises(SigningError):  # after three wrong ones
        signed(service, password_at(service.account.totp, int(time.time() // 30) + 1))
