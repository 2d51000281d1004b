"""Manifests that list other files, in a container that is to be signed: found under any patterns, each read once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kspsign.authenticode.containers.kinds import ContainerKind
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.batch.inside.extract import Extracted, Extractor
from kspsign.batch.inside.folder import PrivateFolder
from kspsign.batch.inside.opener import Opened, Opener
from kspsign.batch.inside.patterns import InsidePatterns
from kspsign.model.values import Artifact
from support.formats.clickonce_samples import application_manifest
from support.formats.nested import image, zipped

PROGRAM = image(1)
MANIFEST = application_manifest({"App.exe": PROGRAM})
SIDE_BY_SIDE = b'<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0"/>'


def opened(folder: Path, files: dict[str, bytes], pattern: str, *, signs: bool = True) -> tuple[Opened, Extracted, int]:
    """The archive of these files, what was read of it, and how many private copies there are."""
    path, extracted = folder / "some.zip", Extracted()
    path.write_bytes(zipped(files))
    artifact = Artifact(str(path), "some.zip", None, path.stat().st_size)
    with PrivateFolder(folder) as private:
        opener = Opener(
            Extractor(private), InsidePatterns([pattern]), None, demanded=False, signs=signs, replaces=False
        )
        found = opener.open_nested(artifact, ContainerKind.ZIP, Snapshot(path, keep=False), extracted, 1)
        copies = [path for path in private.path.iterdir() if path.name != "in-use"]
    return found, extracted, len(copies)


@pytest.mark.parametrize("pattern", ["**", "**/*.exe"])
def test_a_manifest_of_files_that_are_to_be_signed_is_refused(pattern: str, tmp_path: Path) -> None:
    found, extracted, copies = opened(tmp_path, {"App.exe": PROGRAM, "App.exe.manifest": MANIFEST}, pattern)
    assert found.node.error is not None
    assert "App.exe.manifest in it states hashes" in found.node.error.message
    assert (extracted.files, extracted.size, copies) == (2, len(PROGRAM) + len(MANIFEST), 2)


def test_a_manifest_that_lists_nothing_is_read_once_too(tmp_path: Path) -> None:
    files = {"App.exe": PROGRAM, "App.exe.manifest": SIDE_BY_SIDE, "b.manifest": SIDE_BY_SIDE}
    found, extracted, copies = opened(tmp_path, files, "**")
    assert found.node.error is None
    assert [artifact.name for artifact in found.artifacts] == ["some.zip/App.exe"]
    assert (extracted.files, copies) == (3, 2), "the two manifests have one content"
    assert (found.facts.files, found.facts.not_matched, found.facts.not_signable) == (1, 0, 2)


def test_one_that_no_pattern_names_is_only_looked_at(tmp_path: Path) -> None:
    found, extracted, _copies = opened(tmp_path, {"App.exe": PROGRAM, "data/b.manifest": SIDE_BY_SIDE}, "*/App.exe")
    assert (extracted.files, found.facts.not_matched, found.facts.not_signable) == (2, 1, 0)
    judged, extracted, _copies = opened(tmp_path, {"App.exe": PROGRAM, "b.manifest": MANIFEST}, "*/*.exe", signs=False)
    assert (judged.node.error, extracted.files, judged.facts.not_matched) == (None, 1, 1), "nothing is signed"
