"""The types of scripts: their extensions, how their signature block is written, what is hashed.

Text has no magic number, and Windows chooses the SIP of a script by its extension alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kspsign.model.values import Format


class Unmarked(Enum):
    """The encoding that Windows assumes for text without a byte order mark that is not ASCII."""

    ANSI = "as the machine's ANSI code page"
    ANSI_UNLESS_HEAD = "as UTF-8 when the first 32 bytes show it, else as the machine's ANSI code page"
    UTF8 = "as UTF-8 or as its XML declaration says"


@dataclass(frozen=True, slots=True)
class ScriptStyle:
    """One kind of script.

    `before` and `after` surround the base64 on each line of the block, `width` characters of it, `begin` and
    `end` around the block. `closing` is the text that the block precedes, empty where the block ends the file. Windows
    Script Host's kinds (`wsh`) hash the block's position and no byte order mark.
    """

    kind: Format
    before: str
    after: str
    begin: str
    end: str
    width: int
    sip: bytes
    sip_version: int
    unmarked: Unmarked
    advice: str
    wsh: bool = False
    closing: str = ""


_POWERSHELL_SIP = bytes.fromhex("1fcc3b60594b084eb724d2c6297ef351")
_UTF8_ADVICE = 'Save it as UTF-8 with byte order mark ("UTF-8 with BOM"), or write it in ASCII alone.'
_UTF16_ADVICE = 'Save it as UTF-16 LE with byte order mark ("Unicode"), or write it in ASCII alone.'


def _powershell(kind: Format, before: str, after: str) -> ScriptStyle:
    return ScriptStyle(
        kind,
        before,
        after,
        begin=f"{before}SIG # Begin signature block{after}",
        end=f"{before}SIG # End signature block{after}",
        width=64,
        sip=_POWERSHELL_SIP,
        sip_version=65536,
        unmarked=Unmarked.ANSI_UNLESS_HEAD,
        advice=_UTF8_ADVICE,
    )


def _script_host(kind: Format, before: str, sip: str) -> ScriptStyle:
    return ScriptStyle(
        kind,
        before,
        "",
        begin=f"{before}Begin signature block",
        end=f"{before}End signature block",
        width=44,
        sip=bytes.fromhex(sip),
        sip_version=1,
        unmarked=Unmarked.ANSI,
        advice=_UTF16_ADVICE,
        wsh=True,
    )


_HASH = _powershell(Format.POWERSHELL, "# ", "")
_XML = _powershell(Format.POWERSHELL_XML, "<!-- ", " -->")
STYLES: dict[str, ScriptStyle] = {
    ".ps1": _HASH,
    ".psd1": _HASH,
    ".psm1": _HASH,
    ".mof": _powershell(Format.POWERSHELL, "/* ", " */"),
    ".ps1xml": _XML,
    ".psc1": _XML,
    ".cdxml": _XML,
    ".vbs": _script_host(Format.VBSCRIPT, "'' SIG '' ", "4ef029169927b54d8fe5ace10f17ebab"),
    ".js": _script_host(Format.JSCRIPT, "// SIG // ", "10e0c906ce38d411a2a300104bd35090"),
    ".wsf": ScriptStyle(
        Format.WSF,
        "** SIG ** ",
        "",
        begin="<signature>",
        end="</signature>",
        width=44,
        sip=bytes.fromhex("7005611ace38d411a2a300104bd35090"),
        sip_version=1,
        unmarked=Unmarked.UTF8,
        advice=_UTF16_ADVICE,
        wsh=True,
        closing="</job>",
    ),
}
