"""What no format here is: told by content, with the reason why it can't be signed, and what to do instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

EDGE = 1 << 16
_ISO = 0x8001
_CLASS_FILES = 45  # the major version of Java's first class files; a fat Mach-O file holds fewer programs
_SHELLS = frozenset({".bat", ".cmd", ".sh", ".py", ".pl", ".rb"})
_ARCHIVES = (b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd", b"Rar!\x1a\x07")
_CAL = re.compile(rb"(?:OBJECT )?(?:Table|Form|Report|Dataport|XMLport|Codeunit|MenuSuite|Page|Query) +[0-9]+ ")
_MANIFEST = "urn:schemas-microsoft-com:asm.v1"
_INSIDE = "Sign the files in it before it is packed."


@dataclass(frozen=True, slots=True)
class Look:
    """The first and the last 64 KiB of a file, its size in bytes and its extension in lower case."""

    head: bytes
    tail: bytes
    size: int
    suffix: str

    def has(self, *marks: bytes) -> bool:
        """Whether one of `marks` stands near the begin or the end."""
        return any(mark in self.head or mark in self.tail for mark in marks)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kind of file: how it is told, why it can't be signed, and what to do instead."""

    tell: Callable[[Look], bool]
    cause: str
    remedy: str


def refuse(path: Path) -> ArtifactError:
    """The error (TRUST_E_SUBJECT_FORM_UNKNOWN) that says why the file at `path`, of no format here, can't be signed.

    OSError passes through: a file that can't be read is of unknown format for that reason.
    """
    with path.open("rb") as file:
        head = file.read(EDGE)
        size = file.seek(0, 2)
        file.seek(max(size - EDGE, 0))
        look = Look(head, file.read(EDGE), size, path.suffix.lower())
    found = next(each for each in THRESHOLD if each.tell(look))
    return ArtifactError(Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN, found.cause, remedy=found.remedy)


def _starts(*magics: bytes) -> Callable[[Look], bool]:
    return lambda look: look.head.startswith(magics)


def _zip(*marks: bytes) -> Callable[[Look], bool]:
    return lambda look: look.head.startswith((b"PK\3\4", b"PK\5\6")) and (not marks or look.has(*marks))


def _java_or_fat(look: Look) -> int:
    """What follows the magic that class files and fat Mach-O files share; -1 for other files."""
    return int.from_bytes(look.head[4:8]) if look.head[:4] == b"\xca\xfe\xba\xbe" else -1


def _mach_o(look: Look) -> bool:
    thin = look.head[:4] in {b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"}
    return thin or 0 <= _java_or_fat(look) < _CLASS_FILES


THRESHOLD: tuple[Refusal, ...] = (
    Refusal(
        lambda look: look.size == 0,
        "the file is empty",
        "Find the build step that should have written it; exclude it if it is meant to be empty.",
    ),
    Refusal(
        lambda look: look.size < 4,
        "the file has less than four bytes: no format that can be signed is so short",
        "Find the build step that should have written it, or exclude it (!pattern).",
    ),
    Refusal(
        lambda look: not any(look.head) and not any(look.tail),
        "the file holds nothing but zeros: a copy or a download was broken off",
        "Build or download it again and compare its hash with the origin's.",
    ),
    Refusal(
        _starts(b"version https://git-lfs.github.com/"),
        "it is a Git LFS pointer, not the file itself",
        "Check out with LFS (`lfs: true` in the checkout step), or run `git lfs pull` before signing.",
    ),
    Refusal(
        lambda look: (
            look.suffix not in {".htm", ".html", ".hta"}
            and look.head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))
        ),
        "it is an HTML page: most often what a failed download left",
        "Look into the file for the server's message and repair the download.",
    ),
    Refusal(
        lambda look: look.suffix == ".fob" or _CAL.match(look.head) is not None,
        "a C/AL object export (.fob) has no place for a signature: no SIP is for it, NavSip.dll neither",
        "Exclude it (!**/*.fob) and sign what delivers it, such as an installer or an .app package.",
    ),
    Refusal(
        _starts(b"MZ"),
        "it is a program for DOS or 16-bit Windows: only PE images have a place for a signature",
        "Exclude it, and sign the installer that delivers it.",
    ),
    Refusal(
        _starts(b"EXPH", b"EXBH", b"EXSH"),
        "it is an encrypted package (eappx, emsix): only Windows' own APIs sign it",
        "Sign the package before it is encrypted, or use SignTool on Windows.",
    ),
    Refusal(
        _zip(b"extension.vsixmanifest"),
        "a Visual Studio extension (vsix) carries an XML signature (OPC), not Authenticode",
        "Sign the DLLs in it here, then the package with Microsoft's `sign` tool (dotnet tool install sign).",
    ),
    Refusal(
        _zip(b"AndroidManifest.xml"),
        "an Android package (apk) carries Android's own signature, not Authenticode",
        "Use apksigner of the Android SDK.",
    ),
    Refusal(
        _zip(b"word/document", b"xl/workbook", b"ppt/presentation", b"mimetypeapplication/vnd.oasis"),
        "an Office document carries an XML signature, and its macros a signature of their own, not Authenticode",
        "Sign it in Office, or its macros with SignTool and Microsoft's Office SIPs.",
    ),
    Refusal(
        _zip(b"META-INF/MANIFEST.MF"),
        "a Java archive (jar, war) carries Java's own signature, not Authenticode",
        "Use jarsigner of the JDK.",
    ),
    Refusal(
        _zip(),
        "it is a ZIP archive and no package that can be signed (appx, msix, nupkg): ZIP has no place for a signature",
        _INSIDE,
    ),
    Refusal(
        lambda look: look.has(
            b"urn:schemas-microsoft-com:asm.v1", "urn:schemas-microsoft-com:asm.v1".encode("utf-16-le")
        ),
        "a manifest (ClickOnce, VSTO, side by side) carries an XML signature, not Authenticode",
        "For ClickOnce and VSTO use mage or Microsoft's `sign` tool; others are signed with the program that has them.",
    ),
    Refusal(
        _starts(b"\x7fELF"),
        "it is a program for Linux (ELF), which has no Authenticode signature",
        "Exclude it; sign the package or container image that delivers it with its own tools (rpmsign, gpg, cosign).",
    ),
    Refusal(
        _mach_o,
        "it is a program for macOS (Mach-O), which carries Apple's own signature",
        "Use codesign on macOS, or rcodesign.",
    ),
    Refusal(
        lambda look: _java_or_fat(look) >= _CLASS_FILES,
        "it is a Java class file, which has no place for a signature",
        "Sign the jar with jarsigner.",
    ),
    Refusal(
        _starts(b"%PDF-"),
        "a PDF document carries a signature of its own kind (PAdES), not Authenticode",
        "Use a PDF signer, or exclude it.",
    ),
    Refusal(
        _starts(b"MSWIM\0\0\0"),
        "it is a Windows image (wim, esd, a newer msu), which has no place for an Authenticode signature",
        "Sign the files in it, or a catalogue (.cat) that lists it.",
    ),
    Refusal(
        _starts(b"ISc("),
        "it is a cabinet of InstallShield, not one of Windows: it has no place for a signature",
        "Sign the setup program (setup.exe, the MSI) that reads it.",
    ),
    Refusal(
        _starts(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        "it is a compound file but no MSI or MSP (its root has another class): an old Office document or the like",
        "For Office macros use SignTool with Microsoft's Office SIPs (32 bit); otherwise exclude it.",
    ),
    Refusal(
        lambda look: (
            look.head.startswith(
                (b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd", b"Rar!\x1a\x07")
            )
            or look.head[257:262] == b"ustar"
        ),
        "it is an archive (tar, gz, 7z, xz, bz2, zst, rar), which has no place for a signature",
        _INSIDE,
    ),
    Refusal(
        _starts(b"\xed\xab\xee\xdb", b"!<arch>\ndebian-binary"),
        "it is a Linux package (rpm, deb), which carries its own kind of signature",
        "Use rpmsign, or sign the repository that delivers it.",
    ),
    Refusal(
        _starts(b"!<arch>\n"),
        "it is a library of object files (lib), which has no place for a signature",
        "Sign what is linked with it.",
    ),
    Refusal(
        lambda look: look.tail[-512:-508] == b"koly" or look.head[_ISO : _ISO + 5] == b"CD001",
        "it is a disk image (iso, dmg), which has no place for an Authenticode signature",
        "Sign the files in it before it is made.",
    ),
    Refusal(
        _starts(b"#@~^"),
        "it is an encoded script (vbe, jse); its block can't be told from the code",
        "Sign the script as text (vbs, js).",
    ),
    Refusal(
        lambda look: look.suffix in _SHELLS and b"\0" not in look.head,
        "a batch file or a script of another shell has no place for a signature that Windows reads",
        "Exclude it; deliver it in a signed package, or as a signed PowerShell script.",
    ),
    Refusal(
        lambda look: look.suffix == ".rdp",
        "a remote desktop file (rdp) carries a signature of its own kind",
        "Use rdpsign.exe of Windows.",
    ),
    Refusal(
        lambda _: True,
        "the content is of no type that can be signed: neither a PE image (exe, dll, sys, ocx, efi), an MSI, a cabinet "
        "nor a catalogue, no script (ps1, vbs, js, wsf and kin), no app, NuGet or Business Central package",
        "Take the file out of the patterns (!pattern excludes), or check that the build wrote it properly.",
    ),
)
"""The first that tells a file as its own is right; the last tells every file."""
