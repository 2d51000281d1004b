"""The second phase of signing over an air gap: signs the digests of a document, where the key is and the files are not.

A signature is an answer to a digest alone: what the file is, the first phase says, and `attach` verifies.
"""

from __future__ import annotations

from typing import Final

from kspsign.batch.digest import document_output, write_document
from kspsign.batch.finish import publish
from kspsign.batch.outcomes import prepared
from kspsign.batch.run import Run
from kspsign.batch.stages import CheckedKey, certsync, record_engine, sign
from kspsign.batch.walk import real_path
from kspsign.batch.work import Batch
from kspsign.batch.work_list import admit_outputs, take
from kspsign.certificates.parse import key_kind, parse_certificate
from kspsign.keys.protocol import check_digest
from kspsign.model.errors import ArtifactError, ConfigurationError
from kspsign.model.hresults import Hresult
from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import Artifact, DigestAlgorithm, Format
from kspsign.settings.faults import option_name
from kspsign.settings.model import Settings
from kspsign.signing.digest_document import DigestDocument, DigestEntry, SignatureParts, read_document
from kspsign.signing.native import NativeEngine

_DECIDED_BEFORE: Final = (
    *("files", "append", "replace", "skip_signed", "description", "description_url", "page_hashes"),
    *("slice", "policy", "dry_run", "provenance"),
)
"""What the document says already, or what needs the files."""


def sign_document(run: Run) -> Report:
    """Sign every digest of the document --document that has no signature yet, and write it to --output."""
    with run.to_its_end():
        settings = run.settings
        _check_settings(settings)
        output = document_output(settings)
        admit_outputs(run)
        if settings.document is None:
            raise AssertionError  # this function is chosen by it
        document = read_document(settings.document)
        real = str(real_path(settings.document))
        entries = {entry.path: entry for entry in document.files}
        artifacts = [Artifact(real, name, entry.format, entry.size) for name, entry in entries.items()]
        files = take(run, tuple(artifacts))
        key = certsync(files)
        _check_key(key, document)
        engine = sign(files, key).source
        if not isinstance(engine, NativeEngine):
            raise _needs_native()
        files.record.engine = engine.name
        signed = _sign_all(files, key, engine, entries)
        if signed:
            files_signed = tuple(signed.get(entry.path, entry) for entry in document.files)
            write_document(document.model_copy(update={"files": files_signed}), output)
            for entry in signed.values():
                engine.on_written(entry.digest, DigestAlgorithm(entry.algorithm))
            run.console.notice(f"{output}: {count(len(signed), 'signature')}; attach puts them into the files")
    return publish(run)


def _sign_all(
    files: Run, key: CheckedKey, engine: NativeEngine, entries: dict[str, DigestEntry]
) -> dict[str, DigestEntry]:
    signed: dict[str, DigestEntry] = {}

    def step(artifact: Artifact) -> FileOutcome:
        entry = entries[artifact.name]
        if entry.signature is not None:
            return prepared(artifact, entry.sha256)
        _check_named(entry, key)
        _check_kind(entry, key)
        made = engine.sign_digest(entry.digest, DigestAlgorithm(entry.algorithm), entry.sha256, entry.path)
        parts = SignatureParts(
            value=made.signature.value,
            certificates=made.chain,
            timestamp=None if made.token is None else made.token.der,
        )
        signed[artifact.name] = entry.model_copy(update={"signature": parts})
        identifier = made.signature.request_id
        return prepared(artifact, entry.sha256, () if identifier is None else (identifier,))

    try:
        Batch(files, engine).work(step, engine.concurrency)
    finally:
        record_engine(files, engine)
    return signed


def _check_settings(settings: Settings) -> None:
    """Raise ConfigurationError for what can't be decided any more."""
    given = [option_name(name) for name in _DECIDED_BEFORE if name != "files" and getattr(settings, name)]
    if settings.files:
        given.insert(0, "PATTERN")
    if given:
        raise ConfigurationError(
            f"--document and {', '.join(given)} exclude each other: what is signed was decided when the digests were "
            "taken",
            remedy="Give these to `kspsign digest`, or leave them out.",
        )


def _check_key(key: CheckedKey, document: DigestDocument) -> None:
    """Raise ConfigurationError for a key that does not sign one of the document's digest algorithms."""
    if key.key.store is None:
        raise _needs_native()
    for algorithm in sorted({entry.algorithm for entry in document.files}):
        check_digest(key.key.store, DigestAlgorithm(algorithm))


def _check_named(entry: DigestEntry, key: CheckedKey) -> None:
    """Raise ArtifactError where the digest is for another certificate than the one that would sign."""
    store = key.key.store
    if entry.certificate is None or store is None:
        return
    if not store.capabilities.fixed_certificate or key.certificate.chain[0] != entry.certificate:
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            "its digest was taken for another certificate than the one that signs here",
            remedy="Take the digests again with this certificate as --signer.",
        )


def _check_kind(entry: DigestEntry, key: CheckedKey) -> None:
    """Raise ArtifactError where what is signed names another kind of key than the one that would sign."""
    kind = key_kind(parse_certificate(key.certificate.chain[0]))
    if entry.format is Format.VSIX and not kind.startswith("RSA"):
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            f"a VSIX package is signed with RSA, and the key here is {kind}",
            remedy="Sign VSIX packages with an RSA certificate, or take the digests without them.",
        )


def _needs_native() -> ConfigurationError:
    return ConfigurationError(
        "only the native engine signs digests: SignTool and smctl need the files",
        remedy="Leave --engine out, and use a key store that the native engine reaches.",
    )
