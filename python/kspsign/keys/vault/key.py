"""A key of the transit engine as Vault describes it: its versions, their public keys and certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from kspsign.certificates.choice import choose_newest, superseded
from kspsign.certificates.file import parse_certificates
from kspsign.certificates.parse import display_name
from kspsign.keys.vault.errors import UnusableReplyError
from kspsign.model.errors import PrerequisiteError

SigningPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class TransitVersion:
    """One version of a key; `certificates` are those that were set with it, the leaf first, () for none."""

    number: int
    public: SigningPublicKey
    certificates: tuple[x509.Certificate, ...] = ()

    def fits(self, leaf: x509.Certificate) -> bool:
        """Whether `leaf` certifies this version's public key."""
        try:
            return leaf.public_key() == self.public
        except (ValueError, UnsupportedAlgorithm):
            return False


@dataclass(frozen=True, slots=True)
class TransitKey:
    """`lowest` is the first version that Vault signs with."""

    name: str
    kind: str
    latest: int
    lowest: int
    versions: Mapping[int, TransitVersion]

    @classmethod
    def read(cls, name: str, answer: Mapping[str, Any]) -> Self:
        """From the answer to keys/NAME. Raises UnusableReplyError, PrerequisiteError for a key that can't sign."""
        data = answer.get("data")
        if not isinstance(data, dict) or not isinstance(data.get("keys"), dict):
            raise UnusableReplyError("it does not describe a transit key")
        kind = str(data.get("type"))
        if data.get("supports_signing") is False or not kind.startswith(("rsa-", "ecdsa-p")):
            raise PrerequisiteError(
                f"the transit key {name} is of type {kind}, which does not sign for Authenticode",
                code="UNSUPPORTED_KEY",
                remedy="Use a key of type rsa-3072 or rsa-4096 (ecdsa-p256, -p384 and -p521 also work).",
            )
        if data.get("soft_deleted") is True:
            raise PrerequisiteError(
                f"the transit key {name} is soft-deleted: it does not sign",
                code="VAULT_KEY_DISABLED",
                remedy="Restore it (keys/NAME/soft-delete-restore), or name another key.",
            )
        versions = dict(map(_version, data["keys"].items()))
        limits = [data.get(limit) for limit in ("min_encryption_version", "min_available_version")]
        lowest = max([1, *(limit for limit in limits if isinstance(limit, int))])
        latest = data.get("latest_version")
        return cls(name, kind, latest if isinstance(latest, int) else max(versions, default=0), lowest, versions)

    def checked(self, number: int) -> TransitVersion:
        """The version `number`. Raises PrerequisiteError when there is none, or Vault does not sign with it."""
        if number not in self.versions:
            raise PrerequisiteError(
                f"the transit key {self.name} has no version {number}; available: "
                f"{', '.join(map(str, sorted(self.versions))) or 'none'}",
                code="VAULT_KEY_VERSION",
                remedy="Correct --vault-key-version, or leave it out: the certificate's version is taken.",
            )
        if number < self.lowest:
            raise PrerequisiteError(
                f"version {number} of the transit key {self.name} is below the first that Vault signs with "
                f"({self.lowest}: min_encryption_version or min_available_version)",
                code="VAULT_KEY_VERSION",
                remedy="Use the certificate of a later version, or have min_encryption_version lowered.",
            )
        return self.versions[number]

    def version_of(self, leaf: x509.Certificate, wanted: int | None) -> TransitVersion:
        """The version that `leaf` certifies. Raises PrerequisiteError when there is none, or it is not `wanted`."""
        fitting = [number for number, version in self.versions.items() if version.fits(leaf)]
        named = [number for number in fitting if wanted in {None, number}]
        if not named:
            elsewhere = f"; it is of version {fitting[0]}" if fitting else ""
            which = f"version {wanted}" if wanted is not None else "no version"
            what = "is not the one of" if wanted is not None else "belongs to"
            raise PrerequisiteError(
                f"the certificate {display_name(leaf)} {what} {which} of the transit key {self.name}{elsewhere}",
                code="KEY_MISMATCH",
                remedy="Give the certificate that was issued for this key, or the name of its key (--keypair-alias).",
            )
        return self.checked(max(named))

    def chosen(self, wanted: int | None, now: datetime) -> tuple[TransitVersion, x509.Certificate, tuple[str, ...]]:
        """The version to sign with and its own certificate, and a remark on the choice: the newest valid one, or that
        of the version that is `wanted`. Raises PrerequisiteError."""
        with_leaf = {
            number: version
            for number, version in self.versions.items()
            if version.certificates and version.fits(version.certificates[0])
        }
        if wanted is not None:
            self.checked(wanted)
        leaves = {
            version.certificates[0]: version for number, version in sorted(with_leaf.items()) if number >= self.lowest
        }
        if not leaves or (wanted is not None and wanted not in with_leaf):
            raise PrerequisiteError(
                f"the transit key {self.name} has no certificate"
                + (f" for version {wanted}" if wanted is not None else ""),
                code="VAULT_NO_CERTIFICATE",
                remedy="Give the certificate file with --certificate, or set it in Vault: "
                "vault write MOUNT/keys/NAME/set-certificate certificate_chain=@chain.pem.",
            )
        where = f"transit key {self.name}"
        if wanted is not None:
            leaf, _remarks = choose_newest([with_leaf[wanted].certificates[0]], now, where)
            return with_leaf[wanted], leaf, superseded(leaf, list(leaves), now, where)
        leaf, remarks = choose_newest(list(leaves), now, where)
        return leaves[leaf], leaf, remarks


def others_of(versions: Sequence[TransitVersion]) -> tuple[x509.Certificate, ...]:
    """All certificates that are set with these versions."""
    return tuple(certificate for version in versions for certificate in version.certificates)


def _version(item: tuple[str, Any]) -> tuple[int, TransitVersion]:
    number, said = item
    pem = said.get("public_key") if isinstance(said, dict) else None
    try:
        public = load_pem_public_key(str(pem).encode())
        index = int(number)
    except (ValueError, UnsupportedAlgorithm) as broken:
        raise UnusableReplyError(f"version {number} of the key has no public key") from broken
    if not isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        raise UnusableReplyError(f"version {number} of the key is neither RSA nor EC")
    chain = said.get("certificate_chain")
    return index, TransitVersion(index, public, parse_certificates(chain.encode()) if isinstance(chain, str) else ())
