"""The AWS KMS key store: a key that signs digests in the service, and its certificate from a file.

Only digests leave this process. The service keeps no certificates: the file's is proved against the key's public key
before a signature is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from kspsign.certificates.for_key import find_for_key
from kspsign.certificates.parse import thumbprint_of
from kspsign.keys.aws_kms.address import find_address
from kspsign.keys.aws_kms.client import KmsClient
from kspsign.keys.aws_kms.key import PublicKey
from kspsign.keys.aws_kms.options import AwsKmsOptions
from kspsign.keys.issuers import complete_chain
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import Capabilities, KeyStore, Surroundings, notice_choice, reference_part
from kspsign.model.values import DigestAlgorithm, RawSignature


class AwsKmsStore(KeyStore):
    """One key of AWS KMS, by its ARN: an alias that is moved meanwhile changes nothing. Any thread may sign."""

    name: Final = "aws-kms"
    test_signing: Final = False

    def __init__(self, client: KmsClient, key: PublicKey, chain: tuple[bytes, ...], place: Path) -> None:
        self._client, self._key, self._chain, self._place = client, key, chain, place
        self._capabilities = Capabilities(key.digests)
        self.alias = key.arn

    @classmethod
    def open(cls, options: AwsKmsOptions, surroundings: Surroundings) -> Self:
        """The key that --kms-key names, and the newest valid certificate of it in --certificate.

        Raises ConfigurationError when an option is missing or wrong; PrerequisiteError when there is no credential,
        the service refuses or can't be reached, or no certificate fits.
        """
        place = options.certificate_place(cls.name, "AWS KMS")
        with contextlib.ExitStack() as undone:
            client = KmsClient.connect(find_address(options, surroundings.environment), options, surroundings)
            undone.callback(client.close)
            key = client.usable_key()
            found = find_for_key(place, key.der, f"the KMS key {key.arn}", options.thumbprint)
            chain = complete_chain(found.chain, options, surroundings)
            undone.pop_all()
        notice_choice(surroundings.notice, found.remarks, superseded=found.superseded)
        return cls(client, key, chain, place)

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: AwsKmsOptions, surroundings: Surroundings) -> Self:
        """The key and the very certificate that were synchronised, with the sign-in of this run. Raises as `open`."""
        arn, place = reference_part(reference, "key"), Path(reference_part(reference, "certificate"))
        leaf = reference_part(reference, "leaf")
        own = reference.get("endpoint") if options.kms_endpoint is None else None
        if own is not None:
            options = options.model_copy(update={"kms_endpoint": own})
        with contextlib.ExitStack() as undone:
            client = KmsClient.connect(find_address(options, surroundings.environment, arn), options, surroundings)
            undone.callback(client.close)
            key = client.usable_key()
            found = find_for_key(place, key.der, f"the KMS key {arn}", leaf)
            undone.pop_all()
        return cls(client, key, found.chain, place)

    @classmethod
    def examine(cls, options: AwsKmsOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Credentials, sign-in, host, permission, key and certificate, each by itself; has no signature made."""
        from kspsign.keys.aws_kms.examine import examine_aws_kms  # noqa: PLC0415 - for the doctor alone

        return examine_aws_kms(options, surroundings)

    @property
    def capabilities(self) -> Capabilities:
        """With an RSA key every digest, with an EC key the one of its curve."""
        return self._capabilities

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificate and its issuers, from the file or from where the CA says."""
        return self._chain

    def key_reference(self) -> dict[str, str]:
        """The key's ARN, where its certificate is and which, and the endpoint."""
        return {
            "key": self._key.arn,
            "endpoint": self._client.address.endpoint,
            "certificate": str(self._place),
            "leaf": thumbprint_of(self._chain[0]),
        }

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest in the service; see KeyStore."""
        return self._client.sign(self._key, digest, algorithm)

    def close(self) -> None:
        """Close the connections; calling it again does nothing."""
        self._client.close()
