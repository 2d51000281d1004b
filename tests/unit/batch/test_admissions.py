"""Admitted files are kept until they are held, and only as long as they are what was read."""

from __future__ import annotations

import os
from pathlib import Path

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.signable import SignableFile
from kspsign.batch.admissions import MOST_KEPT, Admissions
from kspsign.model.values import Artifact, Format
from kspsign.signing.copies import Targets
from support.formats.peimages import build_pe


def admitted(path: Path, admissions: Admissions, name: str | None = None) -> tuple[Artifact, SignableFile]:
    path.write_bytes(build_pe())
    artifact = Artifact(str(path), name or path.name, Format.PE, path.stat().st_size)
    file = open_signable(path, Format.PE)
    admissions.keep(artifact, path.stat(), file)
    return artifact, file


def test_a_file_is_taken_once_as_it_was_read(tmp_path: Path) -> None:
    admissions = Admissions()
    artifact, file = admitted(tmp_path / "a.dll", admissions)
    with Targets().hold(artifact) as held:
        assert admissions.take(held) is file
        assert admissions.take(held) is None


def test_a_file_that_was_written_to_meanwhile_is_not_taken(tmp_path: Path) -> None:
    admissions = Admissions()
    artifact, _file = admitted(tmp_path / "a.dll", admissions)
    before = artifact.path.stat()
    artifact.path.write_bytes(build_pe(overlay=b"built again"))
    os.utime(artifact.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with Targets().hold(artifact) as held:
        assert admissions.take(held) is None


def test_no_more_structures_are_kept_than_there_is_room_for(tmp_path: Path) -> None:
    admissions = Admissions()
    for number in range(MOST_KEPT):
        admitted(tmp_path / "a.dll", admissions, str(number))
    artifact, _file = admitted(tmp_path / "b.dll", admissions)
    with Targets().hold(artifact) as held:
        assert admissions.take(held) is None
