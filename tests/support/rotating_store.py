"""A key store of another package whose certificate is replaced after every signature, as a cloud service's may be.

It is installed the way any package is, by an entry point. Its folder holds everything: the issuers' keys, the leaf
that signs next, and a line for every signature that was made.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from pydantic import Field

from kspsign.certificates.identity import PublisherIdentity
from kspsign.certificates.parse import thumbprint_of
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import Capabilities, KeyStore, Surroundings, reference_part
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.settings.model import EngineName
from kspsign.settings.store_options import Metavar, StoreOptions
from support.certificates import rsa_key
from support.pki import CODE_SIGNING, Issued, ca, extended, issue, key_usage, signer
from support.places import ROOT

PUBLISHER = "Test publisher"
DURABLE = x509.ObjectIdentifier("1.3.6.1.4.1.311.97.582583348.60639889.931047247.527193355")
"""Two issuers take turns, so that this and the subject alone stay the same."""
STRANGER = x509.ObjectIdentifier("1.3.6.1.4.1.311.97.990309390.766961637.194916062.941502583")
"""Another subscriber's."""
KEYS = 2


class RotatingOptions(StoreOptions):
    """Where everything is."""

    rotating_folder: Annotated[Path | None, Metavar("FOLDER")] = Field(None, description="Folder of the test store.")


@dataclass(frozen=True)
class RotatingWorld:
    """What the service holds, seen from the test.

    `behaviour.json` has its ways: `restless` is how many times the certificate is replaced between its name and the
    signature and `strangers` lets another publisher's sign.
    """

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> Self:
        """A service with a root, two issuers and a few keys, whose first certificate is issued."""
        folder.mkdir(parents=True)
        begin, end = datetime.now(UTC) - timedelta(days=30), datetime.now(UTC) + timedelta(days=900)
        root = ca("Rotating root", key=rsa_key(2048), begin=begin, end=end)
        (folder / "root.pem").write_bytes(root.pem)
        for number in range(2):
            _save(folder / f"issuer-{number}", ca(f"Issuer {number}", root, key=rsa_key(2048), begin=begin, end=end))
        for number in range(KEYS):
            (folder / f"key-{number}.pem").write_bytes(_pem(rsa_key(2048)))
        world = cls(folder)
        world.behave()
        world.replace_certificate()
        return world

    @property
    def root(self) -> Path:
        """The root to trust."""
        return self.folder / "root.pem"

    @property
    def options(self) -> tuple[str, ...]:
        """What makes kspsign sign with it."""
        return ("--key-store", "rotating", "--rotating-folder", str(self.folder))

    @property
    def environment(self) -> dict[str, str]:
        """What makes kspsign find the package."""
        places = (self.folder.parent / "installed", ROOT / "tests")
        return {"PYTHONPATH": os.pathsep.join(map(str, places))}

    @property
    def spent(self) -> list[tuple[str, str]]:
        """Digest and thumbprint of every signature that was made, in hex."""
        path = self.folder / "signatures.txt"
        lines = path.read_text("ascii").splitlines() if path.exists() else []
        return [(digest, thumbprint) for digest, thumbprint in map(str.split, lines)]

    @property
    def opened(self) -> int:
        """How often the store was opened."""
        path = self.folder / "opened.txt"
        return len(path.read_text("ascii")) if path.exists() else 0

    def behave(self, **behaviour: object) -> None:
        """Change the service's ways; what is not named goes back to the ordinary."""
        (self.folder / "behaviour.json").write_text(json.dumps(behaviour), encoding="ascii")

    def behaviour(self, name: str) -> int:
        """One of its ways."""
        return int(json.loads((self.folder / "behaviour.json").read_text("ascii")).get(name, 0))

    def install(self) -> None:
        """Put the package's metadata where an installer would."""
        folder = self.folder.parent / "installed" / "rotating_store-1.0.dist-info"
        folder.mkdir(parents=True)
        metadata = "Metadata-Version: 2.1\nName: rotating-store\nVersion: 1.0\n"
        (folder / "METADATA").write_text(metadata, encoding="ascii")
        entry = "[kspsign.key_stores]\nrotating = support.rotating_store:RotatingStore\n"
        (folder / "entry_points.txt").write_text(entry, encoding="ascii")

    def strangers(self) -> None:
        """From now on another publisher's certificate comes with each signature."""
        self.behave(strangers=1)

    @property
    def identity_label(self) -> str:
        """What the publisher's certificates have in common, as a journal's name begins with it."""
        return PublisherIdentity.of(self.chain()[0]).label

    def signed_by_a_stranger(self, digest: bytes) -> dict[str, object]:
        """A journal's words for a signature of `digest` that holds, under a certificate of another publisher."""
        stranger = signer("Another publisher", key=rsa_key(2048))
        assert isinstance(stranger.key, rsa.RSAPrivateKey)
        value = stranger.key.sign(digest, PKCS1v15(), Prehashed(SHA256()))
        return {"signature": value.hex(), "chain": [stranger.der.hex()]}

    def replace_certificate(self, subject: str = PUBLISHER, identity: x509.ObjectIdentifier = DURABLE) -> None:
        """Issue the certificate that signs next: another key, another issuer than the last."""
        number = int((self.folder / "number.txt").read_text("ascii")) + 1 if (self.folder / "leaf.pem").exists() else 0
        issuer = _load(self.folder / f"issuer-{number % 2}")
        key = load_pem_private_key((self.folder / f"key-{number % KEYS}.pem").read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        end = datetime.now(UTC) + timedelta(days=3)
        leaf = issue(
            subject,
            issuer,
            extensions=(extended(CODE_SIGNING, identity), key_usage("digital_signature")),
            key=key,
            begin=end - timedelta(days=10),
            end=end,
        )
        _save(self.folder / "leaf", leaf)
        (self.folder / "number.txt").write_text(str(number), encoding="ascii")

    def chain(self) -> tuple[bytes, ...]:
        """The certificate that signs next with its issuers, DER."""
        leaf = _load(self.folder / "leaf").certificate
        issuers = (_load(self.folder / f"issuer-{number}").certificate for number in range(2))
        issuer = next(issuer for issuer in issuers if issuer.subject == leaf.issuer)
        root = x509.load_pem_x509_certificate(self.root.read_bytes())
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in (leaf, issuer, root))


class RotatingStore(KeyStore):
    """The service's client."""

    options = RotatingOptions
    engines: tuple[EngineName, ...] = ("native",)
    name: Final = "rotating"
    test_signing: Final = False
    capabilities: Final = Capabilities(fixed_certificate=False)

    def __init__(self, folder: Path) -> None:
        self._world, self._lock = RotatingWorld(folder), threading.Lock()
        with (folder / "opened.txt").open("a", encoding="ascii") as record:
            record.write("o")

    @classmethod
    def open(cls, options: RotatingOptions, _surroundings: Surroundings) -> Self:
        """The service in --rotating-folder."""
        assert options.rotating_folder is not None
        return cls(options.rotating_folder)

    @classmethod
    def reopen(cls, reference: Mapping[str, str], _options: RotatingOptions, _surroundings: Surroundings) -> Self:
        """The service that was synchronised."""
        return cls(Path(reference_part(reference, "folder")))

    @classmethod
    def examine(cls, _options: RotatingOptions, _surroundings: Surroundings) -> Iterator[Prerequisite]:
        """There is nothing to miss."""
        return iter(())

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificate that signs next, unless the service is restless."""
        with self._lock:
            return self._world.chain()

    def key_reference(self) -> dict[str, str]:
        """The folder."""
        return {"folder": str(self._world.folder)}

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """A signature with its chain; the next one is another certificate's."""
        assert algorithm is DigestAlgorithm.SHA256
        time.sleep(0.02)  # so that signatures overlap
        with self._lock:
            world = self._world
            if world.behaviour("restless") > 0:
                world.behave(restless=world.behaviour("restless") - 1)
                world.replace_certificate()
            if world.behaviour("strangers"):
                world.replace_certificate("Another publisher", STRANGER)
            chain, leaf = world.chain(), _load(world.folder / "leaf")
            assert isinstance(leaf.key, rsa.RSAPrivateKey)
            value = leaf.key.sign(digest, PKCS1v15(), Prehashed(SHA256()))
            thumbprint = thumbprint_of(leaf.der)
            with (world.folder / "signatures.txt").open("a", encoding="ascii") as record:
                record.write(f"{digest.hex()} {thumbprint}\n")
            world.replace_certificate()
        return RawSignature(algorithm, value, chain)


def _save(place: Path, issued: Issued) -> None:
    assert isinstance(issued.key, rsa.RSAPrivateKey)
    place.with_suffix(".pem").write_bytes(issued.pem)
    place.with_suffix(".key").write_bytes(_pem(issued.key))


def _load(place: Path) -> Issued:
    key = load_pem_private_key(place.with_suffix(".key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return Issued(x509.load_pem_x509_certificate(place.with_suffix(".pem").read_bytes()), key)


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
