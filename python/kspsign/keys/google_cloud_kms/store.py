"""The Google Cloud KMS key store: a key version that signs digests in the service, its certificate from a file.

Only digests leave this process. The service keeps no certificates: the file's is proved against the version's public
key before a signature is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from kspsign.certificates.for_key import KeyCertificate, find_for_key
from kspsign.certificates.parse import thumbprint_of
from kspsign.keys.google_cloud_kms.address import find_key_name
from kspsign.keys.google_cloud_kms.client import GoogleKmsClient
from kspsign.keys.google_cloud_kms.key import VersionKey, check_state
from kspsign.keys.google_cloud_kms.options import GoogleKmsOptions
from kspsign.keys.issuers import complete_chain
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import Capabilities, KeyStore, Surroundings, notice_choice, reference_part
from kspsign.model.errors import PrerequisiteError
from kspsign.model.values import DigestAlgorithm, RawSignature

_MOST_VERSIONS = 20
_NEXT: Final = frozenset({"KEY_MISMATCH", "CERTIFICATE_NOT_VALID", "GOOGLE_KMS_USAGE"})
"""What is wrong with one version and may not be with an older one."""


@dataclass(frozen=True, slots=True)
class FoundVersion:
    """A version that can sign, its certificate, and what to say of the choice among several versions."""

    key: VersionKey
    certificate: KeyCertificate
    remarks: tuple[str, ...] = ()


class GoogleKmsStore(KeyStore):
    """One version of a key of Google Cloud KMS. Any thread may sign."""

    name: Final = "google-cloud-kms"
    test_signing: Final = False

    def __init__(self, client: GoogleKmsClient, key: VersionKey, chain: tuple[bytes, ...], place: Path) -> None:
        self._client, self._key, self._chain, self._place = client, key, chain, place
        self._capabilities = Capabilities(frozenset({key.digest}))
        self.alias = key.name.partition("/cryptoKeyVersions/")[0]

    @classmethod
    def open(cls, options: GoogleKmsOptions, surroundings: Surroundings) -> Self:
        """The key that --kms-key names, in the newest enabled version that --certificate has a certificate for.

        Raises ConfigurationError when an option is missing or wrong; PrerequisiteError when there is no sign-in, the
        service refuses or can't be reached, or no certificate fits.
        """
        place = options.certificate_place(cls.name, "Google Cloud KMS")
        with contextlib.ExitStack() as undone:
            client = GoogleKmsClient.connect(find_key_name(options), options, surroundings)
            undone.callback(client.close)
            found = find_version(client, place, options.thumbprint)
            chain = complete_chain(found.certificate.chain, options, surroundings)
            undone.pop_all()
        for remark in found.remarks:
            surroundings.notice(remark)
        notice_choice(surroundings.notice, found.certificate.remarks, superseded=found.certificate.superseded)
        return cls(client, found.key, chain, place)

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: GoogleKmsOptions, surroundings: Surroundings) -> Self:
        """The version and the very certificate that were synchronised, with this run's sign-in. Raises as `open`."""
        version, place = reference_part(reference, "version"), Path(reference_part(reference, "certificate"))
        leaf = reference_part(reference, "leaf")
        if options.kms_endpoint is None and "endpoint" in reference:
            options = options.model_copy(update={"kms_endpoint": reference["endpoint"]})
        with contextlib.ExitStack() as undone:
            client = GoogleKmsClient.connect(find_key_name(options, version), options, surroundings)
            undone.callback(client.close)
            found = find_version(client, place, leaf)
            undone.pop_all()
        return cls(client, found.key, found.certificate.chain, place)

    @classmethod
    def examine(cls, options: GoogleKmsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Credentials, sign-in, host, key and certificate, each by itself; asks for no signature."""
        from kspsign.keys.google_cloud_kms.examine import examine_google_kms  # noqa: PLC0415 - for the doctor alone

        return examine_google_kms(options, surroundings)

    @property
    def capabilities(self) -> Capabilities:
        """The digest of the version's algorithm."""
        return self._capabilities

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificate and its issuers, from the file or from where the CA says."""
        return self._chain

    def key_reference(self) -> dict[str, str]:
        """The version's resource name, where its certificate is and which, and the endpoint."""
        return {
            "version": self._key.name,
            "endpoint": self._client.name.endpoint,
            "certificate": str(self._place),
            "leaf": thumbprint_of(self._chain[0]),
        }

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest in the service; see KeyStore."""
        return self._client.sign(self._key, digest, algorithm)

    def close(self) -> None:
        """Close the connections; calling it again does nothing."""
        self._client.close()


def find_version(client: GoogleKmsClient, place: Path, thumbprint: str | None) -> FoundVersion:
    """The version that is named, else the newest enabled one that `place` has a certificate for.

    Raises PrerequisiteError, CancelledError.
    """
    if client.name.version is not None:
        state = client.state(client.name.resource)
        if state is not None:
            check_state(client.name.resource, state)
        return _with_certificate(client, client.name.resource, place, thumbprint)
    versions = client.enabled_versions()
    if not versions:
        raise PrerequisiteError(
            f"key {client.name.key} has no enabled version",
            code="GOOGLE_KMS_STATE",
            remedy="Enable a version of the key in Google Cloud, or create one.",
        )
    faults: list[PrerequisiteError] = []
    for version in versions[:_MOST_VERSIONS]:
        try:
            found = _with_certificate(client, version, place, thumbprint)
        except PrerequisiteError as unfit:
            if unfit.code not in _NEXT:
                raise
            faults.append(unfit)
            continue
        return FoundVersion(found.key, found.certificate, _remark(client.name.key, version, versions))
    raise faults[0]


def _with_certificate(client: GoogleKmsClient, version: str, place: Path, thumbprint: str | None) -> FoundVersion:
    key = client.public_key(version)
    return FoundVersion(key, find_for_key(place, key.der, f"key version {version}", thumbprint))


def _remark(key: str, chosen: str, versions: list[str]) -> tuple[str, ...]:
    if len(versions) == 1:
        return ()
    numbers = [version.rpartition("/")[2] for version in versions]
    why = "the newest one that the certificate file has a certificate for" if chosen != versions[0] else "the newest"
    return (f"{key} has the enabled versions {', '.join(numbers)}; {chosen.rpartition('/')[2]} is used, {why}",)
