"""The KeyLocker key store: keys in DigiCert's HSM, reached over REST from any system; only digests leave."""

from __future__ import annotations

import contextlib
import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.parse import display_name, parse_certificate
from kspsign.certificates.validity import EXPIRY_WARNING
from kspsign.keys.keylocker.client import KeyLockerClient, maybe_spent
from kspsign.keys.keylocker.credentials import Credentials, read_credentials
from kspsign.keys.keylocker.errors import unusable
from kspsign.keys.keylocker.lookup import (
    decoded,
    find_certificate,
    older_than,
    read_certificate,
    read_keypair,
)
from kspsign.keys.keylocker.options import KeyLockerOptions
from kspsign.keys.keylocker.records import CertificateRecord, KeypairRecord
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import Capabilities, KeyStore, Surroundings, reference_part, superseded_warning
from kspsign.keys.rest import request_id
from kspsign.model.errors import ConfigurationError, PrerequisiteError, SigningError, TrustError
from kspsign.model.report import RunWarning
from kspsign.model.values import DigestAlgorithm, RawSignature, iso_utc

MIN_RSA_BITS = 2048


class KeyLockerKeyStore(KeyStore):
    """One key pair of DigiCert KeyLocker or Software Trust Manager, with one certificate."""

    name: Final = "keylocker"
    test_signing: Final = False
    capabilities: Final = Capabilities()

    def __init__(self, client: KeyLockerClient, certificate: CertificateRecord, keypair: KeypairRecord) -> None:
        self._client = client
        self._certificate = certificate.id
        self._keypair = keypair
        self.alias = keypair.alias or keypair.id
        self._chain = chain_of(certificate)
        self._scheme = signature_scheme(self._chain[0])
        check_keypair(keypair, self._chain[0])

    @classmethod
    def open(cls, options: KeyLockerOptions, surroundings: Surroundings) -> Self:
        """Look up what --keypair-alias or --thumbprint names, with the credentials in SM_*; costs no signature.

        Raises ConfigurationError when nothing is named; PrerequisiteError when a credential is missing or refused,
        the service can't be reached, nothing is found, or what is found can't sign; CancelledError.
        """
        check_named(options)
        client = connect(surroundings)
        with contextlib.ExitStack() as undo:
            undo.callback(client.close)
            chosen, siblings = find_certificate(client, options)
            for remark in older_than(chosen, siblings):
                surroundings.notice(superseded_warning(remark))
            if len(siblings) > 1:
                others = "; ".join(str(sibling) for sibling in siblings if sibling is not chosen)
                name = chosen.keypair.alias or chosen.keypair.id
                surroundings.notice(
                    f"key pair {name} has {len(siblings)} certificates: {chosen} is taken, not {others}"
                )
            keypair = read_keypair(client, chosen.keypair.id)
            if keypair.key_type == "TEST":
                surroundings.notice(
                    f"key pair {keypair.alias or keypair.id} is of type TEST: no public machine trusts it"
                )
            store = cls(client, read_certificate(client, chosen.record.id), keypair)
            undo.pop_all()
        return store

    @classmethod
    def reopen(cls, reference: Mapping[str, str], _options: KeyLockerOptions, surroundings: Surroundings) -> Self:
        """The key pair and certificate that `reference` names, with the credentials of this run.

        Raises PrerequisiteError as `open` does, and when the credentials are another host's.
        """
        host = reference_part(reference, "host")
        keypair, certificate = (quote(reference_part(reference, part), safe="") for part in ("keypair", "certificate"))
        client = connect(surroundings, host)
        with contextlib.ExitStack() as undo:
            undo.callback(client.close)
            store = cls(client, read_certificate(client, certificate), read_keypair(client, keypair))
            undo.pop_all()
        return store

    @classmethod
    def examine(cls, options: KeyLockerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Credentials, host, sign-in, key pair and certificate, each by itself; asks for no signature."""
        from kspsign.keys.keylocker.examine import examine_keylocker  # noqa: PLC0415 - for the doctor alone

        return examine_keylocker(options, surroundings)

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificates as DER, leaf first, as far as the service has them."""
        return self._chain

    def key_reference(self) -> dict[str, str]:
        """The host, and the ids of key pair and certificate there."""
        return {"host": self._client.host, "keypair": self._keypair.id, "certificate": self._certificate}

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Have the service sign a digest; COSTS ONE SIGNATURE of the certificate's.

        Raises SigningError, with the code SIGNATURE_MAY_BE_SPENT when the answer was lost; CancelledError.
        """
        if len(digest) != hashlib.new(algorithm).digest_size:
            raise SigningError(
                f"{len(digest)} bytes are not a {algorithm} digest",
                code="SIGNING_FAILED",
                remedy="This is a defect of kspsign: report it.",
            )
        asked = f"a {algorithm} signature of key pair {self.alias}"
        account = {} if self._keypair.account is None else {"account": self._keypair.account}
        request = {**account, "sig_alg": f"{algorithm.upper()}with{self._scheme}", "hash": b64encode(digest).decode()}
        answer = self._client.spend(f"keypairs/{self._keypair.id}/sign", request, asked=asked)
        return RawSignature(algorithm, self._value(answer, asked), request_id=request_id(answer.get("id")))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _value(self, answer: dict[str, Any], asked: str) -> bytes:
        """The signature, which the service answers with or keeps under an id; the id costs nothing to ask for."""
        identifier = answer.get("id")
        try:
            if not isinstance(answer.get("signature"), str) and isinstance(identifier, str):
                answer = self._client.get(f"signatures/{quote(identifier, safe='')}", asked=f"signature {identifier}")
            value = answer.get("signature")
            if not isinstance(value, str):
                raise unusable(asked, "it holds no signature")
            return decoded(value, asked)
        except PrerequisiteError as lost:
            raise maybe_spent(asked, lost.message) from lost


def check_named(options: KeyLockerOptions) -> None:
    """Raise ConfigurationError when neither key pair nor certificate is named."""
    if options.keypair_alias is None and options.thumbprint is None:
        raise ConfigurationError(
            "key store keylocker needs the key pair's alias",
            remedy="Name it with --keypair-alias: alias or id of the key pair, or of its certificate.",
        )


def connect(surroundings: Surroundings, host: str | None = None) -> KeyLockerClient:
    """A client with the credentials in SM_*, which go to no other host than SM_HOST. Raises PrerequisiteError when one
    is missing, or when `host` is another one."""
    credentials = read_credentials(surroundings.credentials)
    if host not in {None, credentials.host}:
        raise PrerequisiteError(
            f"the certificate was synchronised from {host}, but SM_HOST is {credentials.host}",
            code="KEYLOCKER_HOST",
            remedy="Set SM_HOST and the credentials of that host, or run kspsign certsync again.",
        )
    end = credentials.client.end
    if end - datetime.now(UTC) < EXPIRY_WARNING:
        text = f"the client certificate (SM_CLIENT_CERT_FILE) expires on {iso_utc(end)}"
        remedy = "Create a new client certificate in DigiCert ONE and update the secrets in time."
        surroundings.notice(RunWarning("CLIENT_CERTIFICATE_ENDS", text, remedy))
    return open_client(credentials, surroundings)


def open_client(credentials: Credentials, surroundings: Surroundings) -> KeyLockerClient:
    """The client of these credentials; nothing is sent yet. Raises PrerequisiteError."""
    return KeyLockerClient(
        *(credentials, surroundings.cancelled.wait),
        network=surroundings.network,
        temp_folder=surroundings.temp_folder,
        attempts=surroundings.attempts,
    )


def chain_of(record: CertificateRecord) -> tuple[bytes, ...]:
    """The certificate and its issuers (DER), leaf first, in order; what does not belong to it is left out."""
    asked = f"certificate {record.id}"
    try:
        others = [parse_certificate(decoded(part.blob, asked)) for part in record.chain or ()]
        return ordered_chain(decoded(record.cert, asked), others)
    except TrustError as broken:
        raise unusable(asked, broken.message) from broken


def signature_scheme(leaf: bytes) -> str:
    """RSA or ECDSA, by the certificate's key. Raises PrerequisiteError for a key that Authenticode can't use."""
    key = parse_certificate(leaf).public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return "RSA"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)):
        return "ECDSA"
    raise PrerequisiteError(
        f"certificate {display_name(parse_certificate(leaf))} has a key that Authenticode can't use",
        code="UNSUPPORTED_KEY",
        remedy="Use a key pair with RSA of at least 2048 bits, or P-256, P-384 or P-521.",
    )


def check_keypair(keypair: KeypairRecord, leaf: bytes) -> None:
    """Refuse what the service would refuse, or what would waste a signature. Raises PrerequisiteError."""
    name = f"key pair {keypair.alias or keypair.id}"
    if (keypair.key_status or "ONLINE").upper() != "ONLINE":
        raise PrerequisiteError(
            f"{name} is {(keypair.key_status or '').upper()}",
            code="KEYPAIR_OFFLINE",
            remedy="Bring the key pair online in DigiCert ONE, or sign inside its release window.",
        )
    if keypair.is_signable_by_me is False:
        raise PrerequisiteError(
            f"this API key's user may not sign with {name}",
            code="KEYPAIR_RESTRICTED",
            remedy="Have the key pair's owner, or a KeyLocker lead, make this user its signer.",
        )
    spki = parse_certificate(leaf).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if keypair.public_key is not None and decoded(keypair.public_key, name) != spki:
        raise PrerequisiteError(
            f"{name} does not match the certificate {display_name(parse_certificate(leaf))}",
            code="KEY_MISMATCH",
            remedy="Name the key pair that the certificate was issued for.",
        )
