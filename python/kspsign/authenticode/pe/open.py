"""Opens PE images: programs, and setup bundles of WiX, which hold a signed program themselves."""

from __future__ import annotations

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.pe.burn_section import SECTION
from kspsign.authenticode.pe.image import PeFile


def open_image(snapshot: Snapshot) -> PeFile:
    """The image; raises ArtifactError when its headers contradict the file."""
    return _as_bundle(PeFile.open(snapshot), replacing=False)


def open_image_to_replace(snapshot: Snapshot) -> PeFile:
    """Likewise for an image whose signatures are to be replaced."""
    return _as_bundle(PeFile.open_to_replace(snapshot), replacing=True)


def _as_bundle(image: PeFile, *, replacing: bool) -> PeFile:
    if SECTION not in image.layout.names and SECTION not in image.layout.bare_names:
        return image
    from kspsign.authenticode.pe.burn import open_bundle  # noqa: PLC0415 - few images are bundles

    return open_bundle(image, replacing=replacing)
