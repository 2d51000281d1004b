"""Unsupported file types, detected by content, each with the reason and what to use instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

EDGE = 1 << 16
_ISO = 0x8001
_CLASS_FILES = 45  # the major version of Java's first class files; a fat Mach-O file holds fewer programs
_PACKAGES = frozenset({".nupkg", ".snupkg", ".vsix", ".appx", ".msix", ".appxbundle", ".msixbundle"})
_SHELLS = frozenset({".bat", ".cmd", ".sh", ".py", ".pl", ".rb"})
_ARCHIVES = (b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd", b"Rar!\x1a\x07")
_CAL = rb"(?:OBJECT )?(?:Table|Form|Report|Dataport|XMLport|Codeunit|MenuSuite|Page|Query) +[0-9]+ "
_MANIFEST = "urn:schemas-microsoft-com:asm.v1"
_INSIDE = "Sign the files in it before it is packed."


class Look(NamedTuple):
    """The first and the last 64 KiB of a file, its size in bytes and its extension in lower case."""

    head: bytes
    tail: bytes
    size: int
    suffix: str

    def has(self, *marks: bytes) -> bool:
        """Whether one of `marks` is near the beginning or the end."""
        return any(mark in self.head or mark in self.tail for mark in marks)


class UnsupportedType(NamedTuple):
    """A type of file: how it is detected, why it can't be signed, and what to do instead."""

    matches: Callable[[Look], bool]
    cause: str
    remedy: str


def refuse(snapshot: Snapshot) -> ArtifactError:
    """The error (TRUST_E_SUBJECT_FORM_UNKNOWN) that says why the file, of no format here, can't be signed.

    OSError passes through: a file that can't be read is of unknown format for that reason.
    """
    with snapshot.open() as file:
        head = file.read(EDGE)
        file.seek(max(snapshot.size - EDGE, 0))
        look = Look(head, file.read(EDGE), snapshot.size, snapshot.path.suffix.lower())
    found = next(type_ for type_ in UNSUPPORTED_TYPES if type_.matches(look))
    return ArtifactError(Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN, found.cause, remedy=found.remedy)


def is_archive(head: bytes) -> bool:
    """Whether a file that begins with `head`, at least 262 bytes of it, is an archive, whatever its name."""
    return head.startswith(b"PK\3\4") or _is_packed(head)


def _is_packed(head: bytes) -> bool:
    return head.startswith(_ARCHIVES) or head[257:262] == b"ustar"


def _starts(*magics: bytes) -> Callable[[Look], bool]:
    return lambda look: look.head.startswith(magics)


def _zip(*marks: bytes) -> Callable[[Look], bool]:
    return lambda look: look.head.startswith((b"PK\3\4", b"PK\5\6")) and (not marks or look.has(*marks))


def _java_or_fat(look: Look) -> int:
    """The number after the magic that class files and fat Mach-O files share; -1 for other files."""
    return int.from_bytes(look.head[4:8]) if look.head[:4] == b"\xca\xfe\xba\xbe" else -1


def _mach_o(look: Look) -> bool:
    thin = look.head[:4] in {b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"}
    return thin or 0 <= _java_or_fat(look) < _CLASS_FILES


UNSUPPORTED_TYPES: tuple[UnsupportedType, ...] = (
    UnsupportedType(
        lambda look: look.size == 0,
        "the file is empty",
        "Find the build step that should have written it; exclude it if it is meant to be empty.",
    ),
    UnsupportedType(
        lambda look: look.size < 4,
        "the file has less than four bytes: no format that can be signed is so short",
        "Find the build step that should have written it, or exclude it (!pattern).",
    ),
    UnsupportedType(
        lambda look: not any(look.head) and not any(look.tail),
        "the file holds nothing but zeros: a copy or download was interrupted",
        "Build or download it again and compare its hash with the original's.",
    ),
    UnsupportedType(
        _starts(b"version https://git-lfs.github.com/"),
        "it is a Git LFS pointer, not the file itself",
        "Check out with LFS (`lfs: true` in the checkout step), or run `git lfs pull` before signing.",
    ),
    UnsupportedType(
        lambda look: (
            look.suffix not in {".htm", ".html", ".hta"}
            and look.head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))
        ),
        "it is an HTML page: most often left by a failed download",
        "Read the server's message in the file and repair the download.",
    ),
    UnsupportedType(
        lambda look: look.suffix == ".fob" or re.match(_CAL, look.head) is not None,
        "a C/AL object export (.fob) has no place for a signature: no SIP supports it, not even NavSip.dll",
        "List it in a signed catalogue (kspsign catalog), or exclude it (!**/*.fob) and sign what delivers it, such as "
        "an installer or an .app package.",
    ),
    UnsupportedType(
        lambda look: look.suffix in _PACKAGES and not look.head.startswith(b"PK"),
        "its name is that of a package (nupkg, snupkg, vsix, appx, msix or a bundle), but the content is not a ZIP "
        "archive: what reads packages finds no signature in it",
        "Give the file the extension of what it is, or find the build step that wrote it.",
    ),
    UnsupportedType(
        _starts(b"MZ"),
        "it is a program for DOS or 16-bit Windows: only PE images have a place for a signature",
        "Exclude it, and sign the installer that delivers it.",
    ),
    UnsupportedType(
        _starts(b"EXPH", b"EXBH", b"EXSH"),
        "it is an encrypted package (eappx, emsix): only Windows' own APIs sign it",
        "Sign the package before it is encrypted, or use SignTool on Windows.",
    ),
    UnsupportedType(
        _zip(b"BundleConfig.pb"),
        "an Android app bundle (aab) carries Java's own signature, not Authenticode",
        "Use jarsigner of the JDK; the packages that Google Play makes of it are signed there.",
    ),
    UnsupportedType(
        _zip(b".app/Info.plist"),
        "an iOS app (ipa) carries Apple's own signature, not Authenticode",
        "Use codesign on macOS (xcodebuild -exportArchive), or rcodesign.",
    ),
    UnsupportedType(
        _zip(b"AndroidManifest.xml"),
        "an Android package (apk) carries Android's own signature, not Authenticode",
        "Use apksigner of the Android SDK.",
    ),
    UnsupportedType(
        _zip(b"word/document", b"xl/workbook", b"ppt/presentation", b"mimetypeapplication/vnd.oasis"),
        "an Office document carries an XML signature, and its macros their own signature, not Authenticode",
        "Sign it in Office, or its macros (docm, xlsm, pptm) with SignTool and Microsoft's Office SIPs (32 bit).",
    ),
    UnsupportedType(
        _zip(b"META-INF/MANIFEST.MF"),
        "a Java archive (jar, war) carries Java's own signature, not Authenticode",
        "Use jarsigner of the JDK.",
    ),
    UnsupportedType(
        lambda look: look.suffix == ".vsix" and _zip(b"extension/package.json")(look),
        "it is an extension of Visual Studio Code, which reads no signature in the package",
        "Publish it unsigned: the Marketplace signs it. --inside signs the files in it; else exclude it (!PATTERN).",
    ),
    UnsupportedType(
        _zip(),
        "it is a ZIP archive, not a package that can be signed (appx, msix, nupkg, vsix), and has no place for a "
        "signature",
        "Sign the files in it with --inside, or before it is packed.",
    ),
    UnsupportedType(
        lambda look: look.has(_MANIFEST.encode(), _MANIFEST.encode("utf-16-le")),
        "a side-by-side manifest has no place for a signature; one of ClickOnce or VSTO is well-formed XML in UTF-8 "
        "with an entryPoint or a deployment element, and is named .manifest, .application or .vsto",
        "Sign the program that contains it; create a ClickOnce manifest by publishing, or with mage.",
    ),
    UnsupportedType(
        _starts(b"\x7fELF"),
        "it is a program for Linux (ELF), which has no Authenticode signature",
        "Exclude it; sign the package or container image that delivers it with its own tools (rpmsign, gpg, cosign).",
    ),
    UnsupportedType(
        _mach_o,
        "it is a program for macOS (Mach-O), which carries Apple's own signature",
        "Use codesign on macOS, or rcodesign.",
    ),
    UnsupportedType(
        lambda look: _java_or_fat(look) >= _CLASS_FILES,
        "it is a Java class file, which has no place for a signature",
        "Sign the jar with jarsigner.",
    ),
    UnsupportedType(
        _starts(b"%PDF-"),
        "a PDF document carries its own kind of signature (PAdES), not Authenticode",
        "Use a PDF signer (pyHanko, jsignpdf, Acrobat), or exclude it.",
    ),
    UnsupportedType(
        _starts(b"MSWIM\0\0\0"),
        "it is a Windows image (wim, esd, a newer msu), which has no place for an Authenticode signature",
        "Sign the files in it, or a catalogue (.cat) that lists it.",
    ),
    UnsupportedType(
        _starts(b"ISc("),
        "it is a cabinet of InstallShield, not one of Windows: it has no place for a signature",
        "Sign the setup program (setup.exe, the MSI) that reads it.",
    ),
    UnsupportedType(
        _starts(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        "it is a compound file but not an MSI or MSP (its root has another class): an old Office document or the like",
        "For Office macros use SignTool with Microsoft's Office SIPs (32 bit); otherwise exclude it.",
    ),
    UnsupportedType(
        lambda look: _is_packed(look.head),
        "it is an archive (tar, gz, 7z, xz, bz2, zst, rar), which has no place for a signature",
        _INSIDE,
    ),
    UnsupportedType(
        _starts(b"\xed\xab\xee\xdb"),
        "it is a Linux package (rpm), which carries its own kind of signature (OpenPGP)",
        "Use rpmsign.",
    ),
    UnsupportedType(
        _starts(b"!<arch>\ndebian-binary"),
        "it is a Linux package (deb), which has no signature that apt reads",
        "Sign the repository that delivers it (apt-ftparchive release, gpg), or use debsigs.",
    ),
    UnsupportedType(
        _starts(b"hsqs"),
        "it is a SquashFS image, such as a snap: no place for an Authenticode signature",
        "A snap is signed by its store (snapcraft upload); of others sign the files in it before it is made.",
    ),
    UnsupportedType(
        _starts(b"xar!"),
        "it is an installer package of macOS (pkg), which carries Apple's own signature",
        "Use productsign on macOS, or rcodesign.",
    ),
    UnsupportedType(
        _starts(b"Cr24"),
        "it is a browser extension (crx), which carries its own kind of signature",
        "Have the browser pack it (chrome --pack-extension), or its store sign it.",
    ),
    UnsupportedType(
        _starts(b"!<arch>\n"),
        "it is a library of object files (lib), which has no place for a signature",
        "Sign what is linked with it.",
    ),
    UnsupportedType(
        lambda look: look.tail[-512:-508] == b"koly" or look.head[_ISO : _ISO + 5] == b"CD001",
        "it is a disk image (iso, dmg), which has no place for an Authenticode signature",
        "Sign the files in it before the image is made; a macOS image (dmg) with codesign, or rcodesign.",
    ),
    UnsupportedType(
        lambda look: look.suffix == ".inf" and b"[version]" in look.head.replace(b"\0", b"").lower(),
        "a driver's INF has no place for a signature: it is signed through the catalogue that it names",
        "Create and sign the catalogue (kspsign catalog), and verify by it (--catalog).",
    ),
    UnsupportedType(
        _starts(b"#@~^"),
        "it is an encoded script (vbe, jse); its signature block can't be told apart from the code",
        "Sign the script as text (vbs, js).",
    ),
    UnsupportedType(
        lambda look: look.suffix in _SHELLS and b"\0" not in look.head,
        "a batch file or a script of another shell has no place for a signature that Windows reads",
        "List it in a signed catalogue (kspsign catalog), exclude it, or sign a PowerShell script in its place.",
    ),
    UnsupportedType(
        lambda look: look.suffix == ".rdp",
        "a remote desktop file (rdp) carries its own kind of signature",
        "Use rdpsign.exe of Windows.",
    ),
    UnsupportedType(
        lambda _: True,
        "the content is of no type that can be signed: it is not a PE image (exe, dll, sys, ocx, efi), MSI, cabinet, "
        "catalogue, script (ps1, vbs, js, wsf and so on), ClickOnce manifest, app package, NuGet package, Visual "
        "Studio extension or Business Central package",
        "Take the file out of the patterns (!pattern excludes), list it in a signed catalogue (kspsign catalog), or "
        "check that the build wrote it properly.",
    ),
)
"""The first that matches a file applies; the last matches every file."""
