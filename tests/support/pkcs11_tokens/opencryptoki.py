"""opencryptoki's software token, under a slot daemon of the test's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from support.certificates import rsa_key
from support.pkcs11_tokens.daemons import running, until
from support.pkcs11_tokens.mount_namespace import MountNamespace
from support.pkcs11_tokens.token import Publisher, TokenUnderTest, administer, installed

PIN, _FIRST_PIN, _SO_PIN, _FACTORY_SO_PIN = "31415926", "1111", "12345678", "87654321"
_STATE, _SLOT, _LABEL = "/var/lib/opencryptoki", "3", "soft token"
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - an empty one takes its place
_COUNTING: Final = ("USER_PIN_COUNT_LOW", "USER_PIN_FINAL_TRY", "USER_PIN_LOCKED")
"""The flags after one, two and three wrong PINs; a right one sets them back."""


@contextlib.contextmanager
def create(folder: Path) -> Iterator[TokenUnderTest]:
    """The token with a key and certificate, as long as the block runs."""
    publisher = Publisher.create(folder, rsa_key(2048))
    with MountNamespace("/run", _SHARED_MEMORY, _STATE) as namespace:
        inside = namespace.entering(folder)
        administer(*inside, "mkdir", "-p", "/run/lock/opencryptoki/swtok", f"{_STATE}/swtok/TOK_OBJ")
        with running(*inside, "/usr/sbin/pkcsslotd", "-f") as daemon:
            until(Path(f"/proc/{daemon.pid}/root/run/pkcsslotd.socket").exists, daemon)
            token = TokenUnderTest(
                installed("pkcs11/libopencryptoki.so", "opencryptoki"),
                _LABEL,
                ("--keypair-alias", "release"),
                PIN,
                publisher.root,
                entering=namespace.entering,
                wrong_pins=lambda: _wrong_pins(inside),
            )
            _fill(token, inside, publisher)
            yield token


def _wrong_pins(inside: tuple[str, ...]) -> int:
    token = administer(*inside, "/usr/sbin/pkcsconf", "-t", "-c", _SLOT)
    return max((count for count, flag in enumerate(_COUNTING, 1) if f"{flag}|" in token), default=0)


def _fill(token: TokenUnderTest, inside: tuple[str, ...], publisher: Publisher) -> None:
    """Initialise the token and put key and certificate on it. A first user PIN has to be changed before it is used."""
    configure = (*inside, "/usr/sbin/pkcsconf", "-c", _SLOT)
    administer(*configure, "-I", "-S", _FACTORY_SO_PIN, stdin=f"{_LABEL}\n")
    administer(*configure, "-P", "-S", _FACTORY_SO_PIN, "-n", _SO_PIN)
    administer(*configure, "-u", "-S", _SO_PIN, "-n", _FIRST_PIN)
    administer(*configure, "-p", "-U", _FIRST_PIN, "-n", PIN)
    write = (*inside, "pkcs11-tool", "--module", token.module, "--token-label", _LABEL, "--login", "--pin", PIN)
    for kind, file, label in (("privkey", publisher.key, "release"), ("cert", publisher.certificate, "certificate")):
        administer(*write, "--write-object", file, "--type", kind, "--label", label, "--id", "01")
