"""The eSigner key store: a credential in SSL.com's cloud HSM.

Only digests leave this process; with malware scan also the SHA-256 of each file. A one-time password authorises one
request, whatever number of hashes is in it: hashes that wait are put together, so that a run of many files needs few.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from kspsign.concurrency.batcher import Batcher, BatchShare
from kspsign.keys.esigner.client import ESignerClient
from kspsign.keys.esigner.credential import Credential, check_totp, check_valid, find_credential
from kspsign.keys.esigner.environment import ENVIRONMENTS, ESignerLogin
from kspsign.keys.esigner.errors import ONCE, SCAN
from kspsign.keys.esigner.options import ESignerOptions
from kspsign.keys.esigner.totp import OneTimePasswords
from kspsign.keys.issuers import complete_chain
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import Capabilities, ScanningKeyStore, Surroundings, reference_part, unreadable_reference
from kspsign.model.errors import KspSignError, SigningError
from kspsign.model.values import DigestAlgorithm, RawSignature

MOST_HASHES: Final = 100
"""Hashes in one request."""
_QUIET_SECONDS = 0.4
"""How long more hashes are waited for: one that misses a request waits up to 30 seconds for the next."""


class _Wanted(NamedTuple):
    digest: bytes
    algorithm: DigestAlgorithm


class ESignerStore(ScanningKeyStore):
    """One credential. Any thread may sign; who signs at the same time shares requests."""

    name: Final = "esigner"
    test_signing: Final = False

    def __init__(
        self,
        client: ESignerClient,
        credential: Credential,
        chain: tuple[bytes, ...],
        passwords: OneTimePasswords | None,
        environment: str,
        *,
        scans: bool,
        most: int,
    ) -> None:
        """`passwords` is None where the credential needs none; no more than `most` signatures are asked for at once."""
        self._client, self._credential, self._chain = client, credential, chain
        self._passwords, self._environment, self._scans = passwords, environment, scans
        self._most = most
        self.alias = credential.id
        self._capabilities = Capabilities(
            digests=frozenset(credential.algorithms),
            concurrent=None if credential.several else 1,
            batches=credential.several,
        )
        self._files: dict[bytes, bytes] = {}
        self._scanned: set[bytes] = set()
        self._refused: SigningError | None = None
        self._lock = threading.Lock()
        self._batcher: Batcher[_Wanted, RawSignature] | None = None

    @classmethod
    def open(cls, options: ESignerOptions, surroundings: Surroundings) -> Self:
        """Sign in, and find the credential that the options name, or the only one.

        Raises ConfigurationError when an option or secret is missing or wrong; PrerequisiteError when SSL.com refuses
        or can't be reached, or the credential can't sign; CancelledError.
        """
        login = ESignerLogin.find(options, surroundings.environment)
        with contextlib.ExitStack() as undone:
            client = ESignerClient(login, surroundings)
            undone.callback(client.close)
            credential = find_credential(client, options)
            check_valid(credential)
            check_totp(credential, login.totp)
            scans = client.scans(credential.id)
            chain = complete_chain(credential.chain, options, surroundings)
            undone.pop_all()
        if credential.needs_otp and not credential.several:
            surroundings.notice(
                f"credential {credential.id} authorises one signature at a time: each takes a one-time password of "
                "its own, of which there are two a minute"
            )
        passwords = passwords_for(client, credential, surroundings) if credential.needs_otp else None
        return cls(
            *(client, credential, chain, passwords, options.esigner_environment),
            scans=scans,
            most=surroundings.jobs,
        )

    @classmethod
    def reopen(cls, reference: Mapping[str, str], options: ESignerOptions, surroundings: Surroundings) -> Self:
        """The credential that was synchronised, with the login of this run. Raises as `open`."""
        environment, credential = (reference_part(reference, part) for part in ("environment", "credential"))
        if environment not in ENVIRONMENTS:
            raise unreadable_reference("environment")
        kept = {"esigner_environment": environment, "keypair_alias": credential, "thumbprint": None}
        return cls.open(options.model_copy(update=kept), surroundings)

    @classmethod
    def examine(cls, options: ESignerOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Credentials, host, sign-in, credential and certificate, each by itself; uses no one-time password."""
        from kspsign.keys.esigner.examine import examine_esigner  # noqa: PLC0415 - for the doctor alone

        return examine_esigner(options, surroundings)

    @property
    def capabilities(self) -> Capabilities:
        """The digests of the key; as many signatures at once as run, where one authorisation covers them."""
        return self._capabilities

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificate and its issuers, from the service or from where the CA says."""
        return self._chain

    def key_reference(self) -> dict[str, str]:
        """The environment and the credential there; no login."""
        return {"environment": self._environment, "credential": self._credential.id}

    def announce(self, digest: bytes, file_sha256: bytes) -> None:
        """See ScanningKeyStore."""
        if self._scans:
            self._files[digest] = file_sha256

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Have the service sign a digest, in one request with those of other threads; see KeyStore."""
        self._check_refused()
        if self._scans:
            self._scan(digest, algorithm)
        with self._lock:
            if self._batcher is None:
                self._batcher = self._batch()
        return self._batcher.ask(_Wanted(digest, algorithm))

    def close(self) -> None:
        """Close the connections; calling it again does nothing."""
        if self._batcher is not None:
            self._batcher.close()
        self._client.close()

    def _batch(self) -> Batcher[_Wanted, RawSignature]:
        """One request at a time; what comes a moment too late waits for the next one-time password."""
        share = BatchShare(min(MOST_HASHES, self._most) if self._credential.several else 1, 1)
        if self._passwords is None:
            return Batcher(self._signed, share)
        return Batcher(self._signed, share, quiet=_QUIET_SECONDS)

    def _scan(self, digest: bytes, algorithm: DigestAlgorithm) -> None:
        """Tell the service which file the digest is of; once, however often its signature is asked for."""
        if digest in self._scanned:
            return
        file_sha256 = self._files.get(digest)
        if file_sha256 is None:
            raise SigningError(
                f"malware scan is on for credential {self.alias}, and a {algorithm} digest is of no file that can be "
                "named to it",
                code=SCAN.code,
                remedy=SCAN.remedy,
            )
        self._client.scan(self._credential.id, digest, file_sha256)
        self._scanned.add(digest)

    def _signed(self, wanted: Sequence[_Wanted]) -> Sequence[RawSignature | Exception]:
        """The signatures of a batch, in its order; each digest algorithm is a request of its own."""
        made: dict[_Wanted, RawSignature | Exception] = {}
        for algorithm in dict.fromkeys(item.algorithm for item in wanted):
            digests = [item.digest for item in wanted if item.algorithm == algorithm]
            try:
                values = self._values(digests, algorithm)
            except KspSignError as error:
                made |= {_Wanted(digest, algorithm): error for digest in digests}
            else:
                signatures = (RawSignature(algorithm, value) for value in values)
                made |= zip((_Wanted(digest, algorithm) for digest in digests), signatures, strict=True)
        return [made[item] for item in wanted]

    def _values(self, digests: Sequence[bytes], algorithm: DigestAlgorithm) -> Sequence[bytes]:
        self._check_refused()
        many = "a signature" if len(digests) == 1 else f"{len(digests)} signatures"
        credential, asked = self._credential, f"{many} ({algorithm}) by credential {self.alias}"
        try:
            sad = self._client.authorize(credential.id, digests, self._passwords, f"the authorisation of {asked}")
            return self._client.sign(credential.id, digests, sad, credential.algorithms[algorithm], asked)
        except SigningError as refused:
            if refused.code in ONCE:
                self._refused = refused
            raise

    def _check_refused(self) -> None:
        """Raise what the service refused for good: another try may lock the account."""
        if self._refused is not None:
            raise self._refused


def passwords_for(client: ESignerClient, credential: Credential, surroundings: Surroundings) -> OneTimePasswords:
    """The one-time passwords of a credential; all runs of this machine with the same thumbprint store share them."""
    login = client.login
    name = f"{login.environment.api}\n{login.user.casefold()}\n{credential.id}"
    record = surroundings.store_folder / "esigner" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.window"
    return OneTimePasswords(
        login.totp or b"",
        Path(record),
        surroundings.cancelled.wait,
        now=client.token.now,
        notice=surroundings.notice,
    )
