"""Puts signatures that were made elsewhere into their files: of a PKCS#7 file, or of a digest document."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.profile import FileSignature
from kspsign.authenticode.signable import MAX_SIGNATURE, Digest, SignableFile
from kspsign.batch.extract import SUFFIX
from kspsign.batch.finish import publish
from kspsign.batch.occupancy import check_place, detachable
from kspsign.batch.outcomes import failed, signed
from kspsign.batch.run import Run
from kspsign.batch.select import named_artifacts
from kspsign.batch.walk import real_path
from kspsign.batch.work import Batch
from kspsign.batch.work_list import admit_outputs, select, take
from kspsign.certificates.parse import thumbprint_of
from kspsign.model.errors import ArtifactError, ConfigurationError, NoFilesMatchedError
from kspsign.model.hresults import Hresult
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import Artifact, DigestAlgorithm
from kspsign.settings.model import Settings
from kspsign.signing.copies import LockedTarget, SignedCopy, Targets
from kspsign.signing.digest_document import DigestEntry, read_document
from kspsign.signing.shared_state import LOCAL_SLOTS
from kspsign.verifying import Verifier, open_verifier

_ROOM: Final = 16
"""Times the size of a usual signature: page hashes, and base64."""
_PEM = re.compile(rb"-----BEGIN (PKCS7|CMS)-----([A-Za-z0-9+/=\s]*)-----END \1-----\s*")


class Supplied(NamedTuple):
    """A signature for one file: its bytes, and the SHA-256 (hex) of the file that it was made for, where that is
    known."""

    signature: bytes
    sha256: str | None = None


Supplier = Callable[[Artifact, SignableFile], Supplied]
"""Raises ArtifactError where there is none."""


@dataclass(frozen=True, slots=True)
class Attaching:
    """What the files of a run have in common: where their signatures come from, and who judges the result."""

    settings: Settings
    supplied: Supplier
    verifier: Verifier
    targets: Targets


def attach_signatures(run: Run, chosen: Callable[[Run], Run] = select) -> Report:
    """Attach the signatures of --document, else those of signature files, to the files that `chosen` gives the run."""
    with run.to_its_end():
        admit_outputs(run)
        settings = run.settings
        if settings.document is not None:
            files, supplied = _of_document(run, settings.document)
        else:
            files = chosen(run)
            supplied = partial(_from_file, named=_only(settings.signature, files))
        verifier = open_verifier(settings, None)
        files.trusts(verifier)
        attaching = Attaching(settings, supplied, verifier, run.shared.targets)
        Batch(files).work(lambda artifact: attach_one(artifact, attaching), LOCAL_SLOTS)
    return publish(run)


def attach_one(artifact: Artifact, attaching: Attaching) -> FileOutcome:
    """The path of one artifact: a copy with the signature is verified, then takes its place.

    Raises ArtifactError when there is no signature for the file, when it is that of another content, and when the file
    changed since its digest was taken; KspSignError (ALREADY_SIGNED); TrustError for an unreadable signature.
    """
    settings = attaching.settings
    with attaching.targets.hold(artifact) as held:
        held.check_writable()
        file = open_signable(artifact.path, artifact.format, replacing=settings.replace)
        check_place(file, append=settings.append, replace=settings.replace)
        detachable(file, as_pkcs7=settings.document is None)
        supplied = attaching.supplied(artifact, file)
        read: FileSignature = file.profile.read(supplied.signature)
        digest: Digest = file.digest_to_check((read,))
        _check_content(read, digest, supplied)
        copy = _write(held, file, digest, supplied.signature, append=settings.append)
        copy = copy._replace(certificate=None if read.certificate is None else thumbprint_of(read.certificate))
        started = time.perf_counter()
        verification = attaching.verifier.verify_by_names(copy.path, artifact.format, artifact.names, digest)
        if verification.error is not None:
            held.check_unchanged()
            return failed(artifact, verification.error, sha256=digest.sha256, verification=verification)
        attaching.targets.commit(held, copy)
        return signed(artifact, copy, verification, {"verify": round(time.perf_counter() - started, 6)})


def read_signature_file(path: Path) -> bytes:
    """The DER ContentInfo in a file, DER or PEM. Raises ArtifactError when there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIGNATURE * _ROOM + 1)
    except FileNotFoundError as missing:
        raise ArtifactError(
            Hresult.TRUST_E_NOSIGNATURE,
            f"there is no signature for it: {path} does not exist",
            remedy=f"Put the signature next to the file as NAME{SUFFIX}, or name it with --signature.",
        ) from missing
    if len(data) > MAX_SIGNATURE * _ROOM:
        raise _unreadable(path, "it is too large for one")
    armoured = _PEM.search(data)
    try:
        decoded = base64.b64decode(b"".join(armoured[2].split()), validate=True) if armoured else data
    except binascii.Error as broken:
        raise _unreadable(path, "its base64 is damaged") from broken
    if not decoded.startswith(b"\x30"):
        raise _unreadable(path, "it is neither DER nor PEM")
    return decoded


def _check_content(read: FileSignature, digest: Digest, supplied: Supplied) -> None:
    if supplied.sha256 is not None and supplied.sha256 != digest.sha256:
        raise _changed()
    if digest.values.get(read.algorithm) != read.file_digest:
        raise ArtifactError(
            Hresult.TRUST_E_BAD_DIGEST,
            "the signature is that of another content",
            remedy="Attach the signature to the file that it was made for, without a change since.",
        )


def _changed() -> ArtifactError:
    return ArtifactError(
        Hresult.TRUST_E_BAD_DIGEST,
        "the file changed since its digest was taken",
        remedy="Take the digest of the file as it is now (kspsign digest), and have that signed.",
    )


def _write(held: LockedTarget, file: SignableFile, digest: Digest, signature: bytes, *, append: bool) -> SignedCopy:
    path = held.create_copy()
    signatures = file.profile.append(file.signatures, signature) if append else (signature,)
    with path.open("r+b") as target:
        file.embed(digest, signatures, target)
    return SignedCopy(held.artifact, path, digest, {})


def _only(signature: Path | None, files: Run) -> Path | None:
    """Raises ConfigurationError for one signature and several files."""
    if signature is not None and len(files.artifacts) != 1:
        raise ConfigurationError(
            f"--signature names one signature, and {len(files.artifacts)} files match",
            remedy=f"Name one file, or put each signature next to its file as NAME{SUFFIX}.",
        )
    return signature


def _from_file(artifact: Artifact, _file: SignableFile, named: Path | None) -> Supplied:
    path = named or artifact.path.with_name(f"{artifact.path.name}{SUFFIX}")
    return Supplied(read_signature_file(path))


def _of_document(run: Run, path: Path) -> tuple[Run, Supplier]:
    """The files of the document below --folder. Raises ConfigurationError, NoFilesMatchedError when one is missing."""
    settings = run.settings
    if settings.files or settings.signature is not None:
        raise ConfigurationError(
            "--document names the files and their signatures: patterns and --signature exclude it",
            remedy="Leave one of them out.",
        )
    entries = {entry.path: entry for entry in read_document(path).files}
    folder = real_path(settings.folder)
    missing = tuple(name for name in entries if not _is_below(settings.folder / name, folder))
    if missing:
        raise NoFilesMatchedError(missing, str(settings.folder.absolute()), f"the document {path} names them")
    artifacts = named_artifacts(map(Path, entries), settings.folder)
    shared = next((artifact.names for artifact in artifacts if len(artifact.names) > 1), None)
    if shared is not None:
        raise ConfigurationError(
            f"the document {path} names one file twice, as {shared[0]} and as {shared[1]}",
            remedy="Take the digests again, of each file by one name.",
        )
    return take(run, artifacts), partial(_from_entry, entries=entries)


def _is_below(path: Path, folder: Path) -> bool:
    """Whether a file is there, and no link leads out of the real `folder` on the way to it."""
    try:
        return path.is_file() and real_path(path).is_relative_to(folder)
    except OSError:  # a name that is too long here
        return False


def _from_entry(artifact: Artifact, file: SignableFile, entries: Mapping[str, DigestEntry]) -> Supplied:
    entry = entries[artifact.name]
    parts = entry.signature
    if parts is None:
        raise ArtifactError(
            Hresult.TRUST_E_NOSIGNATURE,
            "the document holds no signature of it",
            remedy="Sign the document where the key is: kspsign sign --document FILE --output FILE.",
        )
    if artifact.size != entry.size:
        raise _changed()
    if artifact.format != entry.format:
        raise ArtifactError(Hresult.TRUST_E_BAD_DIGEST, f"the document says that it is of format {entry.format}")
    to_sign = detachable(file).restore(
        DigestAlgorithm(entry.algorithm), entry.content, entry.attributes, entry.certificate
    )
    return Supplied(to_sign.assemble(parts.value, parts.certificates, token=parts.timestamp), entry.sha256)


def _unreadable(path: Path, why: str) -> ArtifactError:
    return ArtifactError(
        Hresult.TRUST_E_MALFORMED_SIGNATURE,
        f"{path} does not hold a PKCS#7 signature: {why}",
        remedy="Give the signature as DER or PEM, as kspsign extract and osslsigncode extract-signature write it.",
    )
