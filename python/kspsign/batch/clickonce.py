"""Files that a ClickOnce application manifest vouches for by their hashes: signing them alone breaks it.

The manifest (`app.exe.manifest`, [MS-CLICKONCE] schema asm.v2) lies in the folder that its paths start from; files may
have `.deploy` appended to their names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from kspsign.authenticode.formats import SIGNED_AFTER_OTHERS
from kspsign.model.values import Artifact

MAX_MANIFEST = 8 << 20
"""Bytes of a manifest that are looked at."""
_DEPLOY = ".deploy"


def listed_in_manifests(artifacts: Sequence[Artifact]) -> Iterator[tuple[Artifact, Path]]:
    """Those of `artifacts` that are to be signed and that a manifest in their folder or one above it names by hash,
    each with that manifest; none of a manifest that is to be signed itself."""
    manifests: dict[str, list[tuple[Path, str]]] = {}
    restated = {artifact.real for artifact in artifacts if artifact.to_sign and artifact.format in SIGNED_AFTER_OTHERS}
    for artifact in artifacts:
        if not artifact.to_sign or artifact.format is None:
            continue
        folder = artifact.real
        for _ in range(artifact.name.count("/") + 1):
            folder = os.path.dirname(folder)  # noqa: PTH120 - of text, for the number of files
            if folder not in manifests:
                found_here = _manifests(Path(folder))
                manifests[folder] = [(path, text) for path, text in found_here if str(path) not in restated]
            name = artifact.real[len(folder) :].replace(os.sep, "/").lstrip("/").lower().removesuffix(_DEPLOY)
            found = next((manifest for manifest, text in manifests[folder] if f'"{name}"' in text), None)
            if found is not None:
                yield artifact, found
                break


def _manifests(folder: Path) -> Iterator[tuple[Path, str]]:
    """The manifests in `folder`, each with its text in lower case and with / between folders."""
    try:
        candidates = [path for path in folder.iterdir() if path.suffix.lower() == ".manifest"]
        for path in candidates:
            with path.open("rb") as file:
                text = file.read(MAX_MANIFEST).decode("utf-8", "replace").lower()
            if "urn:schemas-microsoft-com:asm.v2" in text and "digestvalue" in text:
                yield path, text.replace("\\", "/")
    except OSError:
        return  # what can't be read is said where it is to be signed
