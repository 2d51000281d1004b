"""A key store of the contract: its key and certificate behind a stand-in, and the situations it can be put into."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from support.certificates import rsa_key
from support.pki import Issued, ca, signer

NOW = datetime.now(UTC)
LIVES: dict[str, Any] = {"begin": NOW - timedelta(days=40), "end": NOW + timedelta(days=300)}
TRUNCATED = b'{"signature": "QUJ'
SLOW_SECONDS = 0.4


@cache
def _keys() -> tuple[rsa.RSAPrivateKey, ...]:
    return tuple(rsa_key(2048) for _number in range(3))


def contract_key(number: int) -> rsa.RSAPrivateKey:
    """The keys that all stores share: number 0 signs first, 1 is that of the renewed certificate, 2 a stranger's."""
    return _keys()[number]


@cache
def contract_root() -> Issued:
    """The root of every certificate that `certificate_of` issues."""
    return ca("Contract root", **LIVES)


@cache
def certificate_of(number: int) -> Issued:
    """The publisher's certificate for the key of that number: a later one for a higher number."""
    begin = LIVES["begin"] + timedelta(days=number)
    return signer("Contract publisher", contract_root(), key=contract_key(number), begin=begin, end=LIVES["end"])


class ContractStore:
    """One key store. A test puts it into one situation, runs kspsign with `options`, and compares `spent`.

    `options` begin with --key-store; `needs_timestamp` says that the store takes no --no-timestamp. `trust` are the
    roots to trust, `environment` is what a step maps. What a store does not override, it can't meet.
    """

    needs_timestamp = False

    def __init__(self, options: tuple[object, ...], trust: Path, environment: Mapping[str, str]) -> None:
        self.options, self.trust, self.environment = options, trust, environment

    @property
    def later_options(self) -> tuple[object, ...]:
        """What signing by a thumbprint alone still needs: the store is known."""
        return self.options[2:]

    @property
    def spent(self) -> int:
        """Signatures that the service made."""
        raise NotImplementedError

    def renew(self) -> None:
        """A new key with a new certificate of the same publisher, as whoever owns the key puts it there."""
        raise NotImplementedError

    def renew_between(self) -> None:
        """`renew` takes place after the first signature."""
        raise NotImplementedError

    def be_busy(self, times: int) -> None:
        """The service is too busy for the next `times` signatures."""
        raise NotImplementedError

    def lose(self) -> None:
        """The service signs, and its answer is lost."""
        raise NotImplementedError

    def refuse(self) -> None:
        """The identity may not sign."""
        raise NotImplementedError

    def use_wrong_key(self) -> None:
        """The service signs with another key than the certificate's."""
        raise NotImplementedError

    def be_slow(self) -> None:
        """A signature takes SLOW_SECONDS."""
        raise NotImplementedError

    def answer(self, body: bytes, content_type: str) -> None:
        """This is answered, with success, in the place of a signature."""
        raise NotImplementedError


class Intercepted(ContractStore):
    """A store whose stand-in has `interfere`, to answer in the service's place, and `hang_up`.

    `is_sign` says which of its requests asks for a signature; `response` makes an answer of status, content and
    headers, and `busy` is the service's own one.
    """

    is_sign: Callable[[Any], bool]
    response: Callable[..., Any]
    busy: Any

    def __init__(self, server: Any, options: tuple[object, ...], trust: Path, environment: Mapping[str, str]) -> None:
        super().__init__(options, trust, environment)
        self.server = server

    def at_signature(self, act: Callable[[int], Any]) -> None:
        """Let `act` see each request for a signature, counted from 0: what it returns is the answer; None lets it
        pass."""
        seen = [0]

        def interfere(request: Any) -> Any:
            if not self.is_sign(request):
                return None
            seen[0] += 1
            return act(seen[0] - 1)

        self.server.interfere = interfere

    def renew_between(self) -> None:
        self.at_signature(lambda number: self.renew() if number == 1 else None)

    def be_busy(self, times: int) -> None:
        self.at_signature(lambda number: self.busy if number < times else None)

    def lose(self) -> None:
        self.server.hang_up = self.is_sign

    def be_slow(self) -> None:
        self.at_signature(lambda _number: time.sleep(SLOW_SECONDS))

    def answer(self, body: bytes, content_type: str) -> None:
        self.at_signature(lambda _number: self.response(200, body, {"Content-Type": content_type}))
