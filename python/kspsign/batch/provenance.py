"""The provenance of a run: checked before anything is signed, signed once and written when all files are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from kspsign.batch.run import Run
from kspsign.batch.sboms import find_sboms
from kspsign.keys.open import engine_for
from kspsign.keys.protocol import SigningKey, check_digest
from kspsign.model.errors import ConfigurationError, KspSignError
from kspsign.model.pipeline import PipelineFacts
from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome
from kspsign.model.run_facts import BuildFacts
from kspsign.model.values import iso_utc
from kspsign.model.version import VERSION
from kspsign.provenance.bundle import MEDIA_TYPE, SignedStatement, algorithm_of, bundle_text, digest_to_sign
from kspsign.provenance.statement import (
    BUILD_TYPE,
    BUILDERS,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    BuildDefinition,
    Builder,
    BuildMetadata,
    Definition,
    ExternalParameters,
    InternalParameters,
    Provenance,
    ReadFile,
    RunDetails,
    SourceCommit,
    Statement,
    Subject,
    is_commit,
    statement_text,
)
from kspsign.publishing import remove_record, write_record
from kspsign.publishing.sanitize import encodable
from kspsign.verifying.provenance import check_rule, verify_provenance

if TYPE_CHECKING:
    from kspsign.signing.native import NativeEngine
    from kspsign.verifying import Verifier

_Facts = TypeVar("_Facts", BuildFacts, PipelineFacts)


def check_provenance(run: Run, key: SigningKey) -> None:
    """Raise ConfigurationError for what would keep the provenance from being signed, and TrustError when it would not
    be what the policy demands: nothing is signed then."""
    rule = run.judge.policy.provenance if run.judge is not None else None
    if run.settings.provenance is None:
        if rule is not None:
            raise ConfigurationError(
                "the policy demands provenance, and the run would write none",
                remedy="Name the file to write with --provenance.",
            )
        return
    if run.settings.slice is not None:
        raise ConfigurationError(
            "--provenance and --slice exclude each other: one statement is of all files",
            remedy="Sign in one job, or leave --provenance out.",
        )
    if engine_for(run.settings, key.certificate) != "native":
        raise ConfigurationError(
            "--provenance needs --engine native: SignTool and smctl sign files only",
            remedy="Leave --engine out with a key store that the native engine reaches, or leave --provenance out.",
        )
    if key.store is not None:
        check_digest(key.store, algorithm_of(key.certificate.chain[0]))
    _source(run)
    _check_names(run)
    if rule is not None:
        check_rule(_statement(run, (Subject(name="-", digest={"sha256": "0" * 64}),)), rule)


def withdraw_provenance(run: Run) -> None:
    """Remove the provenance that an earlier run wrote to the same file: it is not of the files that this run leaves,
    and stays away when this run fails or is killed. Raises ConfigurationError when it can't be removed."""
    path = run.settings.provenance
    if path is not None and remove_record(path, MEDIA_TYPE.encode()):
        run.console.notice(f"{path}: removed, the provenance of an earlier run")


def write_provenance(run: Run, engine: NativeEngine, verifier: Verifier) -> None:
    """Sign and write the statement on all files of the run, verified first. A run with failures has none, and says so.

    Costs one signature. Raises what the key store and the timestamp servers do; ConfigurationError when the file can't
    be written.
    """
    path = run.settings.provenance
    if path is None:
        return
    outcomes = [run.record.outcomes.get(artifact.name) for artifact in run.record.matched]
    if not all(outcome is not None and outcome.verdict.ok and outcome.error is None for outcome in outcomes):
        run.console.notice(f"{path} is not written: not every file is signed and verified")
        return
    statement = _statement(run, tuple(_subjects(run, [outcome for outcome in outcomes if outcome is not None])))
    payload = statement_text(statement)
    algorithm = algorithm_of(engine.leaf)
    digest = digest_to_sign(payload, algorithm)
    try:
        made = engine.sign_statement(digest, algorithm, str(path))
    except KspSignError as fault:
        run.console.notice(f"{path} is not written: all files are signed and verified, but it could not be signed")
        fault.file = str(path)
        raise
    token = made.token.der if made.token is not None else None
    text = bundle_text(SignedStatement(payload, made.signature.value, made.chain, token))
    try:
        verified = verify_provenance(text.encode(), str(path), verifier)
        write_record(path, (text,))
    except KspSignError as fault:
        engine.on_given_up(digest, algorithm, fault.code)
        raise
    engine.on_written(digest, algorithm)
    run.record.provenance = verified.facts
    run.console.notice(f"{path}: provenance of {count(verified.facts.subjects, 'subject')}, one signature")


def _source(run: Run) -> tuple[BuildFacts, PipelineFacts]:
    """What the pipeline says of the source. Raises ConfigurationError where it does not."""
    build, pipeline = run.context.build, run.context.pipeline
    if build is None or pipeline is None:
        raise ConfigurationError(
            "--provenance needs a pipeline: which source was built is not known here",
            remedy="Sign in Azure Pipelines or GitHub Actions, or leave --provenance out.",
        )
    parts = {
        "the repository's address": pipeline.repository_uri,
        "the branch": pipeline.branch,
        "the commit": build.source_version,
        "the definition": build.definition,
    }
    missing = [name for name, value in parts.items() if not value]
    if missing:
        raise ConfigurationError(
            f"--provenance needs a build with its source: the pipeline's variables lack {', '.join(missing)}",
            remedy="Sign in the pipeline that builds (a classic release has no source), or leave --provenance out.",
        )
    if not is_commit(build.source_version.lower()):
        raise ConfigurationError(
            f"--provenance needs a commit of Git, and the pipeline built {build.source_version}",
            remedy="Build from a Git repository (TFVC and Subversion have no commits), or leave --provenance out.",
        )
    return _encodable(build), _encodable(pipeline)


def _encodable(facts: _Facts) -> _Facts:
    """The facts of variables, whose bytes may not decode, as JSON can hold them."""
    values: dict[str, Any] = {}
    for field in fields(facts):
        value = getattr(facts, field.name)
        values[field.name] = encodable(value) if isinstance(value, str) else value
    return replace(facts, **values)


def _statement(run: Run, subjects: tuple[Subject, ...]) -> Statement:
    build, pipeline = _source(run)
    external = ExternalParameters(
        repository=pipeline.repository_uri,
        ref=pipeline.branch,
        definition=Definition(name=build.definition, id=pipeline.definition_id),
    )
    source = SourceCommit(uri=external.source, digest={"gitCommit": build.source_version.lower()})
    definition = BuildDefinition(
        buildType=BUILD_TYPE,
        externalParameters=external,
        internalParameters=InternalParameters(
            host=pipeline.host,
            hosted=pipeline.hosted,
            reason=pipeline.reason,
            requestedFor=pipeline.requested_for,
            job=build.job,
            attempt=build.attempt,
        ),
        resolvedDependencies=(source, *_read_files(run)),
    )
    details = RunDetails(
        builder=Builder(id=BUILDERS[run.context.caller], version={"kspsign": VERSION}),
        metadata=BuildMetadata(
            invocationId=_run_address(build, pipeline),
            startedOn=iso_utc(run.record.started),
            finishedOn=iso_utc(datetime.now(UTC)),
        ),
    )
    return Statement(
        _type=STATEMENT_TYPE,
        subject=subjects,
        predicateType=PREDICATE_TYPE,
        predicate=Provenance(buildDefinition=definition, runDetails=details),
    )


def _read_files(run: Run) -> Iterator[ReadFile]:
    """The policy and the configuration that the run read: their hashes are those of the report, over LF."""
    for kind, facts in (("policy", run.record.policy), ("configuration", run.settings.configuration.facts)):
        if facts is not None:
            yield ReadFile(name=encodable(facts.name), digest={"sha256": facts.sha256}, annotations={"kind": kind})


def _run_address(build: BuildFacts, pipeline: PipelineFacts) -> str:
    if pipeline.host == "github-actions":
        return f"{pipeline.project_uri}/actions/runs/{build.id}/attempts/{build.attempt}"
    return f"{pipeline.project_uri or build.collection + build.project}/_build/results?buildId={build.id}"


def _check_names(run: Run) -> None:
    """Raise ConfigurationError where two subjects would have one name."""
    names = [encodable(artifact.name) for artifact in run.artifacts]
    taken = Counter([*names, *map(_before, names)])
    repeated = next((name for name, number in taken.items() if number > 1), None)
    if repeated is not None:
        raise ConfigurationError(
            f"--provenance would name two files {repeated}",
            remedy="Rename one of the files, or leave --provenance out.",
        )


def _before(name: str) -> str:
    return f"{name} (before signing)"


def _subjects(run: Run, outcomes: list[FileOutcome]) -> Iterator[Subject]:
    """Each file as it is now, and as it was before it was signed; then the bills of materials next to them."""
    for outcome in outcomes:
        name = encodable(outcome.path)
        state = outcome.outcome if outcome.outcome in {"signed", "rebuilt"} else "as found"
        if outcome.sha256_after is not None:
            yield _subject(name, outcome.sha256_after, state)
        if outcome.sha256_before not in {None, outcome.sha256_after}:
            yield _subject(_before(name), outcome.sha256_before or "", "before signing")
    for sbom in find_sboms(run.record.matched, run.settings.folder):
        yield _subject(encodable(sbom.name), sbom.sha256, f"{sbom.kind} SBOM")


def _subject(name: str, sha256: str, state: str) -> Subject:
    return Subject.model_validate({"name": name, "digest": {"sha256": sha256}, "annotations": {"state": state}})
