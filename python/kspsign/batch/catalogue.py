"""Creates a catalogue of the files that the patterns match, and signs it where a key store is named."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from kspsign.authenticode.cat.catalogue import MAX_SIZE
from kspsign.authenticode.cat.members import MAX_MEMBERS
from kspsign.authenticode.cat.write import (
    BY_AUTHENTICODE,
    BY_BOTH,
    DriverFacts,
    NewMember,
    authenticode_members,
    flat_member,
    write_catalogue,
)
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.io.snapshot import Snapshot, file_changed
from kspsign.authenticode.signable import MAX_SIGNATURE
from kspsign.batch.finish import publish
from kspsign.batch.outcomes import created
from kspsign.batch.run import Run
from kspsign.batch.stages import certsync, sign, verify
from kspsign.batch.work import Batch
from kspsign.batch.work_list import admit_outputs, select, take, with_policy
from kspsign.concurrency.atomic_write import write_atomically
from kspsign.model.errors import ArtifactError, CancelledError, ConfigurationError, NoFilesMatchedError
from kspsign.model.hresults import Hresult
from kspsign.model.plurals import count
from kspsign.model.report import FileOutcome, LeftOut, Report
from kspsign.model.values import COPY_PREFIX, Artifact, Format
from kspsign.settings.faults import option_name
from kspsign.settings.model import Settings
from kspsign.signing.copies import access_error
from kspsign.signing.locks import may_write

_LAST_TIME = datetime(9999, 12, 31, tzinfo=UTC)


def create_catalogue(run: Run) -> Report:
    """The catalogue of the matching files takes the place of --output when it is complete: signed and verified, or
    unsigned where no key is named. Any file that can't be read stops it: nothing is written then."""
    with run.to_its_end():
        target, moment = _target(run.settings), _moment(run)
        signs = _is_to_be_signed(run.settings)
        run = run._replace(settings=run.settings.model_copy(update={"output": None}))  # an older one is replaced
        admit_outputs(run)
        files = _without_target(select(run), target)
        members = _members(files)
        content = write_catalogue(members, moment, _driver(run.settings))
        if len(members) > MAX_MEMBERS or len(content) > MAX_SIZE - MAX_SIGNATURE:
            raise ConfigurationError(
                f"{len(members)} members ({len(content) >> 20} MiB) are more than a catalogue can have",
                remedy="Create one of each of several folders: verify takes --catalog more than once.",
            )
        if signs:
            _sign(run, target, content)
        else:
            _leave_unsigned(run, target, content)
    return publish(run)


def _target(settings: Settings) -> Path:
    """The catalogue to write; what would keep it from being written is known before anything is read or signed."""
    target = settings.output
    if target is None:
        raise ConfigurationError(
            "no file is named for the catalogue", remedy="Name it with --output, as in --output driver.cat."
        )
    if target.suffix.lower() != ".cat":
        raise ConfigurationError(
            f"--output names {target}: Windows takes only files that end in .cat for catalogues",
            remedy="Give the file the extension .cat.",
        )
    if target.absolute() in {path.absolute() for path in settings.output_files.values()}:
        raise ConfigurationError(f"--output and another option name {target}", remedy="Name two files.")
    if target.is_dir() or (target.exists() and not may_write(target)):
        raise ConfigurationError(
            f"--output {target} is a folder, or may not be written", remedy="Name another file, or allow writing it."
        )
    return target


def _moment(run: Run) -> datetime:
    """The date of the list: SOURCE_DATE_EPOCH (reproducible-builds.org), else the start of the run."""
    given = run.context.source_date_epoch
    if given is None:
        return run.record.started
    try:
        moment = datetime.fromtimestamp(int(given), UTC) if given.isascii() and given.isdigit() else None
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None or moment > _LAST_TIME:
        raise ConfigurationError(
            f"SOURCE_DATE_EPOCH is {given!r}, not a number of seconds since 1970",
            remedy="Set it as `git log -1 --format=%ct` prints it, or unset it.",
        )
    return moment


def _is_to_be_signed(settings: Settings) -> bool:
    """Whether a key is named; options of a key store without its name are refused."""
    if settings.key_store is not None or settings.thumbprint is not None:
        return True
    options = [name for name, value in settings.given_options.items() if not isinstance(value, SecretStr)]
    if options:
        raise ConfigurationError(
            f"{', '.join(map(option_name, sorted(options)))} is given, but no key store: the catalogue would not be "
            "signed",
            remedy="Name the key store with --key-store, or leave its options out to write an unsigned catalogue.",
        )
    return False


def _without_target(files: Run, target: Path) -> Run:
    """The files to be listed: the catalogue that is to be replaced is not one of them, nor are copies of a run."""
    real = target.resolve()
    left_out = {artifact.name: "the catalogue itself" for artifact in files.artifacts if artifact.path == real}
    left_out |= {
        artifact.name: "a signed copy that a run made next to its target"
        for artifact in files.artifacts
        if artifact.path.name.startswith(COPY_PREFIX)
    }
    files.record.left_out = (*files.record.left_out, *(LeftOut(*pair) for pair in left_out.items()))
    artifacts = tuple(artifact for artifact in files.artifacts if artifact.name not in left_out)
    if not artifacts:
        raise NoFilesMatchedError(files.settings.files, str(files.settings.folder.absolute()), "but the catalogue")
    return files._replace(artifacts=artifacts)


def _driver(settings: Settings) -> DriverFacts:
    return DriverFacts(settings.hardware_id, settings.os_attribute)


def _members(files: Run) -> tuple[NewMember, ...]:
    """One for each file, two for an MSI package; of files with the same name and content one."""
    members: dict[NewMember, None] = {}
    for artifact in files.artifacts:
        if files.cancelled.is_set():
            raise CancelledError
        try:
            members.update(dict.fromkeys(_members_of(artifact)))
        except OSError as error:
            raise _named(access_error(error), artifact.name) from error
        except ArtifactError as damaged:
            raise _named(damaged, artifact.name) from damaged
    files.console.notice(f"{count(len(files.artifacts), 'file')}, {count(len(members), 'member')}")
    return tuple(members)


def _members_of(artifact: Artifact) -> Iterator[NewMember]:
    snapshot = Snapshot(artifact.path)
    name = artifact.name if not Path(artifact.name).is_absolute() else artifact.path.name
    name = name.rpartition("../")[2]
    try:
        name.encode()
    except UnicodeEncodeError as foreign:
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            "a catalogue can't name it: its name has bytes that are not UTF-8",
            remedy="Rename the file, or exclude it (!PATTERN).",
        ) from foreign
    if artifact.format in BY_AUTHENTICODE | BY_BOTH and artifact.format is not None:
        yield from authenticode_members(open_signable(snapshot, artifact.format), artifact.format, name)
    if artifact.format not in BY_AUTHENTICODE:
        yield flat_member(bytes.fromhex(snapshot.sha256()), name)


def _leave_unsigned(run: Run, target: Path, content: bytes) -> None:
    artifact = _catalogue(target, len(content))

    def write(artifact: Artifact) -> FileOutcome:
        write_atomically(target.absolute(), [content])
        return created(artifact, hashlib.sha256(content).hexdigest())

    Batch(run._replace(artifacts=(artifact,))).work(write, 1)
    run.console.notice(f"{artifact.name} is not signed: no key store is named. Sign it with `kspsign sign`")


def _sign(run: Run, target: Path, content: bytes) -> None:
    """Sign the catalogue in a private folder; it is moved to its place when it verifies."""
    with tempfile.TemporaryDirectory(dir=run.settings.temp_folder) as folder:
        staged = Path(folder).resolve() / target.name
        staged.write_bytes(content)
        artifact = _catalogue(target, len(content))._replace(real=str(staged))
        files = take(with_policy(run), (artifact,))
        key = certsync(files)
        verify(files, sign(files, key))
        outcome = run.record.outcomes.get(artifact.name)
        if outcome is not None and outcome.outcome == "signed":
            _move(staged, target, outcome)


def _move(staged: Path, target: Path, outcome: FileOutcome) -> None:
    """Give the target the content that was verified; raises ArtifactError."""
    try:
        content = staged.read_bytes()
        if hashlib.sha256(content).hexdigest() != outcome.sha256_after:
            raise file_changed()
        write_atomically(target.absolute(), [content])
    except OSError as error:
        raise _named(access_error(error), str(target)) from error


def _catalogue(target: Path, size: int) -> Artifact:
    return Artifact(str(target.absolute()), target.as_posix(), Format.CAT, size)


def _named(error: ArtifactError, name: str) -> ArtifactError:
    """`error` with the file that it is about."""
    return ArtifactError(error.hresult or Hresult.ERROR_BAD_FORMAT, error.message, remedy=error.remedy, file=name)
