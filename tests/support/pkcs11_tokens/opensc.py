"""OpenSC with a virtual PIV card in the virtual reader of vsmartcard, under a PC/SC daemon of the test's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.pkcs11_tokens.daemons import free_pair, is_listening, running, until
from support.pkcs11_tokens.mount_namespace import MountNamespace
from support.pkcs11_tokens.piv_card import AUTHENTICATION, InsertedCard, PivCard
from support.pkcs11_tokens.token import Publisher, TokenUnderTest, installed

PIN = "271828"
_DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")


@dataclass(frozen=True)
class Reader:
    """A reader of this machine without a card, and the namespace in which its daemon is reached."""

    namespace: MountNamespace
    port: int

    @contextlib.contextmanager
    def inserted(self, keys: Mapping[int, Publisher]) -> Iterator[tuple[PivCard, InsertedCard]]:
        """A new card with these keys, in the reader until the end of the block."""
        card = PivCard(PIN, {reference: publisher.issued for reference, publisher in keys.items()})
        inside = InsertedCard(card, self.port)
        try:
            until(inside.powered.is_set)
            yield card, inside
        finally:
            inside.pull_out()

    def token(self, card: PivCard, reference: int, publisher: Publisher) -> TokenUnderTest:
        """What the card is to OpenSC: its label is the name in the certificate, which a renewal may change."""
        return TokenUnderTest(
            installed("opensc-pkcs11.so", "opensc-pkcs11"),
            "Token*",
            ("--pkcs11-key-id", "01" if reference == AUTHENTICATION else "02"),
            PIN,
            publisher.root,
            entering=self.namespace.entering,
            wrong_pins=lambda: card.wrong_pins,
            signed=lambda: card.signed,
        )


@contextlib.contextmanager
def reader(folder: Path) -> Iterator[Reader]:
    """A PC/SC daemon with one virtual reader, both of which nobody else sees."""
    port = free_pair()  # the driver has a second slot at the next one
    configuration = folder / "vpcd.conf"
    configuration.write_text(
        f'FRIENDLYNAME "Virtual PCD"\nDEVICENAME /dev/null:0x{port:X}\nLIBPATH {_DRIVER}\nCHANNELID 0x{port:X}\n',
        encoding="ascii",
    )
    with MountNamespace("/run") as namespace:
        inside = namespace.entering(folder)
        with running(*inside, "/usr/sbin/pcscd", "--foreground", "--config", configuration) as daemon:
            until(lambda: is_listening(port), daemon)
            yield Reader(namespace, port)
