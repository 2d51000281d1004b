"""How a run begins its ledgers. Only a run that writes one imports this module: it takes long."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kspsign.batch.ledger import RunLedgers
from kspsign.batch.run import Run
from kspsign.keys.open import engine_for
from kspsign.keys.protocol import SigningKey
from kspsign.ledger.entries import KeyFacts, LedgerCertificate, RunEntry
from kspsign.ledger.file import LedgerFile
from kspsign.ledger.history import LedgerHistory, MonthlyLimit
from kspsign.ledger.text import fit_text
from kspsign.model.errors import ConfigurationError
from kspsign.model.run_facts import BuildFacts
from kspsign.model.signing_facts import CertificateFacts
from kspsign.model.version import VERSION
from kspsign.model.written_ledger import RotationFacts


def begin_written_ledgers(run: Run, signing: SigningKey) -> None:
    """The run's uses of the key are written from here on. Raises PrerequisiteError when a ledger can't be written."""
    certificate, store = signing.certificate, signing.store
    key_is_fixed = store is None or store.capabilities.fixed_certificate
    named, limit = run.settings.ledger, run.settings.max_signatures_per_month
    build = _fitted(run.context.build)
    alias, reference = certificate.alias, certificate.key_reference
    key = KeyFacts(
        store=certificate.key_store,
        alias=fit_text(alias) if alias is not None else None,
        reference={name: fit_text(value) for name, value in reference.items()},
    )
    history = LedgerHistory(build, key)
    run.record.ledgers = ledgers = RunLedgers(
        LedgerFile(named.absolute(), history) if named is not None else None,
        LedgerFile(_own_file(run)) if run.context.surface == "azure-pipelines" else None,
    )
    facts = run.record.certificate
    if facts is None:
        raise AssertionError  # certsync has presented it
    pipeline, command = run.context.pipeline, run.settings.command
    engine = engine_for(run.settings, certificate)

    def begun(identifier: str, time: str) -> RunEntry:
        return RunEntry(
            run=identifier,
            time=time,
            tool=f"kspsign {VERSION}",
            command=command,
            engine=engine,
            key=key,
            certificate=certificate_record(facts),
            build=build,
            branch=(fit_text(pipeline.branch) or None) if pipeline is not None else None,
            requested_for=(fit_text(pipeline.requested_for) or None) if pipeline is not None else None,
        )

    monthly = MonthlyLimit(history, limit) if limit is not None else None
    old = run.shared.uses.begin(begun, ledgers.files, monthly, rotates=not key_is_fixed)
    if old is not None:
        run.record.rotation = RotationFacts(old.thumbprint, facts.thumbprint, old.not_after, facts.not_after)
        run.console.notice(
            f"the key's certificate changed since the run before: {facts.thumbprint} (until {facts.not_after}), "
            f"before {old.thumbprint} (until {old.not_after})"
        )


def certificate_record(facts: CertificateFacts) -> LedgerCertificate:
    """The certificate as the ledger keeps it."""
    return LedgerCertificate(
        thumbprint=facts.thumbprint,
        sha256=facts.sha256,
        subject=fit_text(facts.subject),
        serial=facts.serial,
        not_after=facts.not_after,
    )


def _fitted(build: BuildFacts | None) -> BuildFacts | None:
    """The build with texts that a line can hold."""
    if build is None:
        return None
    values: dict[str, Any] = {}
    for name, value in asdict(build).items():
        values[name] = fit_text(value) if isinstance(value, str) else value
    return BuildFacts(**values)


def _own_file(run: Run) -> Path:
    """A file of this run alone, in the folder that the agent empties after the job."""
    parent = run.context.temp_folder.absolute() / "kspsign"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="ledger-", dir=parent)) / f"ledger-{run.shared.uses.run}.jsonl"
    except OSError as refused:
        raise ConfigurationError(
            f"can't create a folder for the ledger: {refused}",
            remedy="Give the agent's user write access to Agent.TempDirectory, and room on its disk.",
            file=str(parent),
        ) from refused
