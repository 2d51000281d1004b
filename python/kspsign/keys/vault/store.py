"""The Vault key store: one version of a key of the transit engine, in HashiCorp Vault or OpenBao.

Only digests leave this process. The version is pinned: a rotation of the key does not change what signs, until the
new version has its certificate. The certificate is proved against the version's public key before anything is signed.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.choice import choose_newest
from kspsign.certificates.file import read_certificate_file
from kspsign.certificates.parse import parse_certificate, to_der
from kspsign.keys.attempts import Attempts
from kspsign.keys.issuers import complete_chain
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import (
    Capabilities,
    KeyStore,
    Surroundings,
    notice_choice,
    reference_part,
    unreadable_reference,
)
from kspsign.keys.rest import Silence, request_id, retry_after
from kspsign.keys.vault.errors import ANSWER, ERRORS, UnusableReplyError, refusal
from kspsign.keys.vault.key import TransitKey, others_of
from kspsign.keys.vault.options import VaultOptions
from kspsign.keys.vault.server import VaultServer, checked_path, parse_address, read_object, waiting
from kspsign.keys.vault.token import VaultToken, find_sign_in
from kspsign.model.errors import (
    ConfigurationError,
    OperationFailedError,
    SigningError,
    ThrottledError,
)
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.network.exchange import HttpAnswer

_HASHES: Final = {
    DigestAlgorithm.SHA256: "sha2-256",
    DigestAlgorithm.SHA384: "sha2-384",
    DigestAlgorithm.SHA512: "sha2-512",
}
_SIGNATURE = re.compile(r"[\w-]+:v(\d{1,9}):([A-Za-z0-9+/=]+)")
_BUSY = frozenset({412, 429, 472, 473, 503})
_GATEWAY = frozenset({502, 504})


@dataclass(frozen=True, slots=True)
class Transit:
    """Where the key is: Vault with a token for it, the engine's path, the key's name."""

    token: VaultToken
    mount: str
    name: str

    @property
    def server(self) -> VaultServer:
        """Vault itself."""
        return self.token.server

    def read(self) -> TransitKey:
        """What Vault says of the key; free. Raises PrerequisiteError, CancelledError."""
        asked = f"the transit key {self.name}"
        token = self.token.get()
        path = f"{self.mount}/keys/{self.name}"
        try:
            return TransitKey.read(self.name, self.server.request("GET", path, None, token, asked))
        except UnusableReplyError as wrong:
            raise ERRORS.unusable(asked, str(wrong)) from wrong


@dataclass(frozen=True, slots=True)
class Found:
    """The version that signs, its certificate, certificates that may be issuers, and where the leaf is from.

    `remarks` say what there was to choose from, `superseded` that a newer certificate would sign too.
    """

    version: int
    leaf: x509.Certificate
    others: tuple[x509.Certificate, ...]
    place: dict[str, str]
    remarks: tuple[str, ...] = ()
    superseded: bool = False

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificate and its issuers, as far as they were with it."""
        return ordered_chain(to_der(self.leaf), self.others)


class TransitStore(KeyStore):
    """One version of one key. `sign` may be called by many threads."""

    name: Final = "vault"
    test_signing: Final = False
    capabilities: Final = Capabilities()

    def __init__(self, transit: Transit, found: Found, chain: tuple[bytes, ...]) -> None:
        self._transit, self._found, self._chain = transit, found, chain
        self.alias = transit.name

    @classmethod
    def open(cls, options: VaultOptions, surroundings: Surroundings) -> Self:
        """Sign in, and find the version that the certificate is of.

        Raises ConfigurationError when an option is missing or wrong; PrerequisiteError when the sign-in fails, Vault
        refuses or can't be reached, or no valid certificate fits the key.
        """
        with contextlib.ExitStack() as undone:
            transit = open_transit(options, surroundings)
            undone.callback(transit.server.close)
            found = find(transit.read(), options)
            chain = complete_chain(found.chain, options, surroundings)
            undone.pop_all()
        notice_choice(surroundings.notice, found.remarks, superseded=found.superseded)
        return cls(transit, found, chain)

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: VaultOptions, surroundings: Surroundings) -> Self:
        """The version that `reference` names, with the sign-in of this run. Raises as `open` does."""
        kept = {part: reference_part(reference, part) for part in ("address", "mount", "name", "version")}
        if not kept["version"].isdecimal():
            raise unreadable_reference("version")
        given = options.model_copy(
            update={
                "vault_address": kept["address"],
                "vault_namespace": reference.get("namespace"),
                "vault_mount": kept["mount"],
                "keypair_alias": kept["name"],
                "vault_key_version": int(kept["version"]),
                "certificate": Path(reference["certificate"]) if "certificate" in reference else None,
            }
        )
        with contextlib.ExitStack() as undone:
            transit = open_transit(given, surroundings)
            undone.callback(transit.server.close)
            found = find(transit.read(), given)
            undone.pop_all()
        return cls(transit, found, (to_der(found.leaf),))

    @classmethod
    def examine(cls, options: VaultOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Credentials, host, sign-in, key and certificate, each by itself; asks for no signature."""
        from kspsign.keys.vault.examine import examine_vault  # noqa: PLC0415 - for the doctor alone

        return examine_vault(options, surroundings)

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificate and its issuers, from Vault, the file, or where the CA says."""
        return self._chain

    def key_reference(self) -> dict[str, str]:
        """Vault, key and version, and the certificate's file if it is from one; no token."""
        server = self._transit.server
        return {
            "address": server.address,
            "mount": self._transit.mount,
            "name": self._transit.name,
            "version": str(self._found.version),
            **({"namespace": server.namespace} if server.namespace else {}),
            **self._found.place,
        }

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest in Vault; see KeyStore. It is sent again with a new token, or after no connection."""
        asked = f"a {algorithm} signature of {self._transit.name}"
        body = {
            "input": base64.b64encode(digest).decode(),
            "prehashed": True,
            "signature_algorithm": "pkcs1v15",
            "marshaling_algorithm": "asn1",
            "key_version": self._found.version,
        }
        path = f"{self._transit.mount}/sign/{self._transit.name}/{_HASHES[algorithm]}"
        answer = self._transit.server.attempts.once(lambda attempt: self._sent(path, body, attempt), asked)
        if answer.status == 200:
            return RawSignature(algorithm, self._value(answer, asked), request_id=_request_id(answer))
        if answer.status in _GATEWAY:
            said = f"a gateway answered HTTP {answer.status} in Vault's place"
            raise ERRORS.maybe_spent(asked, said, timed_out=answer.status == 504)
        refused = refusal(answer.status, answer.body, asked, SigningError, waiting(answer))
        if answer.status in _BUSY:
            raise ThrottledError.of(refused, retry_after(answer))
        raise refused

    def close(self) -> None:
        """Close the connections; calling it again does nothing."""
        self._transit.server.close()

    def _sent(self, path: str, body: Mapping[str, Any], attempt: int) -> HttpAnswer | Silence:
        """Raises PrerequisiteError when the sign-in fails, CancelledError."""
        token = self._transit.token.get()
        answer = self._transit.server.send("POST", path, body, token, attempt)
        ended = isinstance(answer, HttpAnswer) and answer.status == 403
        if ended and self._transit.token.replaced(token):
            return self._transit.server.send("POST", path, body, self._transit.token.get(), attempt + 1)
        return answer

    def _value(self, answer: HttpAnswer, asked: str) -> bytes:
        """The bare value in vault:vN:BASE64, where N is the version that was asked for."""
        try:
            data = read_object(answer.body).get("data")
            text = data.get("signature") if isinstance(data, dict) else None
            parts = _SIGNATURE.fullmatch(text) if isinstance(text, str) else None
            if parts is None:
                raise ERRORS.maybe_spent(asked, "what came holds no signature")
            value = base64.b64decode(parts[2], validate=True)
        except (UnusableReplyError, binascii.Error) as wrong:
            raise ERRORS.maybe_spent(asked, f"what came is not Vault's: {wrong}") from wrong
        if int(parts[1]) != self._found.version:
            raise OperationFailedError(
                f"Vault signed with version {parts[1]} of {self._transit.name} instead of {self._found.version}",
                code=ANSWER,
                remedy="Look at what stands between the agent and Vault, and into Vault's audit log.",
                gone=True,
            )
        return value


def _request_id(answer: HttpAnswer) -> str | None:
    """What the audit log calls the request (`request.id`)."""
    return request_id(read_object(answer.body).get("request_id"))


def open_transit(options: VaultOptions, surroundings: Surroundings) -> Transit:
    """Where the options say that the key is; nothing is asked yet. Raises ConfigurationError."""
    environment = surroundings.environment
    address = options.vault_address or (
        environment["VAULT_ADDR"].get_secret_value() if "VAULT_ADDR" in environment else ""
    )
    if not address:
        raise ConfigurationError(
            "key store vault needs Vault's URL", remedy="Give it with --vault-address, or as the variable VAULT_ADDR."
        )
    if options.keypair_alias is None:
        raise ConfigurationError(
            "key store vault needs the name of the transit key", remedy="Give it with --keypair-alias."
        )
    namespace = options.vault_namespace
    if namespace is None and "VAULT_NAMESPACE" in environment:
        namespace = environment["VAULT_NAMESPACE"].get_secret_value()
    parsed = parse_address(address)
    mount = checked_path("--vault-mount", options.vault_mount)
    name = checked_path("--keypair-alias", options.keypair_alias)
    sign_in = find_sign_in(options, surroundings, parsed)
    server = VaultServer(
        parsed,
        checked_path("--vault-namespace", namespace) if namespace else None,
        Attempts.of(surroundings, ERRORS),
        network=surroundings.network,
        connections=surroundings.jobs,
    )
    return Transit(VaultToken(server, sign_in), mount, name)


def find(key: TransitKey, options: VaultOptions) -> Found:
    """The version to sign with and its certificate, proved against each other. Raises PrerequisiteError."""
    now = datetime.now(UTC)
    if options.certificate is not None:
        file = options.certificate.absolute()
        der, others = read_certificate_file(file)
        leaf, _nothing_to_say = choose_newest([parse_certificate(der)], now, str(file))
        version = key.version_of(leaf, options.vault_key_version)
        return Found(version.number, leaf, others, {"certificate": str(file)})
    version, leaf, remarks = key.chosen(options.vault_key_version, now)
    older = options.vault_key_version is not None and bool(remarks)
    return Found(version.number, leaf, others_of([*key.versions.values()]), {}, remarks, superseded=older)
