"""Adds timestamps to existing signatures, without a key store and without changing what is signed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kspsign.authenticode.profile import FileSignature, is_timestamped
from kspsign.authenticode.signable import SignableFile
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.signing_facts import Limits
from kspsign.model.values import DigestAlgorithm
from kspsign.settings.model import DEFAULT_TIMESTAMP_URLS, Settings
from kspsign.signing.clock import StepClock
from kspsign.signing.copies import LockedTarget, SignedCopy
from kspsign.signing.shared_state import LOCAL_SLOTS, LocalSlots, SharedState
from kspsign.signing.waits import Waits

if TYPE_CHECKING:
    from kspsign.timestamping.client import TimestampClient
    from kspsign.timestamping.server import TokenJudge

MAX_SIGNATURES = 16
"""Signatures of one file that are stamped; the verifier reads no more."""


class Timestamper:
    """Adds RFC 3161 timestamps; safe to share between threads."""

    def __init__(self, client: TimestampClient, algorithm: DigestAlgorithm, slots: LocalSlots) -> None:
        self._client = client
        self._algorithm = algorithm
        self._slots = slots

    @property
    def concurrency(self) -> int:
        """Enough to have a server busy to its ceiling while others are worked on here."""
        return max(server.limiter.ceiling for server in self._client.servers) + LOCAL_SLOTS

    @property
    def limits(self) -> Limits:
        """Of each timestamp server."""
        return Limits(None, self._client.facts)

    @property
    def waits(self) -> Waits:
        """In flight and waiting for a turn."""
        return Waits(timestamp=sum(server.limiter.pending for server in self._client.servers))

    def stamp(self, held: LockedTarget, file: SignableFile) -> SignedCopy | None:
        """Write a copy next to the target whose signatures, further ones too, all have a timestamp; None when they
        have.

        Raises ArtifactError (TRUST_E_NOSIGNATURE) for an unsigned file, (ERROR_NOT_SUPPORTED) for one with a
        repository's countersignature that has no timestamp, and for one with something around its
        signature that must not be there (it would be lost); TrustError for a signature that can't be read;
        TimestampError when no server answers.
        """
        clock = StepClock()
        if not file.signatures:
            raise ArtifactError(Hresult.TRUST_E_NOSIGNATURE, "the file carries no signature to timestamp")
        signatures = _all_signatures(file)
        if any(not is_timestamped(other) for signature in signatures for other in signature.countersigners):
            raise ArtifactError(
                Hresult.ERROR_NOT_SUPPORTED,
                "a repository's countersignature in it has no timestamp, and is left as the repository made it",
                remedy="Download the package again: the repository stamps what it countersigns.",
            )
        if all(is_timestamped(signature) for signature in signatures):
            return None
        digest = file.digest_to_check(signatures)
        for finding in file.structure(digest, signatures):
            if finding.hresult is not None:
                raise ArtifactError(finding.hresult, f"{finding.name}: {finding.detail}", remedy=finding.remedy)
        clock.lap("digest")
        servers: list[str] = []
        with self._slots.released():
            stamped = tuple(self._stamped(embedded, file, servers) for embedded in file.signatures)
        clock.lap("timestamp")
        copy = held.create_copy()
        with copy.open("r+b") as target:
            file.embed(digest, stamped, target)
        clock.lap("embed")
        return SignedCopy(held.artifact, copy, digest, clock.seconds, timestamp_server=servers[-1])

    def _stamped(self, embedded: bytes, file: SignableFile, servers: list[str]) -> bytes:
        """The signature with a timestamp in it and in those that it carries, where they lack one."""
        signature: FileSignature = file.profile.read(embedded)
        if signature.further:
            further = tuple(self._stamped(other, file, servers) for other in signature.further)
            if further != signature.further:
                embedded = file.profile.replace_further(embedded, further)
        if is_timestamped(signature):
            return embedded
        token = self._client.stamp(signature.value, self._algorithm)
        servers.append(token.server)
        return file.profile.add_timestamp(embedded, token.der)


def _all_signatures(file: SignableFile) -> tuple[FileSignature, ...]:
    """Every signature of the file, each followed by those that it carries."""
    read: list[FileSignature] = []
    waiting = list(file.signatures)
    while waiting:
        if len(read) == MAX_SIGNATURES:
            raise ArtifactError(Hresult.TRUST_E_MALFORMED_SIGNATURE, "the file carries too many signatures")
        signature: FileSignature = file.profile.read(waiting.pop(0))
        read.append(signature)
        waiting[:0] = signature.further
    return tuple(read)


@contextlib.contextmanager
def open_timestamper(
    settings: Settings, algorithm: DigestAlgorithm, shared: SharedState, judge: TokenJudge
) -> Iterator[Timestamper]:
    """Asks the servers that `settings` name (none: the defaults) for tokens that `judge` accepts; connections are
    closed at the end."""
    from kspsign.timestamping.client import TimestampClient  # noqa: PLC0415 - it brings HTTP

    urls = settings.timestamp_url or DEFAULT_TIMESTAMP_URLS
    client = TimestampClient(urls, settings.timestamp_limits, shared.cancelled, settings.network, judge)
    try:
        yield Timestamper(client, algorithm, shared.slots)
    finally:
        client.close()
