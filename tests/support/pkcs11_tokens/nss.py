"""NSS's software token, which wants the place of its database as text of C_Initialize."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from support.certificates import rsa_key
from support.pkcs11_tokens.token import Publisher, TokenUnderTest, administer, installed

PIN = "nss-planted-4711"
_QUICK = {"NSS_MAX_MP_PBE_ITERATION_COUNT": "100"}
"""Otherwise every use of the key derives the one that it is encrypted with in 10,000 rounds."""


def create(folder: Path) -> TokenUnderTest:
    """A database of certutil's with a key from a PKCS#12 file."""
    key = rsa_key(2048)
    publisher = Publisher.create(folder, key)
    database, pin, bag = folder / "nss", folder / "pin.txt", folder / "key.p12"
    database.mkdir()
    pin.write_text(f"{PIN}\n", encoding="ascii")
    certificate = publisher.issued.certificate
    bag.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"release key", key, certificate, None, BestAvailableEncryption(b"transport")
        )
    )
    administer("certutil", "-N", "-d", f"sql:{database}", "-f", pin, environment=_QUICK)
    administer("pk12util", "-i", bag, "-d", f"sql:{database}", "-k", pin, "-W", "transport", environment=_QUICK)
    parameters = f"configdir='sql:{database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=readOnly"
    return TokenUnderTest(
        installed("libsoftokn3.so", "libnss3"),
        "NSS Certificate DB",
        ("--keypair-alias", "release key"),
        PIN,
        publisher.root,
        _QUICK,
        more=("--pkcs11-parameters", parameters),
    )
