"""The table of formats: how each is told by content and opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kspsign.authenticode.cat import CatFile, is_cat
from kspsign.authenticode.navx import NavxFile, is_navx
from kspsign.authenticode.pe import PeFile, is_pe
from kspsign.authenticode.script import ScriptFile, is_script
from kspsign.authenticode.signable import Glimpse, SignableFile
from kspsign.errors import ArtifactError
from kspsign.hresults import Hresult
from kspsign.model import Format

HEAD = 4096


@dataclass(frozen=True, slots=True)
class FormatModule:
    """One format: how its files are told, and how one is opened.

    Files of a format `by_name` are only taken by patterns that name them or their extension: a web site has thousands
    of .js files that nobody wants signed.
    """

    detect: Callable[[Glimpse], bool]
    open: Callable[[Path], SignableFile]
    by_name: bool = False


FORMATS: dict[Format, FormatModule] = {
    Format.PE: FormatModule(is_pe, PeFile.open),
    Format.CAT: FormatModule(is_cat, CatFile.open),
    Format.NAVX: FormatModule(is_navx, NavxFile.open),
    # Told by extension alone, so behind everything that content tells.
    Format.POWERSHELL: FormatModule(partial(is_script, Format.POWERSHELL), ScriptFile.open),
    Format.POWERSHELL_XML: FormatModule(partial(is_script, Format.POWERSHELL_XML), ScriptFile.open),
    Format.VBSCRIPT: FormatModule(partial(is_script, Format.VBSCRIPT), ScriptFile.open, by_name=True),
    Format.JSCRIPT: FormatModule(partial(is_script, Format.JSCRIPT), ScriptFile.open, by_name=True),
    Format.WSF: FormatModule(partial(is_script, Format.WSF), ScriptFile.open, by_name=True),
}


def detect_format(glimpse: Glimpse) -> Format | None:
    """The format of a file, told by its content, scripts by their extension; None when it is of no known type."""
    return next((name for name, module in FORMATS.items() if module.detect(glimpse)), None)


def open_signable(path: Path, kind: Format | None) -> SignableFile:
    """The file as its format's module sees it.

    Raises ArtifactError: TRUST_E_SUBJECT_FORM_UNKNOWN when `kind` is None, ERROR_BAD_FORMAT when it is damaged.
    """
    if kind is None:
        path.open("rb").close()  # a file that can't be read is of unknown format for that reason
        if path.suffix.lower() == ".fob":
            raise ArtifactError(
                Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN,
                "a C/AL object export (.fob) has no place for a signature: no SIP is for it, NavSip.dll neither",
                remedy="Exclude it (!**/*.fob) and sign what delivers it, such as an installer or an .app package.",
            )
        raise ArtifactError(
            Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN,
            "the content is of no type that can be signed: neither a PE image (exe, dll, sys, ocx, efi) nor a "
            "Business Central package (app)",
            remedy="Take the file out of the patterns (!pattern excludes), or check that the build wrote it properly.",
        )
    return FORMATS[kind].open(path)
