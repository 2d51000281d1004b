"""The table of formats: the module of each, in the order in which formats are detected. A format is loaded when a
file may need it: most builds have files of one or two, and loading all takes longer than signing a small file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.refusals import refuse
from kspsign.authenticode.signable import Glimpse, SignableFile, SignableFormat
from kspsign.model.load import load
from kspsign.model.values import Format

TAKEN_BY_NAME: Final = frozenset({Format.VBSCRIPT, Format.JSCRIPT, Format.WSF})
"""Formats that only patterns take which name a file or its extension: a web site has thousands of .js files that should
not be signed."""
_SUFFIXES_TAKEN_BY_NAME: Final = frozenset({".snupkg"})
"""Extensions for which the same holds: a NuGet package may be signed, but nuget.org refuses signed symbol packages."""
READ_BY_NAME: Final[Mapping[str, frozenset[Format]]] = {
    ".nupkg": frozenset({Format.NUGET}),
    ".snupkg": frozenset({Format.NUGET}),
    ".vsix": frozenset({Format.VSIX}),
    **dict.fromkeys((".appx", ".msix", ".appxbundle", ".msixbundle"), frozenset({Format.APPX, Format.APPX_BUNDLE})),
}
"""What the readers of these names find a signature in: NuGet takes any file of its extensions for a package, and one
that is signed as something else is unsigned to it."""
FORMATS: Final[Mapping[Format, str]] = {
    Format.PE: "kspsign.authenticode.pe:PE",
    Format.CAT: "kspsign.authenticode.cat:CAT",
    Format.CAB: "kspsign.authenticode.cab:CAB",
    Format.MSI: "kspsign.authenticode.msi:MSI",
    Format.NAVX: "kspsign.authenticode.navx:NAVX",
    Format.APPX: "kspsign.authenticode.appx:APPX",
    Format.APPX_BUNDLE: "kspsign.authenticode.appx:APPX_BUNDLE",
    Format.NUGET: "kspsign.authenticode.nuget:NUGET",
    Format.VSIX: "kspsign.authenticode.vsix:VSIX",
    Format.CLICKONCE_APPLICATION: "kspsign.authenticode.clickonce.file:APPLICATION_MANIFEST",
    Format.CLICKONCE_DEPLOYMENT: "kspsign.authenticode.clickonce.file:DEPLOYMENT_MANIFEST",
    # Detected by extension alone, so after all that are detected by content.
    Format.POWERSHELL: "kspsign.authenticode.script:POWERSHELL",
    Format.POWERSHELL_XML: "kspsign.authenticode.script:POWERSHELL_XML",
    Format.VBSCRIPT: "kspsign.authenticode.script:VBSCRIPT",
    Format.JSCRIPT: "kspsign.authenticode.script:JSCRIPT",
    Format.WSF: "kspsign.authenticode.script:WSF",
}
"""The module and the SignableFormat in it."""


class _Clue(NamedTuple):
    """What every file of a format has: the first bytes, and one of the extensions where any are named."""

    begin: bytes = b""
    suffixes: frozenset[str] = frozenset()

    def is_in(self, head: bytes, suffix: str) -> bool:
        """Whether a file with these first bytes and this extension (in lower case) may be of the format."""
        return head.startswith(self.begin) and (not self.suffixes or suffix in self.suffixes)


PROGRAM_SUFFIXES: Final = frozenset(
    {".exe", ".dll", ".sys", ".ocx", ".scr", ".cpl", ".com", ".drv", ".efi", ".mui", ".winmd"}
)
"""Extensions of files that Windows loads as PE images, whatever their content is."""
MANIFEST_SUFFIXES: Final = frozenset({".manifest", ".application", ".vsto"})
"""Extensions of ClickOnce and VSTO manifests."""
_ZIP = _Clue(b"PK\3\4")
CLUES: Final[Mapping[Format, _Clue]] = {
    Format.PE: _Clue(b"MZ"),
    Format.CAT: _Clue(b"0"),  # a DER sequence
    Format.CAB: _Clue(b"MSCF"),
    Format.MSI: _Clue(bytes.fromhex("d0cf11e0a1b11ae1")),  # a compound file
    Format.NAVX: _Clue(b"NAVX"),
    **dict.fromkeys((Format.APPX, Format.APPX_BUNDLE, Format.NUGET, Format.VSIX), _ZIP),
    **dict.fromkeys(
        (Format.CLICKONCE_APPLICATION, Format.CLICKONCE_DEPLOYMENT),
        _Clue(suffixes=MANIFEST_SUFFIXES),
    ),
    Format.POWERSHELL: _Clue(suffixes=frozenset({".ps1", ".psd1", ".psm1", ".mof"})),
    Format.POWERSHELL_XML: _Clue(suffixes=frozenset({".ps1xml", ".psc1", ".cdxml"})),
    Format.VBSCRIPT: _Clue(suffixes=frozenset({".vbs"})),
    Format.JSCRIPT: _Clue(suffixes=frozenset({".js"})),
    Format.WSF: _Clue(suffixes=frozenset({".wsf"})),
}
"""A file without the clue of a format is not of it, which is known before its module is loaded: the readme among the
programs costs nothing. A format that is not here is asked about every file."""
_ANY_FILE = _Clue()


NAMING_CERTIFICATE: Final = frozenset(
    {Format.APPX, Format.APPX_BUNDLE, Format.NUGET, Format.CLICKONCE_APPLICATION, Format.CLICKONCE_DEPLOYMENT}
)
"""Formats in which what is signed names the certificate: its digest in a signed attribute, or its subject as the
publisher in the manifest. The certificate must be known before the signature."""
SIGNED_AFTER_OTHERS: Final[Mapping[Format, int]] = {Format.CLICKONCE_APPLICATION: 1, Format.CLICKONCE_DEPLOYMENT: 2}
"""Formats that state hashes of other files (ReferencingFile): they are signed after all formats of a lower number."""


def resolve(row: str) -> SignableFormat:
    """The format that "module:NAME" names. Raises ImportError, AttributeError or TypeError when it is not a format."""
    found = load(row)
    if not isinstance(found, SignableFormat):
        raise TypeError(f"{row} is not a SignableFormat")
    return found


@cache
def load_format(format_: Format) -> SignableFormat:
    """The format, its module imported the first time."""
    return resolve(FORMATS[format_])


def may_be_signable(head: bytes, suffix: str) -> bool:
    """Whether a file with these first bytes and this extension (in lower case) may be of some format or a container:
    only then it need be looked at as a whole."""
    return any(CLUES.get(format_, _ANY_FILE).is_in(head, suffix) for format_ in FORMATS)


def detect_format(glimpse: Glimpse) -> Format | None:
    """The format of a file, detected by its content, scripts by their extension; None when it is of no known type, or
    named as one that only another reader takes."""
    head, suffix = glimpse.head, glimpse.path.suffix.lower()
    possible = (format_ for format_ in FORMATS if CLUES.get(format_, _ANY_FILE).is_in(head, suffix))
    found = next((format_ for format_ in possible if load_format(format_).detect(glimpse)), None)
    readers = READ_BY_NAME.get(suffix)
    return found if readers is None or found in readers else None


def is_taken_by_name(format_: Format | None, suffix: str) -> bool:
    """Whether a file is signed only by patterns that name it or its extension `suffix` (in lower case)."""
    return format_ in TAKEN_BY_NAME or suffix in _SUFFIXES_TAKEN_BY_NAME


def open_signable(file: Path | Snapshot, format_: Format | None, *, replacing: bool = False) -> SignableFile:
    """The file as its format reads it; `replacing` as it is to be signed in place of its signatures.

    Of a `file` that is named by its path nothing is kept in memory but its structure.

    Raises ArtifactError: TRUST_E_SUBJECT_FORM_UNKNOWN with the reason when `format_` is None, ERROR_BAD_FORMAT when
    it is damaged.
    """
    snapshot = file if isinstance(file, Snapshot) else Snapshot(file, keep=False)
    if format_ is None:
        raise refuse(snapshot)
    found = load_format(format_)
    return found.open_to_replace(snapshot) if replacing and found.open_to_replace else found.open(snapshot)
