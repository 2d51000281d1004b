"""The first phase of signing over an air gap: what must be signed of files, in a document of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kspsign.authenticode.formats import NAMING_CERTIFICATE, open_signable
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Digest
from kspsign.batch.finish import publish
from kspsign.batch.occupancy import check_place, detachable
from kspsign.batch.outcomes import prepared
from kspsign.batch.run import Run
from kspsign.batch.walk import real_path
from kspsign.batch.work import Batch
from kspsign.batch.work_list import admit_outputs, select
from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.file import read_certificate_file
from kspsign.concurrency.atomic_write import write_atomically
from kspsign.model.errors import ArtifactError, ConfigurationError
from kspsign.model.hresults import Hresult
from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import Artifact, iso_utc
from kspsign.model.version import VERSION
from kspsign.settings.model import STANDARD_OUTPUT, Settings
from kspsign.signing.copies import access_error
from kspsign.signing.digest_document import SCHEMA, DigestDocument, DigestEntry, path_fault, same_names
from kspsign.signing.locks import may_write
from kspsign.signing.plan import signing_terms
from kspsign.signing.shared_state import LOCAL_SLOTS


@dataclass(frozen=True, slots=True)
class Digesting:
    """How digests are taken, and the entries so far by the artifact's name."""

    settings: Settings
    terms: SigningTerms
    entries: dict[str, DigestEntry] = field(default_factory=dict)


def write_digests(run: Run, chosen: Callable[[Run], Run] = select) -> Report:
    """Write the digest document of the files that `chosen` gives the run: of those whose digest could be taken."""
    with run.to_its_end():
        output = document_output(run.settings)
        admit_outputs(run)
        files = chosen(run)
        _check_names(files)
        digesting = Digesting(run.settings, signing_terms(run.settings, _chain(run.settings)))
        Batch(files).work(lambda artifact: digest_one(artifact, digesting), LOCAL_SLOTS)
        entries = tuple(
            digesting.entries[artifact.name] for artifact in files.artifacts if artifact.name in digesting.entries
        )
        if entries and not run.cancelled.is_set():
            write_document(
                DigestDocument(
                    schema=SCHEMA, tool=f"kspsign {VERSION}", created=iso_utc(datetime.now(UTC)), files=entries
                ),
                output,
            )
            run.console.notice(f"{output}: what must be signed of {count(len(entries), 'file')}")
    return publish(run)


def digest_one(artifact: Artifact, digesting: Digesting) -> FileOutcome:
    """Take what must be signed of one file, as a signature on these terms would have it.

    Raises ArtifactError for a file that can't be signed, or not in two phases; KspSignError (ALREADY_SIGNED).
    """
    settings, terms = digesting.settings, digesting.terms
    path = _path_below_folder(artifact, settings)
    file = open_signable(artifact.path, artifact.format, replacing=settings.replace)
    check_place(file, append=settings.append, replace=settings.replace)
    profile = detachable(file)
    names_certificate = artifact.format in NAMING_CERTIFICATE
    if names_certificate and not terms.chain:
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            "what is signed of this format depends on the signer's certificate",
            remedy="Name the certificate with --signer.",
        )
    file.admit(terms)
    digest: Digest = file.digest_to_sign(terms)
    to_sign = profile.prepare(terms, file.content(terms, digest))
    digesting.entries[artifact.name] = DigestEntry(
        path=path,
        format=artifact.format,
        size=artifact.size,
        sha256=digest.sha256,
        algorithm=settings.digest,
        content=to_sign.content,
        attributes=to_sign.attributes,
        digest=to_sign.digest,
        certificate=terms.chain[0] if names_certificate else None,
    )
    return prepared(artifact, digest.sha256)


def document_output(settings: Settings) -> Path:
    """The file that the document goes to. Raises ConfigurationError when none is named, and when it can't be written:
    that is known before a signature is spent."""
    if settings.output is None or settings.output == STANDARD_OUTPUT or settings.output.is_dir():
        raise ConfigurationError(
            "there is no file for the digest document", remedy="Name the file to write with --output."
        )
    output = settings.output.absolute()
    place = next(path for path in (output, *output.parents) if path.exists())
    if not may_write(place) or (place != output and not place.is_dir()):
        raise ConfigurationError(
            f"the digest document {settings.output} can't be written: {place} is in the way or is read-only",
            remedy="Name another file with --output.",
        )
    return settings.output


def write_document(document: DigestDocument, output: Path) -> None:
    """Write the document as a whole. Raises ArtifactError when that is not possible."""
    try:
        write_atomically(output, [document.encoded()])
    except OSError as refused:
        raise access_error(refused) from refused


def _chain(settings: Settings) -> tuple[bytes, ...]:
    """The signer's certificate and its issuers; () where none is named."""
    if settings.signer is None:
        return ()
    return ordered_chain(*read_certificate_file(settings.signer))


def _check_names(files: Run) -> None:
    """Raise ConfigurationError for two files that one document can't name apart on every system."""
    same = same_names(artifact.name for artifact in files.artifacts)
    if same is not None:
        raise ConfigurationError(
            f"{same[0]} and {same[1]} differ in case or in Unicode's forms alone, and are one file on other systems",
            remedy="Take their digests in two documents, or exclude one (!PATTERN).",
        )


def _path_below_folder(artifact: Artifact, settings: Settings) -> str:
    """The path by which the document names the file; raises ArtifactError when none does, or none on every system."""
    folder, real = settings.folder.absolute(), real_path(settings.folder)
    path = next((path for path in (folder / artifact.name, artifact.path) if path.is_relative_to(folder)), None)
    if path is None or not artifact.path.is_relative_to(real):
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            f"it is not below {folder}, by which the document names its files",
            remedy="Name a folder that holds all the files with --folder, here and for attach; a link that leads out "
            "of it does not.",
        )
    name = path.relative_to(folder).as_posix()
    fault = path_fault(name)
    if fault is not None:
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            f"the document can't name it on every system: {fault}",
            remedy="Rename the file, or sign it in one step (kspsign sign).",
        )
    return name
