"""The table of formats: how each is told by content and opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kspsign.authenticode.appx import AppxFile, is_appx, is_appx_bundle
from kspsign.authenticode.cab import CabFile, is_cab
from kspsign.authenticode.cat import CatFile, is_cat
from kspsign.authenticode.msi import MsiFile, is_msi
from kspsign.authenticode.navx import NavxFile, is_navx
from kspsign.authenticode.nuget import NugetFile, is_nuget
from kspsign.authenticode.pe import PeFile, is_pe
from kspsign.authenticode.refusals import refuse
from kspsign.authenticode.script import ScriptFile, is_script
from kspsign.authenticode.signable import Glimpse, SignableFile
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
    Format.CAB: FormatModule(is_cab, CabFile.open),
    Format.MSI: FormatModule(is_msi, MsiFile.open),
    Format.NAVX: FormatModule(is_navx, NavxFile.open),
    Format.APPX: FormatModule(is_appx, AppxFile.open),
    Format.APPX_BUNDLE: FormatModule(is_appx_bundle, AppxFile.open),
    Format.NUGET: FormatModule(is_nuget, NugetFile.open),
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

    Raises ArtifactError: TRUST_E_SUBJECT_FORM_UNKNOWN with the reason when `kind` is None, ERROR_BAD_FORMAT when it
    is damaged.
    """
    if kind is None:
        raise refuse(path)
    return FORMATS[kind].open(path)
