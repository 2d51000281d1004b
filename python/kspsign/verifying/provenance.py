"""Verifies a provenance bundle: its signature, chain and timestamp as those of a file, and what a policy demands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.certificates.parse import parse_certificate, thumbprint_of
from kspsign.certificates.validity import is_for_lifetime_signing
from kspsign.model.errors import ConfigurationError, TrustError
from kspsign.model.globs import matches_path
from kspsign.model.hresults import Hresult
from kspsign.model.run_facts import ProvenanceFacts
from kspsign.model.values import Check, ErrorFacts, Verdict, Verification, iso_utc
from kspsign.provenance.bundle import MAX_BUNDLE, SignedStatement, algorithm_of, digest_to_sign, read_bundle
from kspsign.provenance.statement import BUILDERS, Statement, read_statement
from kspsign.provenance.strict_json import refused
from kspsign.verifying.chain import CertificatePurpose, validate_chain
from kspsign.verifying.timestamps import judge_token
from kspsign.verifying.unsigned_data import certificates_finding

if TYPE_CHECKING:
    from kspsign.verifying.policy.model import ProvenanceRule
    from kspsign.verifying.verifier import Verifier

_NO_SUBJECT: Final = "The provenance does not state this content: another run signed the file, or it was changed."
_NOT_THERE: Final = "Verify the files that the signing run left, and give the provenance that it wrote."


@dataclass(frozen=True, slots=True)
class VerifiedProvenance:
    """A provenance that holds: `digests` are its subjects' SHA-256 in hex."""

    facts: ProvenanceFacts
    digests: frozenset[str]

    def judge(self, verification: Verification) -> Verification:
        """`verification` with the check "provenance": the file is a subject."""
        verdict = verification.verdict
        facts = self.facts
        if verification.sha256 in self.digests:
            detail = f"built from {facts.repository} {facts.ref} at {facts.commit}, run {facts.run}"
            checks = (*verdict.checks, Check("provenance", ok=True, detail=detail))
            return verification._replace(verdict=replace(verdict, checks=checks))
        detail = f"the file is not a subject of {facts.file}"
        hresult = Hresult.TRUST_E_BAD_DIGEST
        checks = (*verdict.checks, Check("provenance", ok=False, detail=detail))
        error = ErrorFacts(hresult.name, hresult.hex, f"{_NO_SUBJECT} (provenance: {detail})", _NOT_THERE)
        return verification._replace(verdict=Verdict("failed", checks), error=verification.error or error)


def read_provenance(path: Path) -> bytes:
    """The content of the bundle at `path`. Raises ConfigurationError when it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BUNDLE + 1)
    except OSError as unreadable:
        raise ConfigurationError(
            f"the provenance can't be read: {unreadable.strerror or unreadable}",
            remedy="Name the file that the signing run wrote with --provenance.",
            file=str(path),
        ) from unreadable


def verify_provenance(
    content: bytes, name: str, verifier: Verifier, rule: ProvenanceRule | None = None
) -> VerifiedProvenance:
    """The provenance in the bundle `content`, read from the file `name`. Raises TrustError when it does not hold, or
    not what `rule` demands."""
    try:
        signed = read_bundle(content)
        stamped = _time_of(signed, verifier)
        _check_chain(signed, verifier, stamped)
        _check_signature(signed)
        statement = read_statement(signed.payload)
        if rule is not None:
            check_rule(statement, rule)
    except TrustError as fault:
        raise _named(fault, name) from fault
    facts = _facts(name, sha256(content).hexdigest(), statement, signed.chain[0], stamped)
    return VerifiedProvenance(facts, statement.digests)


def _named(fault: TrustError, name: str) -> TrustError:
    """The error with the file's name; a fault of a certificate or timestamp says that it is the provenance's."""
    hresult = fault.hresult or Hresult.TRUST_E_FAIL
    said = fault.message if fault.check == "provenance" else refused(fault.message).message
    return TrustError(hresult, said, check="provenance", file=name, remedy=fault.remedy)


def _facts(name: str, digest: str, statement: Statement, leaf: bytes, stamped: datetime | None) -> ProvenanceFacts:
    """What the report says of it."""
    definition, details = statement.predicate.buildDefinition, statement.predicate.runDetails
    external = definition.externalParameters
    return ProvenanceFacts(
        file=name,
        sha256=digest,
        repository=external.repository,
        ref=external.ref,
        commit=definition.commit,
        definition=external.definition.name,
        builder=details.builder.id,
        run=details.metadata.invocationId,
        subjects=len(statement.subject),
        certificate=thumbprint_of(leaf),
        timestamp=iso_utc(stamped) if stamped is not None else None,
    )


def check_rule(statement: Statement, rule: ProvenanceRule) -> None:
    """Raise TrustError when the statement is not of the source and pipeline that `rule` demands."""
    definition, details = statement.predicate.buildDefinition, statement.predicate.runDetails
    external = definition.externalParameters
    faults = []
    if _plain(external.repository) != _plain(rule.repository):
        faults.append(f"built from the repository {external.repository}, not {rule.repository}")
    if rule.branches and not any(matches_path(glob, external.ref) for glob in rule.branches):
        faults.append(f"built from {external.ref}, not {' or '.join(rule.branches)}")
    if rule.definition is not None and external.definition.name != rule.definition:
        faults.append(f"built by the definition {external.definition.name}, not {rule.definition}")
    if rule.by_task and details.builder.id != BUILDERS["task"]:
        faults.append(f"built by {details.builder.id}, not by the task")
    if faults:
        raise TrustError(
            Hresult.TRUST_E_FAIL,
            f"the provenance is not what the policy demands: {'; '.join(faults)}",
            check="provenance",
            remedy="Release what the demanded pipeline built, or correct `provenance` in the policy.",
        )


def _plain(repository: str) -> str:
    """The address as servers compare it: letters of ASCII in any case. Unicode's folding would make one of two."""
    lower = "".join(letter.lower() if letter.isascii() else letter for letter in repository)
    return lower.rstrip("/").removesuffix(".git")


def _check_signature(signed: SignedStatement) -> None:
    leaf = signed.chain[0]
    algorithm = algorithm_of(leaf)
    key = parse_certificate(leaf).public_key()
    if not signature_holds(key, signed.signature, digest_to_sign(signed.payload, algorithm), algorithm, None):
        raise refused("its signature is not one of the certificate's key over this payload", Hresult.TRUST_E_BAD_DIGEST)


def _time_of(signed: SignedStatement, verifier: Verifier) -> datetime | None:
    if signed.token is None:
        if verifier.trust.timestamp_required:
            raise refused("it has no timestamp", Hresult.TRUST_E_TIME_STAMP)
        return None
    verifier.check_token(signed.token, signed.signature)
    return judge_token(signed.token, signed.signature, verifier.trust, verifier.revocation).time


def _check_chain(signed: SignedStatement, verifier: Verifier, stamped: datetime | None) -> None:
    """The signer's chain and its further certificates are judged as those of a file's signature."""
    leaf, *others = signed.chain
    trust, now = verifier.trust, datetime.now(UTC)
    extended_to = None if is_for_lifetime_signing(parse_certificate(leaf)) else stamped
    purpose = CertificatePurpose.CODE_SIGNING
    result = validate_chain(leaf, others, trust.signers, purpose, extended_to or now, trust.strength)
    for fault in result.faults:
        raise refused(f"{fault.check}: {fault.detail}", fault.hresult, fault.remedy or fault.hresult.remedy)
    findings = [certificates_finding(others, result.path, trust.authorities)]
    if verifier.judge is not None:
        findings += verifier.judge.certificate_findings(result.path, now)
    if verifier.revocation is not None:
        findings.append(verifier.revocation.finding(result.path, purpose, extended_to))
    for found in findings:
        if found.hresult is not None:
            raise refused(f"{found.check}: {found.detail}", found.hresult, found.remedy)
