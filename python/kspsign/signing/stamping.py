"""Timestamps for signatures that are there already: no key store is asked, nothing signed changes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from kspsign.authenticode import cms
from kspsign.authenticode.file_signature import read_signature
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.timestamp_client import TimestampClient
from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult
from kspsign.model import Artifact, DigestAlgorithm, SignedCopy
from kspsign.settings import DEFAULT_TIMESTAMP_URLS, Settings
from kspsign.signing.clock import Clock


class Stamper:
    """Adds RFC 3161 timestamps; safe to share between threads."""

    def __init__(self, client: TimestampClient, algorithm: DigestAlgorithm) -> None:
        self._client = client
        self._algorithm = algorithm

    def stamp(self, artifact: Artifact, copy: Path) -> SignedCopy | None:
        """Write a copy whose first signature has a timestamp to `copy`; None when it has one already.

        Raises ArtifactError (TRUST_E_NOSIGNATURE) for an unsigned file, TimestampError when no server answers.
        """
        clock = Clock()
        file = open_signable(artifact.path, artifact.format)
        if not file.signatures:
            raise ArtifactError(Hresult.TRUST_E_NOSIGNATURE, "the file carries no signature to timestamp")
        signature = read_signature(file.signatures[0], file.profile)
        if signature.tokens or signature.counter_signatures:
            return None
        digest = file.digest([])
        clock.lap("digest")
        token = self._client.stamp(signature.message.signer.value, self._algorithm)
        clock.lap("timestamp")
        file.embed(digest, (cms.add_token(file.signatures[0], token.der, file.profile), *file.signatures[1:]), copy)
        clock.lap("embed")
        return SignedCopy(artifact, copy, digest.sha256, clock.seconds)


@contextlib.contextmanager
def open_stamper(settings: Settings, cancelled: threading.Event) -> Iterator[Stamper]:
    """The stamper for these settings; its connections are closed at the end."""
    client = TimestampClient(settings.timestamp_url or DEFAULT_TIMESTAMP_URLS, pause=cancelled.wait)
    try:
        yield Stamper(client, DigestAlgorithm(settings.digest))
    finally:
        client.close()
