"""One unsigned file of each format, by the name that it is written to."""

from __future__ import annotations

from collections.abc import Callable

from support.formats import burn_samples, script_samples
from support.formats.appx_samples import Package
from support.formats.cab_samples import build_cab
from support.formats.cat_samples import trust_list
from support.formats.msi_samples import msitools_package
from support.formats.navx_samples import build_navx
from support.formats.nuget_samples import package
from support.formats.peimages import build_pe, with_checksum

EXACT: dict[str, Callable[[], bytes]] = {
    "image.exe": lambda: with_checksum(build_pe(overlay=b"payload!" * 9)),
    "plain.cab": build_cab,
    "empty-reserve.cab": lambda: build_cab(reserve=bytes(64)),
    "library.app": build_navx,
    "Contoso.Tools.1.0.0.nupkg": package,
    "list.cat": lambda: trust_list({"driver.sys": b"MZ..."}),
    "script.ps1": lambda: script_samples.script("ps1"),
    "script.wsf": lambda: script_samples.script("wsf"),
}
"""Unsigned files that come back byte for byte when a signature is taken out again."""
SAME_DIGEST: dict[str, Callable[[], bytes]] = {
    "no-checksum.dll": lambda: build_pe(overlay=b"odd"),
    "setup.msi": msitools_package,
    "app.msix": lambda: Package().build(),
}
"""Those that keep what signing adds for good: padding, a checksum, the order of streams, a content type."""
UNSIGNED: dict[str, Callable[[], bytes]] = {**EXACT, **SAME_DIGEST}
EVERY_FORMAT: dict[str, Callable[[], bytes]] = {
    **UNSIGNED,
    "types.ps1xml": lambda: script_samples.script("ps1xml"),
    "script.vbs": lambda: script_samples.script("vbs"),
    "script.js": lambda: script_samples.script("js"),
    "setup.exe": lambda: burn_samples.BUNDLE,
    "apps.msixbundle": lambda: Package().bundle({"app.msix": Package().build()}),
}
"""Those of every format, also of those that patterns take by name alone, or that take several signatures."""
