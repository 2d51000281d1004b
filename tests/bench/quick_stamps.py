"""A timestamp server that costs next to nothing, so that what is measured is the client: tokens from a template."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import threading
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.algorithms import algorithm_identifier, signature_identifier
from kspsign.certificates import der
from kspsign.certificates.parse import outline
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_reply import POLICY
from kspsign.model.values import DigestAlgorithm

_GENERALIZED_TIME, _GRANTED = 0x18, bytes.fromhex("3003020100")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\nContent-Length: %d\r\n\r\n"


class QuickStamps:
    """Answers at `url`, on a thread of its own, `latency` seconds after each request; SHA-256 only."""

    def __init__(self, authority: EmbeddedAuthority, latency: float) -> None:
        self.stamped = 0
        self._key, self._latency = authority.timestamp.key, latency
        certificate = authority.timestamp.certificate
        self._certificate = certificate.public_bytes(Encoding.DER)
        issuer = outline(self._certificate).issuer
        self._sid = der.sequence(issuer, der.integer(certificate.serial_number))
        digest = der.octet_string(hashlib.sha256(self._certificate).digest())
        named = der.sequence(der.sequence(der.sequence(digest)))  # ESSCertIDv2 (RFC 5035 §4), SHA-256 by default
        self._constant = (
            _attribute(oids.OID_CONTENT_TYPE, der.oid(oids.OID_TST_INFO)),
            _attribute(oids.OID_SIGNING_CERTIFICATE_V2, named),
        )
        self._loop = asyncio.new_event_loop()
        started = asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        server = self._loop.run_until_complete(started)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def reply(self, query: bytes) -> bytes:
        """The TimeStampResp (RFC 3161 §2.4.2) for a TimeStampReq."""
        fields = der.parse(query).children()
        nonce = next((field.der for field in fields[2:] if field.tag == der.INTEGER), b"")
        moment = datetime.now(UTC).strftime("%Y%m%d%H%M%SZ").encode()
        info = der.sequence(
            der.integer(1),
            der.oid(POLICY),
            fields[1].der,
            der.integer(secrets.randbits(64)),
            der.element(_GENERALIZED_TIME, moment),
            nonce,
        )
        said = _attribute(oids.OID_MESSAGE_DIGEST, der.octet_string(hashlib.sha256(info).digest()))
        attributes = der.set_of(*self._constant, said)
        algorithm = algorithm_identifier(DigestAlgorithm.SHA256)
        signer = der.sequence(
            der.integer(1),
            self._sid,
            algorithm,
            b"\xa0" + attributes[1:],
            signature_identifier(DigestAlgorithm.SHA256, is_ec=False),
            der.octet_string(self._key.sign(attributes, PKCS1v15(), hashes.SHA256())),
        )
        content = der.sequence(der.oid(oids.OID_TST_INFO), der.element(0xA0, der.octet_string(info)))
        signed = der.sequence(
            der.integer(3), der.set_of(algorithm), content, der.element(0xA0, self._certificate), der.set_of(signer)
        )
        self.stamped += 1
        return der.sequence(_GRANTED, der.sequence(der.oid(oids.OID_SIGNED_DATA), der.element(0xA0, signed)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            stays = True
            while stays:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                stays = _stays(head)
                length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                query = await reader.readexactly(length)
                await asyncio.sleep(self._latency)
                body = self.reply(query)
                writer.write(_HEAD % len(body) + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has what it wanted
        writer.close()


def _stays(head: bytes) -> bool:
    """Whether the connection stays open after the reply (RFC 9112 §9.3); some clients read until it ends."""
    if b"\r\nconnection: close" in head:
        return False
    return b" http/1.0\r\n" not in head or b"\r\nconnection: keep-alive" in head


def _attribute(kind: str, value: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.set_of(value))
