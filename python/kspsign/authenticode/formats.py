"""The table of formats: how each is told by content and opened. A format's module is loaded when a file may need it:
most builds have files of one or two, and loading all takes longer than signing a small file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

from kspsign.authenticode.refusals import refuse
from kspsign.authenticode.signable import Glimpse, SignableFile
from kspsign.model.values import Format

HEAD = 4096
TAKEN_BY_NAME: Final = frozenset({Format.VBSCRIPT, Format.JSCRIPT, Format.WSF})
"""Formats that only patterns take which name a file or its extension: a web site has thousands of .js files that
nobody wants signed."""


@dataclass(frozen=True, slots=True)
class FormatModule:
    """One format: how its files are detected, and how one is opened; `open_to_replace` opens one whose signatures are
    to be replaced, where that makes a difference."""

    detect: Callable[[Glimpse], bool]
    open: Callable[[Path], SignableFile]
    open_to_replace: Callable[[Path], SignableFile] | None = None


def _pe() -> FormatModule:
    from kspsign.authenticode.pe import PeFile, is_pe

    return FormatModule(is_pe, PeFile.open, PeFile.open_to_replace)


def _cat() -> FormatModule:
    from kspsign.authenticode.cat import CatFile, is_cat

    return FormatModule(is_cat, CatFile.open)


def _cab() -> FormatModule:
    from kspsign.authenticode.cab import CabFile, is_cab

    return FormatModule(is_cab, CabFile.open)


def _msi() -> FormatModule:
    from kspsign.authenticode.msi import MsiFile, is_msi

    return FormatModule(is_msi, MsiFile.open, MsiFile.open_to_replace)


def _navx() -> FormatModule:
    from kspsign.authenticode.navx import NavxFile, is_navx

    return FormatModule(is_navx, NavxFile.open)


def _appx() -> FormatModule:
    from kspsign.authenticode.appx import AppxFile, is_appx

    return FormatModule(is_appx, AppxFile.open)


def _appx_bundle() -> FormatModule:
    from kspsign.authenticode.appx import AppxFile, is_appx_bundle

    return FormatModule(is_appx_bundle, AppxFile.open)


def _nuget() -> FormatModule:
    from kspsign.authenticode.nuget import NugetFile, is_nuget

    return FormatModule(is_nuget, NugetFile.open)


def _script(kind: Format) -> FormatModule:
    from kspsign.authenticode.script import ScriptFile, is_script

    return FormatModule(partial(is_script, kind), ScriptFile.open)


_LOADERS: dict[Format, Callable[[], FormatModule]] = {
    Format.PE: _pe,
    Format.CAT: _cat,
    Format.CAB: _cab,
    Format.MSI: _msi,
    Format.NAVX: _navx,
    Format.APPX: _appx,
    Format.APPX_BUNDLE: _appx_bundle,
    Format.NUGET: _nuget,
    # Told by extension alone, so behind everything that content tells.
    Format.POWERSHELL: partial(_script, Format.POWERSHELL),
    Format.POWERSHELL_XML: partial(_script, Format.POWERSHELL_XML),
    Format.VBSCRIPT: partial(_script, Format.VBSCRIPT),
    Format.JSCRIPT: partial(_script, Format.JSCRIPT),
    Format.WSF: partial(_script, Format.WSF),
}


@cache
def _module(kind: Format) -> FormatModule:
    return _LOADERS[kind]()


def detect_format(glimpse: Glimpse) -> Format | None:
    """The format of a file, told by its content, scripts by their extension; None when it is of no known type."""
    return next((kind for kind in _LOADERS if _module(kind).detect(glimpse)), None)


def open_signable(path: Path, kind: Format | None, *, replacing: bool = False) -> SignableFile:
    """The file as its format's module sees it; `replacing` as it is to be signed in place of its signatures.

    Raises ArtifactError: TRUST_E_SUBJECT_FORM_UNKNOWN with the reason when `kind` is None, ERROR_BAD_FORMAT when it
    is damaged.
    """
    if kind is None:
        raise refuse(path)
    module = _module(kind)
    return module.open_to_replace(path) if replacing and module.open_to_replace else module.open(path)
