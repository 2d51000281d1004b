"""The SignServer key store: a PlainSigner worker that signs hashes, whose certificate comes with each signature.

Only digests leave this process. SignServer shows a worker's certificate with a signature alone, so a file says before
the first one whose it is; a certificate that was renewed since is the same publisher's, or the signature is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm

from kspsign.authenticode.cms.algorithms import Scheme, signature_holds
from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.for_key import KeyCertificate, find_end_entity
from kspsign.certificates.parse import parse_certificate, thumbprint_of, to_der
from kspsign.certificates.public_key import check_signing_key
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.keys.issuers import complete_chain
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import Capabilities, KeyStore, Surroundings, notice_choice, reference_part
from kspsign.keys.signserver.client import SignServerClient, WorkerAddress
from kspsign.keys.signserver.credentials import SignServerCredentials
from kspsign.keys.signserver.errors import ALGORITHM, ERRORS
from kspsign.keys.signserver.options import SignServerOptions
from kspsign.model.errors import ConfigurationError, OperationFailedError, PrerequisiteError, TrustError
from kspsign.model.values import DigestAlgorithm, RawSignature

_CERTIFICATES_KEPT = 8
Complete = Callable[[tuple[bytes, ...]], tuple[bytes, ...]]


class SignServerStore(KeyStore):
    """One worker. Any thread may sign."""

    name: Final = "signserver"
    test_signing: Final = False
    capabilities: Final = Capabilities(fixed_certificate=False)

    def __init__(self, client: SignServerClient, found: KeyCertificate, place: Path, complete: Complete) -> None:
        """`complete` adds the issuers that a chain lacks, as far as that is allowed."""
        self._client, self._found, self._place, self._complete = client, found, place, complete
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
        found = store._found  # noqa: SLF001 - of this class
        notice_choice(surroundings.notice, found.remarks, superseded=found.superseded)
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
        client = SignServerClient(address, credentials, surroundings)
        with contextlib.ExitStack() as undone:
            undone.callback(client.close)
            store = cls(client, found, place, lambda chain: complete_chain(chain, options, surroundings))
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
        except (TrustError, ValueError, UnsupportedAlgorithm) as broken:
            raise ERRORS.maybe_spent(asked, "the certificate that came with it can't be read") from broken
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
        return self._chains.get(leaf, lambda: self._complete(ordered_chain(leaf, self._found.others)))


def certificate_place(options: SignServerOptions) -> Path:
    """The file or folder of --certificate, absolute. Raises ConfigurationError when none is named."""
    if options.certificate is None:
        raise ConfigurationError(
            "key store signserver needs the worker's certificate: SignServer shows it with a signature alone",
            remedy="Download it with its chain from SignServer's administration, and name the file with --certificate.",
        )
    return options.certificate.absolute()


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
