"""The Artifact Signing key store: a certificate profile whose certificate and key the service renews every day.

Only digests leave this process. Which certificate signs is the service's choice at each signature, which comes with
its own chain: the leaf of three days is the one whose key verifies the value.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.parse import display_name, to_der
from kspsign.keys.attempts import Attempts
from kspsign.keys.azure_artifact_signing.answers import (
    ENDED,
    SUCCEEDED,
    UNKNOWN_OPERATION,
    OperationState,
    leaf_among,
    read_certificates,
)
from kspsign.keys.azure_artifact_signing.client import SigningClient
from kspsign.keys.azure_artifact_signing.errors import (
    ERRORS,
    FAILED_CODE,
    FAILED_REMEDY,
    UnusableAnswerError,
    failed_text,
    pending,
)
from kspsign.keys.azure_artifact_signing.identifier import operation_id
from kspsign.keys.azure_artifact_signing.metadata import SigningTarget, find_target, kept_target
from kspsign.keys.azure_artifact_signing.options import ArtifactSigningOptions
from kspsign.keys.azure_identity.bearer import BearerToken
from kspsign.keys.azure_identity.credential import open_credential
from kspsign.keys.azure_identity.transport import AzureTransport
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import Capabilities, ResumableKeyStore, Surroundings
from kspsign.model.errors import (
    ConfigurationError,
    OperationFailedError,
    PrerequisiteError,
    SigningError,
    TrustError,
)
from kspsign.model.values import DigestAlgorithm, RawSignature

SCOPE: Final = "https://codesigning.azure.net/.default"


class ArtifactSigningStore(ResumableKeyStore):
    """One certificate profile. Its methods may be called by many threads."""

    name: Final = "azure-artifact-signing"
    test_signing: Final = False
    capabilities: Final = Capabilities(fixed_certificate=False)

    def __init__(self, client: SigningClient, transport: AzureTransport) -> None:
        self._client, self._transport = client, transport
        self.alias = f"{client.profile.account}/{client.profile.profile}"

    @classmethod
    def open(cls, options: ArtifactSigningOptions, surroundings: Surroundings) -> Self:
        """The profile that the options or the metadata file name; nothing is sent yet.

        Raises ConfigurationError when a part is missing or wrong, or a thumbprint is given: it would be another one
        tomorrow.
        """
        if options.thumbprint is not None:
            raise ConfigurationError(
                "a certificate of Azure Artifact Signing lasts three days and is renewed every day: a thumbprint does "
                "not name it",
                remedy="Leave --thumbprint out; account and profile name the signer, and a policy's publisher: eku "
                "holds it to one subscriber.",
            )
        return cls._connect(find_target(options, surroundings.environment), options, surroundings)

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: ArtifactSigningOptions, surroundings: Surroundings) -> Self:
        """The profile that was synchronised, with the sign-in of this run. Raises as `open`."""
        return cls._connect(kept_target(reference, options, surroundings.environment), options, surroundings)

    @classmethod
    def _connect(cls, target: SigningTarget, options: ArtifactSigningOptions, surroundings: Surroundings) -> Self:
        with contextlib.ExitStack() as undone:
            transport = AzureTransport(surroundings.network, 1, surroundings.cancelled)
            undone.callback(transport.close)
            credential = open_credential(options, surroundings, transport, target.excluded)
            client = SigningClient(
                target.profile,
                BearerToken(credential, SCOPE),
                Attempts.of(surroundings, ERRORS),
                network=surroundings.network,
                connections=surroundings.jobs,
                correlation_id=target.correlation_id,
            )
            undone.pop_all()
        return cls(client, transport)

    @classmethod
    def examine(cls, options: ArtifactSigningOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Credentials, sign-in, host, profile and certificate, each by itself; asks for no signature."""
        from kspsign.keys.azure_artifact_signing.examine import (  # noqa: PLC0415 - for the doctor alone
            examine_artifact_signing,
        )

        return examine_artifact_signing(cls, options, surroundings)

    @property
    def endpoint(self) -> str:
        """The service's address."""
        return self._client.profile.endpoint

    def sign_in(self) -> str:
        """Get a token and say for what. Raises PrerequisiteError."""
        self._client.sign_in()
        return "Entra issued a token for codesigning.azure.net"

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificate that the next signature would come with, and its issuers; asked for now, free."""
        asked = f"the certificates of {self._client.profile}"
        try:
            certificates = read_certificates(self._client.chain())
            leaf = leaf_among(certificates)
            chain = ordered_chain(to_der(leaf), certificates)
        except UnusableAnswerError as unreadable:
            raise ERRORS.unusable(asked, str(unreadable)) from unreadable
        except TrustError as unreadable:
            raise ERRORS.unusable(asked, unreadable.message) from unreadable
        if not isinstance(leaf.public_key(), rsa.RSAPublicKey):
            raise PrerequisiteError(
                f"certificate {display_name(leaf)} of {self._client.profile} does not have an RSA key",
                code="UNSUPPORTED_KEY",
                remedy="Use a profile whose certificates have RSA keys, as all of Artifact Signing's had so far.",
            )
        return chain

    def key_reference(self) -> dict[str, str]:
        """Endpoint, account and profile."""
        profile = self._client.profile
        return {"endpoint": profile.endpoint, "account": profile.account, "profile": profile.profile}

    def begin(self, digest: bytes, algorithm: DigestAlgorithm) -> str | RawSignature:
        """Ask the service for a signature; see ResumableKeyStore."""
        if len(digest) != hashlib.new(algorithm).digest_size:
            raise SigningError(
                f"{len(digest)} bytes are not {algorithm} digest",
                code="SIGNING_FAILED",
                remedy="This is a defect of kspsign: report it.",
            )
        asked = self._asked(algorithm)
        begun = self._client.begin(digest, algorithm, asked)
        if begun.state.is_unfinished and begun.operation is not None:
            return begun.operation
        return self._signature(begun.state, digest, algorithm, begun.state.id)

    def finish(self, operation: str, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Fetch the signature of an operation; see ResumableKeyStore. A URL that is not this profile's is not asked."""
        if not self._client.profile.has(operation):
            raise OperationFailedError(
                f"the operation {operation!r} is not one of {self._client.profile}",
                code=FAILED_CODE,
                remedy=FAILED_REMEDY,
                gone=True,
            )
        state = self._client.wait(operation, self._asked(algorithm))
        return self._signature(state, digest, algorithm, operation_id(operation))

    def close(self) -> None:
        """Close the connections; calling it again does nothing."""
        self._client.close()
        self._transport.close()

    def _asked(self, algorithm: DigestAlgorithm) -> str:
        return f"a {algorithm} signature of {self.alias}"

    def _signature(
        self, state: OperationState, digest: bytes, algorithm: DigestAlgorithm, operation: str | None
    ) -> RawSignature:
        """The signature in the answer, with the chain of the certificate that it belongs to."""
        asked = self._asked(algorithm)
        if state.status != SUCCEEDED:
            raise self._failed(state, asked)
        try:
            value = state.signature()
            certificates = state.certificates() or read_certificates(self._client.chain())
            leaf = _signer(certificates, value, digest, algorithm)
            chain = ordered_chain(to_der(leaf), certificates)
        except (UnusableAnswerError, TrustError) as unreadable:
            raise OperationFailedError(
                f"the response to {asked} is not from Azure Artifact Signing: {unreadable}",
                code="ARTIFACT_SIGNING_ANSWER",
                remedy="It may have spent a signature: check the signing account's log, then run again.",
                gone=True,
            ) from unreadable
        except PrerequisiteError as unknown:
            raise pending(asked, unknown.message) from unknown
        return RawSignature(algorithm, value, chain, operation)

    def _failed(self, state: OperationState, asked: str) -> SigningError:
        if state.status in ENDED or state.status == UNKNOWN_OPERATION:
            return OperationFailedError(
                failed_text(asked, state.status, state.said),
                code=FAILED_CODE,
                remedy=FAILED_REMEDY,
                gone=state.status == UNKNOWN_OPERATION,
            )
        return pending(asked, f"its status is {state.status!r}, which this version does not know")


def _signer(
    certificates: tuple[x509.Certificate, ...], value: bytes, digest: bytes, algorithm: DigestAlgorithm
) -> x509.Certificate:
    """The certificate whose key made `value`; the end-entity one where none did, which whoever checks it refuses."""
    made = (
        certificate
        for certificate in certificates
        if signature_holds(certificate.public_key(), value, digest, algorithm, None)
    )
    return next(made, None) or leaf_among(certificates)
