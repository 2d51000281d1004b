"""The strict verifier: one file in, one verdict with every check by name out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509

from kspsign.authenticode.formats import TAKEN_BY_NAME, detect_format, open_signable
from kspsign.authenticode.io.snapshot import DiskState, Snapshot, file_changed
from kspsign.authenticode.profile import FileSignature
from kspsign.authenticode.signable import BundledFiles, Digest, Glimpse, InnerFile, SignableFile, SummedFile, nth
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.plurals import count
from kspsign.model.values import (
    Finding,
    Format,
    SignatureFacts,
    SyncedCertificate,
    Verification,
)
from kspsign.settings.model import Settings
from kspsign.verifying.chain import CertificatePurpose, validate_chain
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.conclude import conclude
from kspsign.verifying.roots import TrustAnchors, combined, default_anchors, program_date
from kspsign.verifying.signatures import ExaminedSignature, examine_signature, read_signatures
from kspsign.verifying.signtool_check import SecondOpinion
from kspsign.verifying.strength import STRONG
from kspsign.verifying.timestamps import judge_token

if TYPE_CHECKING:
    from kspsign.verifying.policy.judge import Judge
    from kspsign.verifying.revocation import Revocation

Observer = Callable[[str, Sequence[ExaminedSignature]], None]
"""Shown the signatures of a file with their chains, by the name that the report calls it; from any thread."""

_DETECTED_BY_NAME = frozenset({None, Format.POWERSHELL, Format.POWERSHELL_XML, *TAKEN_BY_NAME})
"""What a file is when its content is not of another format: that is found again in the content that is judged."""
_WHOLE_CHAIN = "Give the certificate with its intermediates, and name the root of an in-house CA with --trust-root."
_SIGN_INNER = (
    "Sign the packages inside again, bundle them again, then sign the bundle. Of a WiX bundle take the signatures out "
    "(kspsign remove), then sign it: its engine is signed first."
)


class _JudgedInside(NamedTuple):
    """What was found of the signatures of the files inside a file, and their facts."""

    findings: tuple[Finding, ...] = ()
    facts: tuple[SignatureFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies files against `trust`, and by a policy, revocation and SignTool where given; safe to share between
    threads. `chains` collects those that were judged, for the report."""

    trust: Trust
    second: SecondOpinion | None = None
    judge: Judge | None = None
    revocation: Revocation | None = None
    observer: Observer | None = None
    chains: set[tuple[x509.Certificate, ...]] = field(default_factory=set, compare=False, repr=False)

    def verify(
        self, file: Path | Snapshot, format_: Format | None, name: str | None = None, known: Digest | None = None
    ) -> Verification:
        """The verdict on `file`; never raises for what it holds.

        `name` is what the report calls the file, by which the policy knows it (default: its own). `known` is what was
        found of its content before it was signed, so that nothing is added up again (SummedFile). OSError passes
        through: a file that can't be read says nothing about its signature. Raises ArtifactError
        (ERROR_SHARING_VIOLATION) when the file changed meanwhile: what was verified, and what the sha256 in the report
        is of, is one content (Snapshot).
        """
        snapshot = file if isinstance(file, Snapshot) else Snapshot(file)
        name, before = name or snapshot.path.name, DiskState.of(snapshot.path)
        if format_ in _DETECTED_BY_NAME and detect_format(Glimpse.of(snapshot)) is not format_:
            raise file_changed()
        try:
            opened = open_signable(snapshot, format_)
        except ArtifactError as damaged:
            return self._without_structure(snapshot, format_, name, damaged)
        verification = self._judge(opened, format_, name, known)
        if not before.lasts(DiskState.of(snapshot.path)):
            raise file_changed()
        return verification

    def _judge(self, file: SignableFile, format_: Format | None, name: str, known: Digest | None) -> Verification:
        """The verdict on a file whose structure was read."""
        if known is not None and isinstance(file, SummedFile):
            file = file.knowing(known)
        signatures, parse_findings = read_signatures(file)
        digest = file.digest_to_check(signatures)
        if not file.signatures:
            return conclude((*self._unsigned(name, format_), *_faults(file.structure(digest, ()))), (), digest.sha256)
        examined = self._examine(signatures, digest)
        for judged in examined:
            self.chains.update((judged.path, judged.authority_path))
        if self.observer is not None:
            self.observer(name, examined)
        findings = [Finding("signed", count(len(signatures), "signature")), *parse_findings]
        for index, signature in enumerate(examined):
            findings += (nth(index, finding) for finding in signature.findings)
        structure = file.structure(digest, signatures)
        findings += structure if self.judge is None else self.judge.structure_findings(name, format_, structure)
        inner = self._judge_inner(file, digest, name, format_)
        findings += inner.findings
        if self.second is not None:
            findings += self.second.findings(file.snapshot.path, ours=next(_faults(findings), None) is None)
        if self.judge is not None:
            findings += self.judge.findings(name, format_, examined, datetime.now(UTC))
        facts = (*inner.facts, *(signature.facts for signature in examined))
        return conclude(tuple(findings), facts, digest.sha256)

    def check_certificate(self, certificate: SyncedCertificate) -> None:
        """Raise TrustError when `certificate` could not give a signature that verifies: no signature is spent then."""
        leaf, *others = certificate.chain
        now = datetime.now(UTC)
        result = validate_chain(
            leaf, others, self.trust.signers, CertificatePurpose.CODE_SIGNING, now, self.trust.strength
        )
        for fault in result.faults:
            remedy = _WHOLE_CHAIN if fault.hresult is Hresult.CERT_E_CHAINING else fault.remedy
            raise TrustError(fault.hresult, fault.detail, check=fault.check, remedy=remedy)
        findings: list[Finding] = []
        if self.judge is not None:
            findings += self.judge.certificate_findings(result.path, now)
        if self.revocation is not None:
            findings.append(self.revocation.finding(result.path, CertificatePurpose.CODE_SIGNING, None))
        for failed in _faults(findings):
            hresult = failed.hresult or Hresult.TRUST_E_FAIL
            raise TrustError(hresult, failed.detail, check=failed.check, remedy=failed.remedy)

    def check_token(self, token: bytes, value: bytes) -> None:
        """Raise TrustError when the RFC 3161 token (DER) over the signature `value` would not verify in a file, by the
        policy's authorities too: it is not embedded then, and another server is asked."""
        stamped = judge_token(token, value, self.trust, self.revocation)
        findings = list(stamped.findings)
        if self.judge is not None:
            findings.append(self.judge.authority_finding(stamped.stamp, stamped.path))
        for failed in _faults(findings):
            hresult = failed.hresult or Hresult.TRUST_E_TIME_STAMP
            raise TrustError(hresult, f"{failed.name}: {failed.detail}", check=failed.check, remedy=failed.remedy)

    def check_inner_files(self, file: SignableFile, name: str, format_: Format | None) -> None:
        """Raise TrustError when `file` has a signed file inside whose signature does not verify: the file around it
        would not either, whoever signed it. Reads the content of containers."""
        if not isinstance(file, BundledFiles) or not file.has_inner_files:
            return
        for failed in _faults(self._judge_inner(file, file.digest([]), name, format_).findings):
            hresult = failed.hresult or Hresult.TRUST_E_FAIL
            raise TrustError(hresult, f"{failed.name}: {failed.detail}", check=failed.check, remedy=failed.remedy)

    def verify_by_names(
        self, file: Path, format_: Format | None, names: Sequence[str], known: Digest | None = None
    ) -> Verification:
        """As `verify`, by each of the file's names where a policy goes by names: the first failure, else the verdict by
        the first name."""
        first, *others = names if self.judge is not None else names[:1]
        snapshot = Snapshot(file)
        verification = self.verify(snapshot, format_, first, known)
        for name in others if verification.error is None else ():
            further = self.verify(snapshot, format_, name, known)
            if further.error is not None:
                return further._replace(error=replace(further.error, message=f"as {name}: {further.error.message}"))
        return verification

    def leaves_alone(self, names: Sequence[str], format_: Format | None) -> bool:
        """Whether the policy keeps the file of these names from being signed."""
        return self.judge is not None and self.judge.leaves_alone(names, format_)

    def _without_structure(
        self, snapshot: Snapshot, format_: Format | None, name: str, damaged: ArtifactError
    ) -> Verification:
        """The verdict on a file that can't be opened as its format: a policy may let unknown types stay unsigned."""
        if format_ is None and self.judge is not None and self.judge.may_stay_unsigned(name, format_):
            return conclude(tuple(self.judge.unsigned_findings(name, format_)), (), snapshot.sha256())
        if damaged.hresult is Hresult.ERROR_SHARING_VIOLATION:
            raise damaged
        hresult = damaged.hresult or Hresult.ERROR_BAD_FORMAT
        return conclude((Finding("structure", damaged.message, hresult, damaged.remedy),), (), "")

    def _examine(self, signatures: Sequence[FileSignature], digest: Digest) -> tuple[ExaminedSignature, ...]:
        algorithms = [signature.algorithm for signature in signatures]
        examined = []
        for other in signatures:
            trust = self.trust
            if self.judge is not None:
                trust = trust._replace(strength=self.judge.strength_for(other.algorithm, algorithms))
            examined.append(examine_signature(other, digest.values, trust, self.revocation))
        return tuple(examined)

    def _judge_inner(self, file: SignableFile, digest: Digest, name: str, format_: Format | None) -> _JudgedInside:
        """The check "inner-signatures": those of the files inside are judged as the file's own are. That all have one
        is the format's to say."""
        if not isinstance(file, BundledFiles) or not file.has_inner_files:
            return _JudgedInside()
        facts: list[SignatureFacts] = []
        signed = 0
        for inner in file.inner_files(digest):
            findings, examined = self._examine_inner(inner, name, format_)
            facts += (replace(signature.facts, inside=inner.name) for signature in examined)
            signed += bool(inner.file.signatures)
            for failed in _faults(findings):
                detail = f"{inner.name} inside: {failed.name}: {failed.detail}"
                remedy = failed.remedy or _SIGN_INNER
                return _JudgedInside((Finding("inner-signatures", detail, failed.hresult, remedy),), tuple(facts))
        said = Finding("inner-signatures", f"{signed}, each judged as the file's own")
        return _JudgedInside((said,) if signed else (), tuple(facts))

    def _examine_inner(
        self, inner: InnerFile, name: str, format_: Format | None
    ) -> tuple[Sequence[Finding], Sequence[ExaminedSignature]]:
        signatures, unreadable = read_signatures(inner.file)
        findings = list(unreadable)
        if not signatures:
            return findings, ()
        if any(signature.algorithm not in inner.digest.values for signature in signatures):
            detail = "it has nested signatures, of which Windows reads none in a package"
            return (*findings, Finding("cms-structure", detail, Hresult.TRUST_E_MALFORMED_SIGNATURE)), ()
        examined = self._examine(signatures, inner.digest)
        findings += (finding for signature in examined for finding in signature.findings)
        findings += inner.file.structure(inner.digest, signatures)
        if self.judge is not None:
            findings += self.judge.findings(name, format_, examined, datetime.now(UTC))
        return findings, examined

    def _unsigned(self, name: str, format_: Format | None) -> tuple[Finding, ...]:
        """What is to be said of a file that carries no signature."""
        ruled = tuple(self.judge.unsigned_findings(name, format_)) if self.judge is not None else ()
        if ruled and ruled[0].hresult is None:
            return ruled
        return Finding("signed", "the file carries no signature", Hresult.TRUST_E_NOSIGNATURE), *ruled


def open_verifier(settings: Settings, certificate: SyncedCertificate | None, judge: Judge | None = None) -> Verifier:
    """A verifier for these settings, by the policy of `judge` when given.

    Signers are trusted under --trust-root when given, else under the throw-away root of test signing when
    `certificate` is one, else under the Microsoft root program. Timestamp authorities are trusted under those and
    the Microsoft root program: an in-house CA rarely runs its own.
    """
    required = not settings.no_timestamp if judge is None else judge.timestamp_required
    strength = STRONG if judge is None else judge.strength
    if settings.trust_root:
        signers = TrustAnchors.from_pem_files(settings.trust_root)
        authorities, date = combined(signers, default_anchors()), program_date()
    elif certificate is not None and certificate.test_signing:
        signers = authorities = TrustAnchors.from_certificates(certificate.chain[-1:])
        date = None
    else:
        signers = authorities = default_anchors()
        signers.load()
        date = program_date()
    trust = Trust(signers, authorities, required, strength, date)
    return Verifier(trust, judge=judge, revocation=_open_revocation(settings))


def _open_revocation(settings: Settings) -> Revocation | None:
    if settings.revocation == "off":
        return None
    from kspsign.verifying.revocation import Revocation  # noqa: PLC0415 - it brings OCSP and HTTP

    return Revocation(settings.network)


def _faults(findings: Iterable[Finding]) -> Iterator[Finding]:
    return (finding for finding in findings if finding.hresult is not None)
