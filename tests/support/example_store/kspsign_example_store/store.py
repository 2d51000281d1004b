"""One key in an encrypted PEM file, with its certificates in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from kspsign.keys.prerequisites import CREDENTIALS, KEY, Prerequisite, examine_certificate, failed, passed
from kspsign.keys.protocol import Capabilities, KeyStore, Surroundings, reference_part
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm, RawSignature

from .options import ExampleOptions


class ExampleStore(KeyStore):
    """One key of a file."""

    options: Final = ExampleOptions
    engines: Final = ("native",)
    title: Final = "Example (PEM files)"
    name: Final = "example"
    test_signing: Final = False
    capabilities: Final = Capabilities(costly=False)

    def __init__(self, key_file: Path, certificate_file: Path, options: ExampleOptions) -> None:
        self._files = {"key": str(key_file.absolute()), "certificate": str(certificate_file.absolute())}
        passphrase = options.example_passphrase.get_secret_value().encode() if options.example_passphrase else None
        try:
            self._key = load_pem_private_key(key_file.read_bytes(), passphrase)
            certificates = x509.load_pem_x509_certificates(certificate_file.read_bytes())
        except (OSError, ValueError, TypeError) as unusable:
            raise PrerequisiteError(
                f"the example store can't be opened: {unusable}",
                code="EXAMPLE_STORE",
                remedy="Correct --example-key, --certificate and --example-passphrase-env.",
            ) from unusable
        self._chain = tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)

    @classmethod
    def open(cls, options: ExampleOptions, surroundings: Surroundings) -> Self:
        if options.example_key is None or options.certificate is None:
            raise ConfigurationError(
                "key store example needs its files", remedy="Name them with --example-key and --certificate."
            )
        store = cls(options.example_key, options.certificate, options)
        surroundings.notice(f"the example store holds {options.keypair_alias or 'a key without alias'}")
        return store

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: ExampleOptions, _surroundings: Surroundings) -> Self:
        key, certificate = (Path(reference_part(reference, name)) for name in ("key", "certificate"))
        return cls(key, certificate, options)

    @classmethod
    def examine(cls, options: ExampleOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        try:
            store = cls.open(options, surroundings)
        except KspSignError as error:
            yield failed(CREDENTIALS, error)
            return
        yield passed(CREDENTIALS, "the key opens with its passphrase")
        yield passed(KEY, f"is in {options.example_key}")
        yield examine_certificate(store.certificate_chain())

    def certificate_chain(self) -> tuple[bytes, ...]:
        return self._chain

    def key_reference(self) -> dict[str, str]:
        return self._files

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        known: dict[str, hashes.HashAlgorithm] = {
            "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()
        }  # fmt: skip
        prehashed = Prehashed(known[algorithm.value])
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return RawSignature(algorithm, self._key.sign(digest, ec.ECDSA(prehashed)))
        assert isinstance(self._key, rsa.RSAPrivateKey)
        return RawSignature(algorithm, self._key.sign(digest, PKCS1v15(), prehashed))
