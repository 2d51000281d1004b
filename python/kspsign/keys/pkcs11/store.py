"""The PKCS#11 key store: a key pair on a token (HSM, smart card, cloud service) through its vendor's module.

The token signs DigestInfo (CKM_RSA_PKCS, RFC 8017 §9.2) or a bare hash (CKM_ECDSA); only these leave the process.
One login is valid for all sessions; each signature in progress has its own session.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kspsign.authenticode.cms.algorithms import algorithm_identifier
from kspsign.certificates import der
from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.parse import parse_certificate, to_der
from kspsign.keys.issuers import complete_chain
from kspsign.keys.pkcs11 import cryptoki
from kspsign.keys.pkcs11.certificates import certificates_for
from kspsign.keys.pkcs11.cryptoki import Token
from kspsign.keys.pkcs11.errors import CryptokiError, at_opening, at_signing
from kspsign.keys.pkcs11.isolated import IsolatedModule, module_environment
from kspsign.keys.pkcs11.options import Pkcs11Options
from kspsign.keys.pkcs11.sessions import Login, SessionPool
from kspsign.keys.pkcs11.token import Address, check_key, find_key, find_token
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import Capabilities, KeyStore, Surroundings, reference_part
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.programs.client_certificate_file import with_client_certificate_file


@dataclass(frozen=True, slots=True)
class _Certificates:
    """The chain (DER, leaf first), and the file it came from if it is not the token's."""

    chain: tuple[bytes, ...]
    file: Path | None


class Pkcs11KeyStore(KeyStore):
    """One key pair of a token. `sign` may be called by many threads."""

    name: Final = "pkcs11"
    test_signing: Final = False

    def __init__(
        self,
        address: Address,
        module: IsolatedModule,
        held: contextlib.ExitStack,
        token: Token,
        pool: SessionPool,
        certificates: _Certificates,
    ) -> None:
        self._address = address
        self._held = held
        self._token = token.label
        self._pool = pool
        self._certificates = certificates
        alone = pool.asks_each_time or not module.threads
        self._capabilities = Capabilities(concurrent=1 if alone else token.most_sessions)

    @classmethod
    def open(cls, options: Pkcs11Options, surroundings: Surroundings) -> Self:
        """Load --pkcs11-module, log in, find key and certificates.

        Raises ConfigurationError when an option is missing; PrerequisiteError when the module can't be loaded, the
        token or key is not there, the PIN is refused, or no certificate is valid.
        """
        address = Address.of_options(options)
        check_named(options)
        file = options.certificate.absolute() if options.certificate else None
        return cls._connect(address, options, surroundings, file, None)

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: Pkcs11Options, surroundings: Surroundings) -> Self:
        """The key that `reference` names, with the certificate that was chosen; raises PrerequisiteError."""
        file = Path(reference["certificate"]) if "certificate" in reference else None
        leaf = reference_part(reference, "leaf")
        return cls._connect(Address.of_reference(reference), options, surroundings, file, leaf)

    @classmethod
    def _connect(
        cls,
        address: Address,
        options: Pkcs11Options,
        surroundings: Surroundings,
        file: Path | None,
        sha256: str | None,
    ) -> Self:
        pin = None if options.pkcs11_pin is None else options.pkcs11_pin.get_secret_value()
        with contextlib.ExitStack() as undone:
            module = undone.enter_context(open_module(options, address, surroundings))
            try:
                token = find_token(module, address)
                login = Login.of(token, pin)
                if login.at_pad:
                    surroundings.notice(f"token {token.label!r} wants its PIN at its reader's PIN pad")
                pool = SessionPool(module, token.slot, login, lambda session: find_key(module, session, address))
                with pool.session() as (session, key):
                    check_key(module, token, session, key, address)
                    leaf, remarks, others = certificates_for(
                        module, session, key, address, file=file, sha256=sha256, now=datetime.now(UTC)
                    )
            except CryptokiError as refused:
                raise at_opening(refused, address.module) from refused
            chain = ordered_chain(to_der(leaf), others)
            if sha256 is None:
                chain = complete_chain(chain, options, surroundings)
            held = undone.pop_all()
        for remark in remarks:
            surroundings.notice(remark)
        return cls(address, module, held, token, pool, _Certificates(chain, file))

    @classmethod
    def examine(cls, options: Pkcs11Options, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Module, token, PIN, key and certificate, each by itself. The PIN is tried once, as a run does."""
        from kspsign.keys.pkcs11.examine import examine_pkcs11  # noqa: PLC0415 - for the doctor alone

        return examine_pkcs11(options, surroundings)

    @property
    def capabilities(self) -> Capabilities:
        """Every digest; as many signatures at a time as the token has sessions, one if the module is for one thread."""
        return self._capabilities

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificate for the key and its issuers, from the token, the file, or where the CA says."""
        return self._certificates.chain

    def key_reference(self) -> dict[str, str]:
        """Module, token and key, which certificate, and its file if it is not on the token; no PIN."""
        return self._address.as_reference(self._certificates.chain[0], self._certificates.file)

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest in a session of its own. Raises SigningError."""
        public = parse_certificate(self._certificates.chain[0]).public_key()
        try:
            if isinstance(public, rsa.RSAPublicKey):
                value = self._pool.sign(cryptoki.CKM_RSA_PKCS, digest_info(digest, algorithm))
            else:
                value = ecdsa_der(self._pool.sign(cryptoki.CKM_ECDSA, _leftmost(digest, public)))
        except PrerequisiteError as refused:
            raise at_signing(refused, self._address.module, self._token) from refused
        return RawSignature(algorithm, value)

    def close(self) -> None:
        """Close the sessions and the module; calling it again does nothing."""
        self._pool.close()
        self._held.close()


@contextlib.contextmanager
def open_module(options: Pkcs11Options, address: Address, surroundings: Surroundings) -> Iterator[IsolatedModule]:
    """The module in its process, until the end of the block. Raises PrerequisiteError, with the module's name."""
    pin = None if options.pkcs11_pin is None else options.pkcs11_pin.get_secret_value()
    # Modules such as DigiCert's take their own credentials from variables, which a task's step hands over apart, and
    # read the client certificate from a file as long as they work.
    with with_client_certificate_file(surroundings) as given:
        named = {name: value.get_secret_value() for name, value in given.items()}
        environment = module_environment(named, pin)
        try:
            module = IsolatedModule(
                address.module,
                options.pkcs11_parameters,
                environment,
                pin,
                options.pkcs11_timeout,
                surroundings.cancelled,
            )
        except CryptokiError as refused:
            raise at_opening(refused, address.module) from refused
        with contextlib.closing(module):
            yield module


def check_named(options: Pkcs11Options) -> None:
    """Raise ConfigurationError when no key is named."""
    if options.keypair_alias is None and options.pkcs11_key_id is None:
        raise ConfigurationError(
            "key store pkcs11 needs the key pair",
            remedy="Name it with --keypair-alias (its label) or --pkcs11-key-id (its CKA_ID in hex).",
        )


def digest_info(digest: bytes, algorithm: DigestAlgorithm) -> bytes:
    """The DigestInfo that PKCS#1 v1.5 pads (RFC 8017 §9.2 note 1)."""
    return der.sequence(algorithm_identifier(algorithm), der.octet_string(digest))


def ecdsa_der(raw: bytes) -> bytes:
    """r and s side by side (PKCS #11, JWS) as Ecdsa-Sig-Value (RFC 3279 §2.2.3)."""
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))


def _leftmost(digest: bytes, public: object) -> bytes:
    """As much of `digest` as ECDSA uses (FIPS 186-5 §6.4.1): many tokens refuse more than the curve's length."""
    size = (public.key_size + 7) // 8 if isinstance(public, ec.EllipticCurvePublicKey) else len(digest)
    return digest[:size]
