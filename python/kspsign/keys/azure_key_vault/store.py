"""The Azure Key Vault key store: a key in a vault or Managed HSM that signs digests over the service's own client.

Only digests leave this process. A vault's certificates hold the leaf; issuers come from its secret when that can
hold no key, else from where the CA says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.choice import choose_newest, superseded
from kspsign.certificates.file import read_certificate_file
from kspsign.certificates.parse import parse_certificate, to_der
from kspsign.keys.azure_key_vault.client import VaultClient
from kspsign.keys.azure_key_vault.identifier import Identifier
from kspsign.keys.azure_key_vault.options import AzureKeyVaultOptions
from kspsign.keys.issuers import complete_chain
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import (
    WRITTEN_DIGESTS,
    Capabilities,
    KeyStore,
    Surroundings,
    notice_choice,
    reference_part,
)
from kspsign.model.errors import ConfigurationError
from kspsign.model.values import DigestAlgorithm, RawSignature

_CURVE_DIGESTS = {256: DigestAlgorithm.SHA256, 384: DigestAlgorithm.SHA384, 521: DigestAlgorithm.SHA512}
"""The only digest that the service signs with each curve (ES256, ES384, ES512; RFC 7518 §3.4)."""


@dataclass(frozen=True, slots=True)
class FoundKey:
    """The leaf, certificates that may be its issuers, the key's identifier, and where the leaf is (vault or file).

    `remarks` say what there was to choose from, `superseded` that a newer one would sign too, `passed_over` which newer
    versions can't sign yet, and `listed` whether the identity may see which versions there are.
    """

    leaf: x509.Certificate
    others: tuple[x509.Certificate, ...]
    key: str
    place: dict[str, str]
    remarks: tuple[str, ...] = ()
    superseded: bool = False
    passed_over: tuple[str, ...] = ()
    listed: bool = True


class KeyVaultKeyStore(KeyStore):
    """One key of a vault or Managed HSM. `sign` may be called by many threads."""

    name: Final = "azure-key-vault"
    test_signing: Final = False

    def __init__(self, client: VaultClient, found: FoundKey, chain: tuple[bytes, ...]) -> None:
        self._client = client
        self._found = found
        self._chain = chain
        key = Identifier.parse(found.key)
        self.alias = f"{key.vault.removeprefix('https://')}/{key.name}"
        public = found.leaf.public_key()
        self._is_ec = isinstance(public, ec.EllipticCurvePublicKey)
        digests = WRITTEN_DIGESTS
        if isinstance(public, ec.EllipticCurvePublicKey):
            digests = frozenset({_CURVE_DIGESTS[public.key_size]} if public.key_size in _CURVE_DIGESTS else ())
        self._capabilities = Capabilities(digests)

    @classmethod
    def open(cls, options: AzureKeyVaultOptions, surroundings: Surroundings) -> Self:
        """Find the key and certificate that --key-identifier names.

        Raises ConfigurationError when it is missing or malformed; PrerequisiteError when the sign-in fails, the
        service refuses or can't be reached, or there is no valid certificate.
        """
        wanted = named_key(options)
        with contextlib.ExitStack() as undone:
            client = VaultClient.connect(wanted.vault, options, surroundings)
            undone.callback(client.close)
            found = find(client, wanted, options)
            client.use_key(found.key, found.leaf)
            chain = complete_chain(ordered_chain(to_der(found.leaf), found.others), options, surroundings)
            undone.pop_all()
        notice_choice(surroundings.notice, found.remarks, superseded=found.superseded)
        for remark in found.passed_over:
            surroundings.notice(remark)
        return cls(client, found, chain)

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: AzureKeyVaultOptions, surroundings: Surroundings) -> Self:
        """The key that `reference` names, with its certificate; raises PrerequisiteError as `open` does."""
        key = reference_part(reference, "key")
        with contextlib.ExitStack() as undone:
            client = VaultClient.connect(Identifier.parse(key).vault, options, surroundings)
            undone.callback(client.close)
            if "certificate" in reference:
                der, _others = read_certificate_file(Path(reference["certificate"]))
                place = {"certificate": reference["certificate"]}
            else:
                address = reference_part(reference, "certificate_id")
                der, place = client.certificate(Identifier.parse(address)).der, {"certificate_id": address}
            leaf = parse_certificate(der)
            client.use_key(key, leaf)
            undone.pop_all()
        return cls(client, FoundKey(leaf, (), key, place), (der,))

    @classmethod
    def examine(cls, options: AzureKeyVaultOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Credentials, host, sign-in, key and certificate, each by itself; asks for no signature."""
        from kspsign.keys.azure_key_vault.examine import examine_key_vault  # noqa: PLC0415 - for the doctor alone

        return examine_key_vault(options, surroundings)

    @property
    def capabilities(self) -> Capabilities:
        """With an RSA key every digest, with an EC key the one of its curve."""
        return self._capabilities

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificate and its issuers, from the vault, the file, or where the CA says."""
        return self._chain

    def key_reference(self) -> dict[str, str]:
        """The key's identifier with its version, and where its certificate is."""
        return {"key": self._found.key, **self._found.place}

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest in the vault. Raises SigningError, or CancelledError while waiting to be let in again."""
        return self._client.sign(digest, algorithm, is_ec=self._is_ec)

    def close(self) -> None:
        """Close the connections; calling it again does nothing."""
        self._client.close()


def named_key(options: AzureKeyVaultOptions) -> Identifier:
    """What --key-identifier names. Raises ConfigurationError when it is missing or malformed."""
    if options.key_identifier is None:
        raise ConfigurationError(
            "key store azure-key-vault needs the key or certificate",
            remedy="Give its URL with --key-identifier: https://VAULT.vault.azure.net/certificates/NAME.",
        )
    return Identifier.parse(options.key_identifier)


def find(client: VaultClient, wanted: Identifier, options: AzureKeyVaultOptions) -> FoundKey:
    """The certificate to sign with, and its key. Raises PrerequisiteError."""
    if options.certificate is not None:
        return _by_file(client, wanted, options.certificate.absolute())
    return _in_vault(client, wanted, datetime.now(UTC))


def _by_file(client: VaultClient, wanted: Identifier, file: Path) -> FoundKey:
    der, others = read_certificate_file(file)
    leaf, _nothing_to_say = choose_newest([parse_certificate(der)], datetime.now(UTC), str(file))
    return FoundKey(leaf, others, client.key_identifier(wanted), {"certificate": str(file)})


def _in_vault(client: VaultClient, wanted: Identifier, now: datetime) -> FoundKey:
    where = f"{wanted.vault} {wanted.name}"
    named = client.certificate(wanted) if wanted.version else None
    versions = client.certificate_versions(wanted, now)
    by_leaf = {parse_certificate(version.der): version for version in versions.found}
    if named is None:
        leaf, remarks = choose_newest(list(by_leaf), now, where)
    else:
        leaf, _nothing_to_say = choose_newest([parse_certificate(named.der)], now, where)
        remarks = superseded(leaf, list(by_leaf), now, where)
    chosen = named or by_leaf[leaf]
    older = named is not None and bool(remarks)
    place = {"certificate_id": chosen.identifier}
    others, idle = client.issuers(chosen), versions.passed_over
    return FoundKey(leaf, others, chosen.key, place, remarks, older, idle, versions.listed)
