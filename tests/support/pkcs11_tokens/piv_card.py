"""A PIV card in memory (NIST SP 800-73-4, part 2), as far as signing needs it: keys, certificates, a PIN that locks.

It speaks the protocol of vsmartcard's reader vpcd: a message is a length of two bytes and that many bytes, either an
APDU or one of four commands of one byte.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from support.pki import Issued

AUTHENTICATION, SIGNATURE = 0x9A, 0x9C
"""The keys (§5.1): one login is enough for 9A; 9C wants the PIN for each signature."""
_CERTIFICATES: Final = {AUTHENTICATION: b"\x5f\xc1\x05", SIGNATURE: b"\x5f\xc1\x0a"}
_CHUID, _DISCOVERY = b"\x5f\xc1\x02", b"\x7e"
_AID = bytes.fromhex("A000000308000010000100")
_SELECTED = bytes.fromhex("61114F0600001000010079074F05A000000308")
_RSA_2048, _P256 = 0x07, 0x11
_ATR = bytes.fromhex("3B800181")  # T=1, no historical bytes
_GET_ATR = 4
_CHAINED = 0x10  # in the class of all parts of a command but the last
_SELECT = 0xA4

_OK, _NOT_FOUND, _LOCKED, _NO_PIN = b"\x90\x00", b"\x6a\x82", b"\x69\x83", b"\x69\x82"
_WRONG_DATA, _UNKNOWN, _CONDITIONS = b"\x6a\x80", b"\x6d\x00", b"\x69\x85"


def tlv(tag: bytes, value: bytes) -> bytes:
    """BER-TLV with the shortest length."""
    size = len(value)
    length = bytes([size]) if size < 0x80 else bytes([0x81, size]) if size < 0x100 else b"\x82" + size.to_bytes(2)
    return tag + length + value


class PivCard:
    """A card with `keys` by their references, and `pin`, which `tries` wrong ones lock.

    `presented` counts the PINs that were presented, `signed` the signatures; `after_signing` is called before each
    is handed out.
    """

    def __init__(self, pin: str, keys: Mapping[int, Issued], tries: int = 3) -> None:
        self._pin = pin.encode().ljust(8, b"\xff")
        self._keys = keys
        self._tries = self.tries_left = tries
        self._objects = {
            _CERTIFICATES[reference]: tlv(b"\x53", tlv(b"\x70", issued.der) + b"\x71\x01\x00\xfe\x00")
            for reference, issued in keys.items()
        }
        holder = tlv(b"\x30", bytes(25)) + tlv(b"\x34", bytes(range(16))) + tlv(b"\x35", b"20991231")
        self._objects[_CHUID] = tlv(b"\x53", holder + b"\x3e\x00\xfe\x00")
        self._objects[_DISCOVERY] = tlv(b"\x7e", tlv(b"\x4f", _AID) + tlv(b"\x5f\x2f", b"\x40\x00"))
        self.presented = self.signed = 0
        self.after_signing: Callable[[], None] = lambda: None
        self.reset()

    @property
    def wrong_pins(self) -> int:
        """How many wrong ones were presented since the last right one."""
        return self._tries - self.tries_left

    def reset(self) -> None:
        """As after power-up: not selected, nobody logged in."""
        self._selected = self._logged_in = self._entitled = False
        self._command = self._rest = b""
        self._most = 256

    def answer(self, apdu: bytes) -> bytes:
        """The card's response to a command, with its status word."""
        body = apdu[5 : 5 + apdu[4]] if len(apdu) > 5 else b""
        expected = apdu[5 + len(body) :] if body else apdu[4:]
        self._most = (expected[0] or 256) if expected else 256
        if apdu[0] & _CHAINED:
            self._command += body
            return _OK
        body, self._command = self._command + body, b""
        return self._perform(apdu, body) if self._selected or apdu[1] == _SELECT else _CONDITIONS

    def _perform(self, apdu: bytes, body: bytes) -> bytes:
        match apdu[1], apdu[2], apdu[3]:
            case (instruction, _, _) if instruction == _SELECT:
                self._selected = _AID.startswith(body) and len(body) >= 5
                return _SELECTED + _OK if self._selected else _NOT_FOUND
            case 0xC0, _, _:  # GET RESPONSE
                return self._part(self._rest)
            case 0xCB, _, _:  # GET DATA
                return self._part(self._objects.get(_parse(body).get(0x5C, b"")))
            case 0x20, _, 0x80:
                return self._verify(body)
            case 0x87, algorithm, reference:
                return self._authenticate(algorithm, reference, _parse(_parse(body).get(0x7C, b"")))
            case _:
                return _UNKNOWN

    def _part(self, whole: bytes | None) -> bytes:
        """As much as was asked for, and how much is left."""
        if whole is None:
            return _NOT_FOUND
        part, self._rest = whole[: self._most], whole[self._most :]
        return part + (b"\x61" + bytes([min(len(self._rest), 255)]) if self._rest else _OK)

    def _verify(self, presented: bytes) -> bytes:
        """VERIFY (§3.2.1); without a PIN it asks whether one is needed."""
        if self.tries_left and not presented and self._logged_in:
            return _OK
        if self.tries_left and presented:
            self.presented += 1
            self._logged_in = self._entitled = presented == self._pin
            self.tries_left = self._tries if self._logged_in else self.tries_left - 1
            if self._logged_in:
                return _OK
        return bytes([0x63, 0xC0 | self.tries_left]) if self.tries_left else _LOCKED

    def _authenticate(self, algorithm: int, reference: int, template: Mapping[int, bytes]) -> bytes:
        """GENERAL AUTHENTICATE (§3.2.4): one signature over the challenge."""
        challenge = template.get(0x81, b"")
        if reference not in self._keys or template.get(0x82) != b"":
            return _WRONG_DATA
        if not (self._entitled if reference == SIGNATURE else self._logged_in):
            return _NO_PIN
        self._entitled = False
        key = self._keys[reference].key
        if isinstance(key, rsa.RSAPrivateKey) and algorithm == _RSA_2048 and len(challenge) == 256:
            value = _private_operation(key.private_numbers(), int.from_bytes(challenge)).to_bytes(256)
        elif isinstance(key, ec.EllipticCurvePrivateKey) and algorithm == _P256 and len(challenge) == 32:
            value = key.sign(challenge, ec.ECDSA(Prehashed(hashes.SHA256())))
        else:
            return _WRONG_DATA
        self.signed += 1
        self.after_signing()
        return self._part(tlv(b"\x7c", tlv(b"\x82", value)))


def _private_operation(key: rsa.RSAPrivateNumbers, message: int) -> int:
    """RSASP1 by the Chinese remainder theorem (RFC 8017, §5.2.1)."""
    first, second = pow(message, key.dmp1, key.p), pow(message, key.dmq1, key.q)
    return second + key.q * ((first - second) * key.iqmp % key.p)


def _parse(data: bytes) -> dict[int, bytes]:
    """The values of a sequence of BER-TLV with tags of one byte."""
    found = {}
    while len(data) >= 2:
        tag, size, at = data[0], data[1], 2
        if size & 0x80:
            at += size & 0x7F
            size = int.from_bytes(data[2:at])
        found[tag] = data[at : at + size]
        data = data[at + size :]
    return found


class InsertedCard:
    """A card in the reader that listens at `port` of this machine; `powered` is set once the reader has seen it."""

    def __init__(self, card: PivCard, port: int) -> None:
        self._card = card
        self.powered = threading.Event()
        self._reader = socket.create_connection(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def pull_out(self) -> None:
        """Take the card away; the reader sees that there is none."""
        with contextlib.suppress(OSError):  # the reader is gone
            self._reader.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with self._reader, contextlib.suppress(OSError), self._reader.makefile("rb") as messages:
            while size := messages.read(2):
                # vpcd sends length and message apart: what follows waits until this is acknowledged
                self._reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                self._handle(messages.read(int.from_bytes(size)))

    def _handle(self, message: bytes) -> None:
        if len(message) > 1:
            answer = self._card.answer(message)
        elif message[0] == _GET_ATR:
            answer = _ATR
        else:  # power off, power on, reset: nobody waits for an answer
            self._card.reset()
            self.powered.set()
            return
        self._reader.sendall(len(answer).to_bytes(2) + answer)
