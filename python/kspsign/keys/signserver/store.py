"""The SignServer key store: a PlainSigner worker that signs hashes, whose certificate comes with each signature.

Only digests leave this process. SignServer shows a worker's certificate with a signature alone, so a file says before
the first one whose it is; a certificate that was renewed since is the same publisher's, or the signature is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from kspsign.authenticode.cms.algorithms import Scheme, signature_holds
from kspsign.certificates.aia import with_issuers
from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.for_key import KeyCertificate, find_end_entity
from kspsign.certificates.parse import parse_certificate, thumbprint_of, to_der
from kspsign.certificates.public_key import check_signing_key
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import Capabilities, KeyStore, Surroundings, reference_part, superseded_warning
from kspsign.keys.signserver.client import SignServerClient, WorkerAddress
from kspsign.keys.signserver.credentials import SignServerCredentials
from kspsign.keys.signserver.errors import ALGORITHM, maybe_spent
from kspsign.keys.signserver.options import SignServerOptions
from kspsign.model.errors import ConfigurationError, OperationFailedError, PrerequisiteError, TrustError
from kspsign.model.values import DigestAlgorithm, RawSignature

_CERTIFICATES_KEPT = 8


class SignServerStore(KeyStore):
    """One worker. Any thread may sign."""

    name: Final = "signserver"
    test_signing: Final = False
    capabilities: Final = Capabilities(fixed_certificate=False)

    def __init__(
        self, client: SignServerClient, found: KeyCertificate, place: Path, issuers: Surroundings | None
    ) -> None:
        """`issuers` is where missing issuers are fetched to and through, None: never."""
        self._client, self._found, self._place, self._issuers = client, found, place, issuers
        self._chains: SingleFlight[tuple[bytes, ...]] = SingleFlight(keep=_CERTIFICATES_KEPT)
        self.alias = client.address.worker

    @classmethod
    def open(cls, options: SignServerOptions, surroundings: Surroundings) -> Self:
        """The worker that the options name, and the certificate in their file; nothing is sent to SignServer yet.

        Raises ConfigurationError when an option is missing or wrong, PrerequisiteError when no certificate can be used.
        """
        place = certificate_place(options)
        address = WorkerAddress.find(options)
        store = cls._connect(address, place, options.thumbprint, options, surroundings)
        for remark in store._found.remarks:  # noqa: SLF001 - of this class
            surroundings.notice(superseded_warning(remark) if store._found.superseded else remark)  # noqa: SLF001
        return store

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: SignServerOptions, surroundings: Surroundings) -> Self:
        """The worker and certificate that were synchronised, with the credentials of this run. Raises as `open`."""
        parts = ("url", "worker", "certificate", "leaf")
        url, worker, place, leaf = (reference_part(reference, part) for part in parts)
        named = options.model_copy(update={"signserver_url": url, "keypair_alias": worker})
        return cls._connect(WorkerAddress.find(named), Path(place), leaf, options, surroundings)

    @classmethod
    def _connect(
        cls,
        address: WorkerAddress,
        place: Path,
        thumbprint: str | None,
        options: SignServerOptions,
        surroundings: Surroundings,
    ) -> Self:
        credentials = SignServerCredentials.read(surroundings.environment)
        found = find_end_entity(place, f"worker {address.worker}", thumbprint)
        check_signing_key(found.leaf)
        client = connect(address, credentials, surroundings)
        with contextlib.ExitStack() as undone:
            undone.callback(client.close)
            store = cls(client, found, place, None if options.no_aia else surroundings)
            store.certificate_chain()
            undone.pop_all()
        return store

    @classmethod
    def examine(cls, options: SignServerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Credentials, host, worker and certificate, each by itself; has nothing signed."""
        from kspsign.keys.signserver.examine import examine_signserver  # noqa: PLC0415 - for the doctor alone

        return examine_signserver(options, surroundings)

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificate of the file, with its issuers from there or from where the CA says.

        Raises PrerequisiteError when its issuer can't be fetched.
        """
        return self._chain_of(to_der(self._found.leaf))

    def key_reference(self) -> dict[str, str]:
        """Server and worker, and the certificate's file; no credential."""
        address = self._client.address
        return {
            "url": address.url,
            "worker": address.worker,
            "certificate": str(self._place),
            "leaf": thumbprint_of(to_der(self._found.leaf)),
        }

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Have the worker sign a digest; see KeyStore."""
        asked = f"a {algorithm} signature of worker {self.alias}"
        processed = self._client.sign(digest, algorithm, asked)
        leaf = processed.certificate or to_der(self._found.leaf)
        try:
            key = parse_certificate(leaf).public_key()
        except (TrustError, ValueError) as broken:
            raise maybe_spent(asked, "the certificate that came with it can't be read") from broken
        if not signature_holds(key, processed.value, digest, algorithm, None):
            _check_scheme(key, processed.value, digest, algorithm, asked)
        try:
            chain = self._chain_of(leaf)
        except PrerequisiteError:
            chain = (leaf,)  # it is paid for: whoever verifies the file judges what is missing
        return RawSignature(algorithm, processed.value, chain, processed.request_id)

    def close(self) -> None:
        """Close the connections; calling it again does nothing."""
        self._client.close()

    def _chain_of(self, leaf: bytes) -> tuple[bytes, ...]:
        """`leaf` with its issuers, of which the file may have some; each certificate's are looked for once."""

        def look() -> tuple[bytes, ...]:
            chain = ordered_chain(leaf, self._found.others)
            if self._issuers is None:
                return chain
            return with_issuers(chain, self._issuers.store_folder, self._issuers.network)

        return self._chains.get(leaf, look)


def certificate_place(options: SignServerOptions) -> Path:
    """The file or folder of --certificate, absolute. Raises ConfigurationError when none is named."""
    if options.certificate is None:
        raise ConfigurationError(
            "key store signserver needs the worker's certificate: SignServer shows it with a signature alone",
            remedy="Download it with its chain from SignServer's administration, and name the file with --certificate.",
        )
    return options.certificate.absolute()


def connect(address: WorkerAddress, credentials: SignServerCredentials, surroundings: Surroundings) -> SignServerClient:
    """The client of a worker. Raises ConfigurationError, PrerequisiteError when TLS can't take the certificate."""
    return SignServerClient(
        *(address, credentials, surroundings.cancelled.wait),
        network=surroundings.network,
        connections=surroundings.jobs,
        temp_folder=surroundings.temp_folder,
    )


def _check_scheme(key: object, value: bytes, digest: bytes, algorithm: DigestAlgorithm, asked: str) -> None:
    """Raise OperationFailedError where the worker's key signed, and its SIGNATUREALGORITHM made another signature."""
    rehashed = hashlib.new(algorithm, digest).digest()
    found = next(
        (
            name
            for name, signed, scheme in (
                ("hashed the hash once more", rehashed, None),
                ("used RSASSA-PSS", digest, Scheme.RSA_PSS),
                ("hashed the hash once more and used RSASSA-PSS", rehashed, Scheme.RSA_PSS),
            )
            if signature_holds(key, value, signed, algorithm, scheme)
        ),
        None,
    )
    if found is not None:
        raise OperationFailedError(
            f"SignServer made {asked} that no Authenticode verifier accepts: it {found}",
            code=ALGORITHM.code,
            remedy=ALGORITHM.remedy,
            gone=True,
        )
