"""Timestamps for signatures that are there already: no key store is asked, nothing signed changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kspsign.authenticode.profile import FileSignature, is_timestamped
from kspsign.authenticode.signable import SignableFile
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import DigestAlgorithm, Limits
from kspsign.settings.model import DEFAULT_TIMESTAMP_URLS
from kspsign.signing.clock import Clock
from kspsign.signing.copies import LockedTarget, SignedCopy
from kspsign.signing.shared_state import LOCAL_SLOTS, LocalSlots, SharedState
from kspsign.signing.waits import Waits

if TYPE_CHECKING:
    from kspsign.timestamping.client import TimestampClient


class Timestamper:
    """Adds RFC 3161 timestamps; safe to share between threads."""

    def __init__(self, client: TimestampClient, algorithm: DigestAlgorithm, slots: LocalSlots) -> None:
        self._client = client
        self._algorithm = algorithm
        self._desks = slots

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
        """Write a copy whose first signature has a timestamp beside the target; None when it has one already.

        Raises ArtifactError (TRUST_E_NOSIGNATURE) for an unsigned file, and for one with something around its
        signature that must not be there (it would be lost); TimestampError when no server answers.
        """
        clock = Clock()
        if not file.signatures:
            raise ArtifactError(Hresult.TRUST_E_NOSIGNATURE, "the file carries no signature to timestamp")
        signature: FileSignature = file.profile.read(file.signatures[0])
        if is_timestamped(signature):
            return None
        digest = file.digest_to_check((signature,))
        for finding in file.structure(digest, (signature,)):
            if finding.hresult is not None:
                raise ArtifactError(finding.hresult, f"{finding.check}: {finding.detail}")
        clock.lap("digest")
        with self._desks.away():
            token = self._client.stamp(signature.value, self._algorithm)
        clock.lap("timestamp")
        stamped = file.profile.add_timestamp(file.signatures[0], token.der)
        copy = held.create_copy()
        with copy.open("r+b") as target:
            file.embed(digest, (stamped, *file.signatures[1:]), target)
        clock.lap("embed")
        return SignedCopy(held.artifact, copy, digest, clock.seconds, timestamp_server=token.server)


@contextlib.contextmanager
def open_timestamper(
    urls: Sequence[str], jobs: int, algorithm: DigestAlgorithm, network: NetworkOptions, shared: SharedState
) -> Iterator[Timestamper]:
    """Asks `urls` in turn (none: the defaults), each at most `jobs` at once; connections are closed at the end."""
    from kspsign.timestamping.client import TimestampClient  # noqa: PLC0415 - it brings HTTP

    client = TimestampClient(tuple(urls) or DEFAULT_TIMESTAMP_URLS, jobs, shared.cancelled, network)
    try:
        yield Timestamper(client, algorithm, shared.slots)
    finally:
        client.close()
