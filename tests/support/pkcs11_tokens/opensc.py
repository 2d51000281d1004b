"""OpenSC with a virtual PIV card in the virtual reader of vsmartcard, under a PC/SC daemon of the test's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.pkcs11_tokens.daemons import free_pair, is_listening, running, until
from support.pkcs11_tokens.mount_namespace import MountNamespace
from support.pkcs11_tokens.piv_card import AUTHENTICATION, InsertedCard, PivCard
from support.pkcs11_tokens.token import Publisher, TokenUnderTest, installed

PIN = "271828"
_DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")


@dataclass(frozen=True)
class CardInReader:
    """A card in a reader that nobody else sees, until it is pulled out."""

    card: PivCard
    pull_out: Callable[[], None]
    namespace: MountNamespace

    def token(self, reference: int, publisher: Publisher) -> TokenUnderTest:
        """What the card is to OpenSC: its label is the name in the certificate, which a renewal may change."""
        return TokenUnderTest(
            installed("opensc-pkcs11.so", "opensc-pkcs11"),
            "Token*",
            ("--pkcs11-key-id", "01" if reference == AUTHENTICATION else "02"),
            PIN,
            publisher.root,
            entering=self.namespace.entering,
            wrong_pins=lambda: self.card.wrong_pins,
            signed=lambda: self.card.signed,
        )


@contextlib.contextmanager
def inserted(keys: Mapping[int, Publisher], folder: Path) -> Iterator[CardInReader]:
    """A new card with these keys in a reader, with a PC/SC daemon of its own, as long as the block runs.

    In a reader that had another card just before, a daemon that looks twice a second may take it for that one.
    """
    port = free_pair()  # the driver has a second slot at the next one
    configuration = folder / "vpcd.conf"
    configuration.write_text(
        f'FRIENDLYNAME "Virtual PCD"\nDEVICENAME /dev/null:0x{port:X}\nLIBPATH {_DRIVER}\nCHANNELID 0x{port:X}\n',
        encoding="ascii",
    )
    card = PivCard(PIN, {reference: publisher.issued for reference, publisher in keys.items()})
    with MountNamespace("/run") as namespace:
        inside = namespace.entering(folder)
        with running(*inside, "/usr/sbin/pcscd", "--foreground", "--config", configuration) as daemon:
            until(lambda: is_listening(port), daemon)
            connected = InsertedCard(card, port)
            until(connected.powered.is_set, daemon)
            try:
                yield CardInReader(card, connected.pull_out, namespace)
            finally:
                connected.pull_out()
