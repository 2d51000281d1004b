"""Writes the signatures of files to files of their own, as PKCS#7 (DER or PEM)."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.signable import SignableFile
from kspsign.batch.finish import publish
from kspsign.batch.occupancy import detachable
from kspsign.batch.outcomes import extracted
from kspsign.batch.run import Run
from kspsign.batch.tree import identity_of
from kspsign.batch.walk import real_path
from kspsign.batch.work import Batch
from kspsign.batch.work_list import admit_outputs, select
from kspsign.concurrency.atomic_write import write_atomically
from kspsign.model.errors import ArtifactError, ConfigurationError
from kspsign.model.hresults import Hresult
from kspsign.model.report import FileOutcome, Report
from kspsign.model.values import Artifact
from kspsign.settings.model import STANDARD_OUTPUT
from kspsign.signing.shared_state import LOCAL_SLOTS
from kspsign.verifying.signatures import MAX_NESTED

SUFFIX: Final = ".p7s"
"""Of a signature file next to its file, which `attach` looks for."""
_PEM_WIDTH = 64
_EXCLUDE = "Exclude it (!PATTERN), or name the signed file."


def extract_signatures(run: Run, chosen: Callable[[Run], Run] = select) -> Report:
    """Write every signature of every file that `chosen` gives the run; the files stay as they are."""
    with run.to_its_end():
        admit_outputs(run)
        files = chosen(run)
        targets = _targets(files)
        taken = frozenset(map(_key, targets.values())) | {identity_of(artifact.real) for artifact in files.artifacts}
        pem = run.settings.pem
        run.console.notice(f"signatures are written to {_place(targets, run.settings.output)}")
        Batch(files).work(lambda artifact: extract_one(artifact, targets[artifact.name], taken, pem=pem), LOCAL_SLOTS)
    return publish(run)


def extract_one(artifact: Artifact, target: Path, taken: Collection[str], *, pem: bool) -> FileOutcome:
    """Write the file's signatures, the first one to `target` as the file has it, further ones alone to numbered files,
    none of which is one of the `taken`, the files that the run reads or writes for others.

    Raises ArtifactError (TRUST_E_NOSIGNATURE) for an unsigned file, (ERROR_NOT_SUPPORTED) for one whose signatures are
    not PKCS#7; TrustError for a signature that can't be read.
    """
    file = open_signable(artifact.path, artifact.format)
    detachable(file, as_pkcs7=True)
    signatures = tuple(every_signature(file))
    if not signatures:
        raise ArtifactError(Hresult.TRUST_E_NOSIGNATURE, "the file carries no signature to extract", remedy=_EXCLUDE)
    paths = [target, *(_numbered(target, number) for number in range(2, len(signatures) + 1))]
    for path in paths[1:]:
        if _key(path) in taken:
            raise ArtifactError(
                Hresult.ERROR_NOT_SUPPORTED,
                f"its further signature would be written to {path}, which this run reads or writes for another file",
                remedy="Extract these files one by one, with an --output each that no number makes another file's.",
            )
    for path, signature in zip(paths, signatures, strict=True):
        write_atomically(path, [_armoured(signature) if pem else signature])
    return extracted(artifact, file.snapshot.sha256())


def every_signature(file: SignableFile) -> Iterator[bytes]:
    """The signatures of the file as they are embedded, each followed by those that it carries.

    Raises ArtifactError (TRUST_E_MALFORMED_SIGNATURE) for more than are ever judged, TrustError for an unreadable one.
    """
    waiting, found = list(file.signatures), 0
    while waiting:
        if found == MAX_NESTED:
            raise ArtifactError(Hresult.TRUST_E_MALFORMED_SIGNATURE, "the file carries too many signatures")
        found += 1
        signature = waiting.pop(0)
        waiting[:0] = file.profile.read(signature).further
        yield signature


def _place(targets: Mapping[str, Path], output: Path | None) -> str:
    """Where the signatures go, for people."""
    if len(targets) == 1:
        return str(*targets.values())
    return f"NAME{SUFFIX} next to each file" if output is None else f"NAME{SUFFIX} in {output}"


def _targets(run: Run) -> Mapping[str, Path]:
    """The file of the first signature, by the artifact's name.

    Raises ConfigurationError when two are the same, or when one is a file that the run reads.
    """
    output, artifacts = run.settings.output, run.artifacts
    if output == STANDARD_OUTPUT:
        raise ConfigurationError("signatures are not written to standard output", remedy="Name a file or a folder.")
    alone = output is not None and len(artifacts) == 1 and not output.is_dir()
    targets = {artifact.name: output if alone and output else _in(output, artifact) for artifact in artifacts}
    read = {identity_of(artifact.real): artifact.name for artifact in artifacts}
    taken: dict[str, str] = {}
    for name, target in targets.items():
        key = _key(target)
        other = read.get(key) or taken.setdefault(key, name)
        if other != name or key in read:
            raise ConfigurationError(
                f"the signature of {name} would be written to {target}, which is that of {other} or that file itself",
                remedy="Extract these files one by one, with an --output each.",
            )
    return targets


def _in(folder: Path | None, artifact: Artifact) -> Path:
    return (folder or artifact.path.parent) / f"{artifact.path.name}{SUFFIX}"


def _key(path: Path) -> str:
    return identity_of(real_path(path))


def _numbered(target: Path, number: int) -> Path:
    """The file of a further signature: `target` with a number before the extension."""
    return target.with_name(f"{target.stem}.{number}{target.suffix}")


def _armoured(signature: bytes) -> bytes:
    """PEM (RFC 7468 §8)."""
    lines: Sequence[str] = textwrap.wrap(base64.b64encode(signature).decode(), _PEM_WIDTH)
    return "\n".join(("-----BEGIN PKCS7-----", *lines, "-----END PKCS7-----", "")).encode()
