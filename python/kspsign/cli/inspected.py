"""A file that `kspsign inspect` shows, with its verdict and what it says of its signatures."""

from __future__ import annotations

from dataclasses import dataclass

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import FileSignature
from kspsign.authenticode.signable import SignableFile
from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.parse import parse_certificate
from kspsign.model.errors import KspSignError
from kspsign.model.report import FileOutcome
from kspsign.model.values import Artifact, SignatureFacts


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file of its own or in a container: its content, and what became of judging it."""

    artifact: Artifact
    snapshot: Snapshot
    outcome: FileOutcome

    @property
    def file(self) -> SignableFile | None:
        """Its structure; None where it can't be read: the checks say why."""
        try:
            return open_signable(self.snapshot, self.artifact.format)
        except KspSignError:
            return None

    @property
    def sha256(self) -> str:
        """The sha256 (hex) of its content."""
        return self.outcome.sha256_after or self.snapshot.sha256()


def own_signatures(outcome: FileOutcome) -> tuple[SignatureFacts, ...]:
    """The signatures that the file itself carries."""
    return tuple(fact for fact in outcome.signatures if fact.inside is None)


def inner_signatures(outcome: FileOutcome) -> tuple[SignatureFacts, ...]:
    """Those that files inside carry, and that are judged with it."""
    return tuple(fact for fact in outcome.signatures if fact.inside is not None)


def carried_chain(signature: FileSignature) -> tuple[bytes, ...]:
    """The signer's certificate and its issuers as far as the signature carries them; empty when it can't be read."""
    if signature.certificate is None:
        return ()
    try:
        return ordered_chain(signature.certificate, [parse_certificate(der) for der in signature.certificates])
    except KspSignError:
        return ()  # the checks say why
