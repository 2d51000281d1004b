"""Whether the files that a manifest lists are there, and are what it says they are."""

from __future__ import annotations

from collections.abc import Sequence

from kspsign.authenticode.clickonce.license import identity_of
from kspsign.authenticode.clickonce.manifest import MAX_MANIFEST, ClickOnceManifest, read_manifest
from kspsign.authenticode.clickonce.names import TOKEN
from kspsign.authenticode.clickonce.references import Entry
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.references import FileReference, looked_up
from kspsign.authenticode.xmldsig.document import XmlNode
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.plurals import count
from kspsign.model.values import DigestAlgorithm, Finding

_TOGETHER = "Verify it where its files are: in the folder that is published, before anything in it is moved."
_CHANGING = frozenset({"xmlns", TOKEN})


def files_finding(references: Sequence[FileReference], manifest: ClickOnceManifest) -> Finding:
    """The check "manifest-files": every file is there, with the size and hash that are stated, and manifests among them
    are signed and have the identity that is stated."""
    weak = next((found.name for found in references if found.algorithm is DigestAlgorithm.SHA1), None)
    if weak is not None:
        return Finding("manifest-files", f"the hash of {weak} is of SHA-1, which proves nothing", Hresult.NTE_BAD_ALGID)
    looked = [*looked_up(references)]
    missing = sum(actual is None for _, actual in looked)
    if looked and missing == len(looked):
        detail = f"not looked at: of {count(len(looked), 'listed file')} none is here"
        return Finding("manifest-files", detail, Hresult.ERROR_FILE_NOT_FOUND, _TOGETHER)
    for reference, actual in looked:
        fault = reference.difference(actual)
        if fault is not None:
            hresult = Hresult.ERROR_FILE_NOT_FOUND if actual is None else Hresult.TRUST_E_BAD_DIGEST
            return Finding("manifest-files", fault, hresult)
    if manifest.is_deployment:
        for entry, reference in zip(manifest.entries, references, strict=True):
            fault = _identity_fault(entry, reference)
            if fault is not None:
                return Finding("manifest-files", fault, Hresult.TRUST_E_BAD_DIGEST)
    return Finding("manifest-files", f"{len(looked)}, each with the size and hash that are stated")


def token_of_listed(entry: Entry, reference: FileReference) -> str:
    """The key's token of the application manifest that the deployment's `entry` is about, as it is now. Raises
    ArtifactError (ERROR_BAD_FORMAT) when it is not one, or has another name, version, language or architecture."""
    listed = _read_listed(reference)
    if entry.identity is None or _unsigned(entry.identity) != _unsigned(listed.identity):
        raise ArtifactError(
            Hresult.ERROR_BAD_FORMAT,
            f"{reference.name} is another application, or another version of it, than the deployment lists",
            remedy="Publish again: application and deployment manifest are created together.",
        )
    return listed.token or ""


def _identity_fault(entry: Entry, reference: FileReference) -> str | None:
    if entry.identity is None:
        return f"{reference.name} is not an application"
    try:
        listed = _read_listed(reference)
    except ArtifactError as broken:
        return broken.message
    if listed.signature is None:
        return f"{reference.name} is not signed"
    stated, actual = identity_of(entry.identity), identity_of(listed.identity)
    if any(stated.get(name) != actual.get(name) for name in {*stated, *actual} - {"xmlns"}):
        return f"{reference.name} has another identity than is stated"
    return None


def _unsigned(identity: XmlNode) -> dict[str, str]:
    """What an identity says, without what changes when its manifest is signed."""
    return {name: value for name, value in identity_of(identity).items() if name not in _CHANGING}


def _read_listed(reference: FileReference) -> ClickOnceManifest:
    """The application manifest that a deployment lists. Raises ArtifactError (ERROR_BAD_FORMAT) when it is not one."""
    try:
        listed = read_manifest(Snapshot(reference.path, keep=False).whole(MAX_MANIFEST))
        identity_of(listed.identity)
    except ValueError as broken:
        message = f"{reference.name}, which it lists, is not an application manifest: {broken}"
        raise ArtifactError(Hresult.ERROR_BAD_FORMAT, message) from broken
    return listed
