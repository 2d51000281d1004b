"""The stages of a run that signs, one function each. What passes between them is opened but not yet worked off:
`verify` takes the files one by one through signing, reading back and replacing, many at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, cast

from kspsign.authenticode.formats import SIGNED_AFTER_OTHERS
from kspsign.batch.admissions import Admissions
from kspsign.batch.cautions import certificate_warnings, no_timestamp_warning, skipped_warnings
from kspsign.batch.ledger import begin_ledger
from kspsign.batch.one_artifact import Signing, admit_one, plan_one, sign_one
from kspsign.batch.run import Run
from kspsign.batch.slices import share
from kspsign.batch.work import Batch
from kspsign.certificates.identity import PublisherIdentity
from kspsign.certsync import certificate_facts, key_store_name, open_key
from kspsign.keys.open import check_options, engine_for, timestamp_urls
from kspsign.keys.protocol import SigningKey
from kspsign.model.errors import ConfigurationError, PrerequisiteError, TrustError
from kspsign.model.report import FileOutcome
from kspsign.model.values import Artifact, SyncedCertificate
from kspsign.signing.budget import Budget
from kspsign.signing.engine import Engine, open_engine, open_planner, open_preflight
from kspsign.signing.plan import Planner
from kspsign.signing.shared_state import LOCAL_SLOTS
from kspsign.signing.signature_cache import Tally
from kspsign.verifying import Verifier, open_second_opinion, open_verifier

if TYPE_CHECKING:
    from kspsign.batch.inside.tree import ContainerNode
    from kspsign.batch.references import ReferencedFiles
    from kspsign.signing.native import NativeEngine
    from kspsign.signing.preflight import Preflight


class CheckedKey(NamedTuple):
    """A key whose certificate `verifier` accepts: a signature of it will verify. `preflight` finds out whether it can
    be timestamped; None where that is not asked for."""

    key: SigningKey
    verifier: Verifier
    preflight: Preflight | None

    @property
    def certificate(self) -> SyncedCertificate:
        """The certificate of the key."""
        return self.key.certificate


class SignedCopies(NamedTuple):
    """The copies that `source` signs as they are asked for, one per file; a planner only counts them."""

    source: Engine | Planner
    key: CheckedKey


def certsync(run: Run) -> CheckedKey:
    """Stage 1: the certificate is on this agent and its key store open. Raises PrerequisiteError for a certificate
    that could not give a signature that verifies."""
    check_options(run.settings)
    urls = timestamp_urls(run.settings, key_store_name(run.settings))
    preflight = run.open(open_preflight(run.settings, urls, run.shared))
    key = run.open(open_key(run.settings, run.hear, run.cancelled))
    if run.settings.issuers:
        from kspsign.certsync.issuers import with_given_issuers  # noqa: PLC0415 - few runs are given some

        key = with_given_issuers(key, run.settings.issuers)
    present(run, key.certificate)
    verifier = open_verifier(run.settings, key.certificate, run.judge)
    run.trusts(verifier)
    _check(verifier, key.certificate)
    if preflight is not None:
        preflight.trust(verifier.check_token, key.certificate.chain[0])
    return CheckedKey(key, verifier, preflight)


def sign(run: Run, key: CheckedKey) -> SignedCopies:
    """Stage 2: opens the engine that creates the signed copies. No signature is requested yet."""
    if run.settings.crlf and engine_for(run.settings, key.certificate) != "native":
        raise ConfigurationError(
            "--crlf needs --engine native: SignTool and smctl sign scripts as they are",
            remedy="Convert the scripts before (unix2dos), or leave --crlf out.",
        )
    if run.settings.no_timestamp:
        run.warn((no_timestamp_warning(key.certificate),))
    folder = run.settings.signature_cache if not run.settings.dry_run else None
    tally = Tally(folder, run.cancelled) if folder is not None else None
    if run.settings.provenance is not None or run.judge is not None:
        from kspsign.batch.provenance import check_provenance  # noqa: PLC0415 - few runs write one

        check_provenance(run, key.key)
    budget = Budget(
        share(run.settings.max_signatures, run.record.slice), tally, reserved=int(run.settings.provenance is not None)
    )
    if run.settings.dry_run:
        return SignedCopies(open_planner(run.settings, key.certificate, budget), key)
    begin_ledger(run, key.key)
    if run.settings.provenance is not None:
        from kspsign.batch.provenance import withdraw_provenance  # noqa: PLC0415 - few runs write one

        withdraw_provenance(run)
    judge = key.verifier.check_token
    engine = run.open(open_engine(run.settings, key.key, budget, run.shared, judge, key.preflight))
    return SignedCopies(engine, key)


def verify(run: Run, copies: SignedCopies) -> None:
    """Stage 3: each copy is read back and verified, and takes its file's place when it holds."""
    certificate = copies.key.certificate
    second = run.open(open_second_opinion(run.settings, certificate, run.cancelled, run.shared.slots.released))
    identity = PublisherIdentity.of(certificate.chain[0])
    verifier = replace(copies.key.verifier, second=second)
    signing = Signing(run, identity, verifier, _referenced(run), Admissions(), [])
    if isinstance(copies.source, Planner):
        _plan_all(signing, copies.source)
    else:
        _sign_all(signing, copies.source)
    if run.settings.skip_signed:
        run.warn(skipped_warnings(run.record.outcomes.values(), run.record.certificate))


def _referenced(run: Run) -> ReferencedFiles | None:
    if not any(artifact.format in SIGNED_AFTER_OTHERS for artifact in run.artifacts):
        return None
    from kspsign.batch.references import ReferencedFiles  # noqa: PLC0415 - few runs have such files

    return ReferencedFiles(run)


def present(run: Run, certificate: SyncedCertificate) -> None:
    """Say which certificate it is."""
    facts = run.record.certificate = certificate_facts(certificate)
    run.record.key_store, run.record.test_signing = certificate.key_store, certificate.test_signing
    run.console.certificate(facts, key_store=certificate.key_store, test_signing=certificate.test_signing)
    run.warn(certificate_warnings(certificate))


def _sign_all(signing: Signing, engine: Engine) -> None:
    run, hooks = signing.run, engine.hooks
    run.record.engine = engine.name
    if hooks.tool is not None:
        run.console.notice(f"engine {engine.name}: {hooks.tool}")

    def heard() -> None:
        for line in (line for text in hooks.tool_output() for line in text.splitlines() if line.strip()):
            run.console.notice(f"    {engine.name}: {line}")

    batch = Batch(run, engine, heard if run.settings.verbose else None)
    try:
        batch.refuse(lambda artifact: _admit(artifact, signing, engine))
        batch.work(lambda artifact: _sign(artifact, signing, engine), engine.concurrency)
        for file in signing.kept:
            hooks.on_already_signed(file)
        if run.settings.provenance is not None and not run.cancelled.is_set():
            _leave_provenance(signing, engine)
    finally:
        record_engine(run, engine)


def _leave_provenance(signing: Signing, engine: Engine) -> None:
    """Sign and write the provenance; check_provenance refused every engine but the native one."""
    from kspsign.batch.provenance import write_provenance  # noqa: PLC0415 - few runs write one

    write_provenance(signing.run, cast("NativeEngine", engine), signing.verifier)


def _node(artifact: Artifact, run: Run) -> ContainerNode | None:
    """The container that the artifact is, where what is inside is worked on."""
    return None if run.inside is None else run.inside.nodes.get(artifact.name)


def _admit(artifact: Artifact, signing: Signing, engine: Engine) -> None:
    node = _node(artifact, signing.run)
    if node is None:
        admit_one(artifact, signing, engine)
        return
    from kspsign.batch.inside.steps import admit_container  # noqa: PLC0415 - few runs look inside

    admit_container(node, signing, engine)


def _sign(artifact: Artifact, signing: Signing, engine: Engine) -> FileOutcome:
    node = _node(artifact, signing.run)
    if node is None:
        return sign_one(artifact, signing, engine)
    from kspsign.batch.inside.steps import sign_container  # noqa: PLC0415 - few runs look inside

    return sign_container(node, signing, engine)


def _plan(artifact: Artifact, signing: Signing, planner: Planner) -> FileOutcome:
    node = _node(artifact, signing.run)
    if node is None:
        return plan_one(artifact, signing, planner)
    from kspsign.batch.inside.steps import plan_container  # noqa: PLC0415 - few runs look inside

    return plan_container(node, signing, planner)


def record_engine(run: Run, engine: Engine) -> None:
    """What the engine spent and found out, and what it has to say."""
    run.record.signatures_used, run.record.limits = engine.signatures_used, engine.limits
    for notice in engine.hooks.notices():
        run.console.notice(notice)
    run.warn(engine.hooks.warnings())


def _plan_all(signing: Signing, planner: Planner) -> None:
    Batch(signing.run).work(lambda artifact: _plan(artifact, signing, planner), LOCAL_SLOTS)
    signing.run.record.signatures_needed = planner.budget.spent + (signing.run.settings.provenance is not None)


def _check(verifier: Verifier, certificate: SyncedCertificate) -> None:
    """Refuse a certificate that can't give a valid signature before a signature is spent."""
    try:
        verifier.check_certificate(certificate)
    except TrustError as fault:
        raise PrerequisiteError(
            f"the certificate {certificate.thumbprint} can't sign: {fault.message}",
            code=fault.code,
            remedy=fault.remedy,
            hresult=fault.hresult,
        ) from fault
