"""Timestamps for signatures that are there already: no key store is asked, nothing signed changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kspsign.authenticode.cms.file_signature import FileSignature, read_signature
from kspsign.authenticode.cms.write import add_token, replace_nested
from kspsign.authenticode.pe.page_hash_attribute import page_algorithms
from kspsign.authenticode.signable import SignableFile
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Limits
from kspsign.settings.model import DEFAULT_TIMESTAMP_URLS, Settings
from kspsign.signing.clock import Clock
from kspsign.signing.copies import LockedTarget, SignedCopy
from kspsign.signing.shared_state import LOCAL_SLOTS, LocalSlots, SharedState
from kspsign.signing.waits import Waits

if TYPE_CHECKING:
    from kspsign.timestamping.client import TimestampClient

MAX_SIGNATURES = 16
"""Signatures of one file that are stamped; the verifier reads no more."""


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
        """Write a copy beside the target whose signatures, nested ones too, all have a timestamp; None when they have.

        Raises ArtifactError (TRUST_E_NOSIGNATURE) for an unsigned file, and for one with something around its
        signature that must not be there (it would be lost); TrustError for a signature that can't be read;
        TimestampError when no server answers.
        """
        clock = Clock()
        if not file.signatures:
            raise ArtifactError(Hresult.TRUST_E_NOSIGNATURE, "the file carries no signature to timestamp")
        signatures = _all_signatures(file)
        if all(_is_stamped(signature) for signature in signatures):
            return None
        digest = file.digest({signature.algorithm for signature in signatures}, page_algorithms(signatures))
        for finding in file.structure(digest, signatures):
            if finding.hresult is not None:
                raise ArtifactError(finding.hresult, f"{finding.check}: {finding.detail}")
        clock.lap("digest")
        servers: list[str] = []
        with self._desks.away():
            stamped = tuple(self._stamped(der, file, servers) for der in file.signatures)
        clock.lap("timestamp")
        copy = held.create_copy()
        with copy.open("r+b") as target:
            file.embed(digest, stamped, target)
        clock.lap("embed")
        return SignedCopy(held.artifact, copy, digest, clock.seconds, timestamp_server=servers[-1])

    def _stamped(self, der: bytes, file: SignableFile, servers: list[str]) -> bytes:
        """The signature with a timestamp in it and in those that are nested in it, where they lack one."""
        signature = read_signature(der, file.profile)
        if signature.nested:
            nested = tuple(self._stamped(each, file, servers) for each in signature.nested)
            if nested != signature.nested:
                der = replace_nested(der, nested)
        if _is_stamped(signature):
            return der
        token = self._client.stamp(signature.message.signer.value, self._algorithm)
        servers.append(token.server)
        return add_token(der, token.der, file.profile)


def _is_stamped(signature: FileSignature) -> bool:
    return bool(signature.tokens or signature.counter_signatures)


def _all_signatures(file: SignableFile) -> tuple[FileSignature, ...]:
    """Every signature of the file, each followed by those nested in it."""
    read: list[FileSignature] = []
    waiting = list(file.signatures)
    while waiting:
        if len(read) == MAX_SIGNATURES:
            raise ArtifactError(Hresult.TRUST_E_MALFORMED_SIGNATURE, "the file carries too many signatures")
        signature = read_signature(waiting.pop(0), file.profile)
        read.append(signature)
        waiting[:0] = signature.nested
    return tuple(read)


@contextlib.contextmanager
def open_timestamper(settings: Settings, shared: SharedState) -> Iterator[Timestamper]:
    """The timestamper for these settings; its connections are closed at the end."""
    from kspsign.timestamping.client import TimestampClient  # noqa: PLC0415 - it brings HTTP

    urls = settings.timestamp_url or DEFAULT_TIMESTAMP_URLS
    client = TimestampClient(urls, settings.timestamp_jobs, shared.cancelled)
    try:
        yield Timestamper(client, DigestAlgorithm(settings.digest), shared.slots)
    finally:
        client.close()
