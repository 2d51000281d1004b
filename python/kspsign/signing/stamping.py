"""Timestamps for signatures that are there already: no key store is asked, nothing signed changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kspsign.authenticode import cms
from kspsign.authenticode.file_signature import read_signature
from kspsign.authenticode.page_hashes import page_algorithms
from kspsign.authenticode.signable import SignableFile
from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm, Limits
from kspsign.settings import DEFAULT_TIMESTAMP_URLS, Settings
from kspsign.signing.clock import Clock
from kspsign.signing.copies import Held, SignedCopy
from kspsign.signing.waits import Waits
from kspsign.signing.workplace import DESKS, Desks, Workplace

if TYPE_CHECKING:
    from kspsign.authenticode.timestamp_client import TimestampClient


class Stamper:
    """Adds RFC 3161 timestamps; safe to share between threads."""

    def __init__(self, client: TimestampClient, algorithm: DigestAlgorithm, desks: Desks) -> None:
        self._client = client
        self._algorithm = algorithm
        self._desks = desks

    @property
    def concurrency(self) -> int:
        """Enough to have a server busy to its ceiling while others are worked on here."""
        return max(server.limiter.ceiling for server in self._client.servers) + DESKS

    @property
    def limits(self) -> Limits:
        """Of each timestamp server."""
        return Limits(None, self._client.facts)

    @property
    def waits(self) -> Waits:
        """In flight and waiting for a turn."""
        return Waits(timestamp=sum(server.limiter.pending for server in self._client.servers))

    def stamp(self, held: Held, file: SignableFile) -> SignedCopy | None:
        """Write a copy whose first signature has a timestamp beside the target; None when it has one already.

        Raises ArtifactError (TRUST_E_NOSIGNATURE) for an unsigned file, and for one with something around its
        signature that must not be there (it would be lost); TimestampError when no server answers.
        """
        clock = Clock()
        if not file.signatures:
            raise ArtifactError(Hresult.TRUST_E_NOSIGNATURE, "the file carries no signature to timestamp")
        signature = read_signature(file.signatures[0], file.profile)
        if signature.tokens or signature.counter_signatures:
            return None
        digest = file.digest([signature.algorithm], page_algorithms([signature]))
        for finding in file.structure(digest, (signature,)):
            if finding.hresult is not None:
                raise ArtifactError(finding.hresult, f"{finding.check}: {finding.detail}")
        clock.lap("digest")
        with self._desks.away():
            token = self._client.stamp(signature.message.signer.value, self._algorithm)
        clock.lap("timestamp")
        stamped = cms.add_token(file.signatures[0], token.der, file.profile)
        copy = held.begin_copy()
        with copy.open("r+b") as target:
            file.embed(digest, (stamped, *file.signatures[1:]), target)
        clock.lap("embed")
        return SignedCopy(held.artifact, copy, digest, clock.seconds, timestamp_server=token.server)


@contextlib.contextmanager
def open_stamper(settings: Settings, workplace: Workplace) -> Iterator[Stamper]:
    """The stamper for these settings; its connections are closed at the end."""
    from kspsign.authenticode.timestamp_client import TimestampClient  # noqa: PLC0415 - it brings HTTP

    urls = settings.timestamp_url or DEFAULT_TIMESTAMP_URLS
    client = TimestampClient(urls, settings.timestamp_jobs, workplace.cancelled)
    try:
        yield Stamper(client, DigestAlgorithm(settings.digest), workplace.desks)
    finally:
        client.close()
