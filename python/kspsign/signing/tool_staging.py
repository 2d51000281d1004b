"""Copies of files that a tool may change, and fresh ones where a call ended in the middle of its work.

A tool writes in place. When it dies, or is killed by a virus scanner, an administrator or a lack of memory, the file
that it was writing may be torn, and a program that it had started may write to it later. What such a call left is
never given to a tool again: the next try gets a fresh copy under a new name.
"""

from __future__ import annotations

from kspsign.authenticode.signable import ClearableFile, SignableFile
from kspsign.model.values import Artifact
from kspsign.programs.staging import StagingFolder
from kspsign.signing.copies import access_error
from kspsign.signing.tool_errors import ToolRefusal
from kspsign.signing.tool_state import Request


def stage(folder: StagingFolder, artifact: Artifact, file: SignableFile) -> str:
    """The name of a fresh copy of the artifact. OSError passes through."""
    name = folder.copy(artifact.path)
    try:
        if isinstance(file, ClearableFile):
            file.clear(folder.folder / name)
    except BaseException:
        folder.remove(name)
        raise
    return name


def stage_again(folder: StagingFolder, request: Request) -> bool:
    """Give the request a fresh copy for another try. False where there is none to be had: it is refused then."""
    try:
        _take(folder, request, stage(folder, request.artifact, request.file))
    except OSError as error:
        request.refusal = ToolRefusal(access_error(error), transient=False)
        return False
    return True


def restore(folder: StagingFolder, request: Request) -> None:
    """Give the request a fresh copy with the signatures that it had: none is asked for again.

    Raises ArtifactError when the artifact changed meanwhile; OSError passes through; the request keeps its copy then.
    """
    name = folder.new_name(request.artifact.path)
    try:
        with (folder.folder / name).open("w+b") as target:
            request.file.embed(request.file.digest([]), request.signatures, target)
    except BaseException:
        folder.remove(name)
        raise
    _take(folder, request, name)


def _take(folder: StagingFolder, request: Request, name: str) -> None:
    old, request.name = request.name, name
    folder.remove(old)
