"""The signature block of a script: comment lines with the base64 of a DER CMS, lines ended by CRLF throughout.

Windows looks for CRLF, the begin line, CRLF. A block that is not written exactly so is either not seen by Windows or
a place to hide text in, so each departure is a fault; what can be read of it is read all the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kspsign.authenticode.script.styles import ScriptStyle
from kspsign.hresults import Hresult
from kspsign.model import Finding

_LINE_END = r"(?:\r\n|[\r\n])"
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_CRLF = "\r\n"
BARE_LINE_END = re.compile(r"(?<!\r)\n|\r(?!\n)")


@dataclass(frozen=True, slots=True)
class Block:
    """A block from `start` to `stop` in the text, the CRLF before it included; `der` is empty when it holds none.

    `faults` is what is wrong with it, `trailing` how many characters follow it where nothing may.
    """

    start: int
    stop: int
    der: bytes
    faults: tuple[str, ...]
    trailing: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The checks "signature-block" and "trailing-text"."""
        malformed, fault = Hresult.TRUST_E_MALFORMED_SIGNATURE, "; ".join(self.faults)
        return (
            Finding("signature-block", fault, malformed) if fault else Finding("signature-block", "well-formed"),
            Finding("trailing-text", f"{self.trailing} characters follow the signature block", malformed)
            if self.trailing
            else Finding("trailing-text", "nothing unsigned follows the signature block"),
        )


def write_block(der: bytes, style: ScriptStyle) -> str:
    """The block with the CMS `der`."""
    encoded = base64.b64encode(der).decode("ascii")
    pieces = (encoded[at : at + style.width] for at in range(0, len(encoded), style.width))
    lines = ["", style.begin, *(f"{style.before}{piece}{style.after}" for piece in pieces), style.end, ""]
    return _CRLF.join(lines)


def find_block(text: str, style: ScriptStyle) -> Block | None:
    """The first block in `text`, None when no line begins one."""
    begins = _begins(style).finditer(text)
    first = next(begins, None)
    if first is None:
        return None
    again = next(begins, None)
    closing = re.compile(rf"{_LINE_END}{re.escape(style.end)}({_LINE_END})?").search(text, first.end())
    if closing is None:
        return Block(first.start(), len(text), b"", ("it is cut off: there is no end line",), 0)
    body, stop = text[first.end() : closing.start()], closing.end()
    if BARE_LINE_END.search(text[first.start() : stop]):
        faults = ["lines of it end in LF or CR alone: a tool such as git changed the line ends"]
    else:
        faults = list(_line_faults(body, style))
        if not first.group().startswith(_CRLF):
            faults.append("no CRLF stands before its begin line")
        if not closing[1]:
            faults.append("its end line does not end in CRLF")
    if again is not None:
        faults.append(f"a second block begins {'inside it' if again.start() < closing.start() else 'behind it'}")
    trailing = 0 if style.closing else len(text) - stop
    return Block(first.start(), stop, _decode(body, style), tuple(faults), trailing)


def _begins(style: ScriptStyle) -> re.Pattern[str]:
    """A begin line. A WSF script may have an element of that name: there the first line of base64 decides."""
    follow = f"(?={_LINE_END}{re.escape(style.before)})" if style.closing else ""
    return re.compile(rf"(?:\A|{_LINE_END}){re.escape(style.begin)}{follow}")


def _line_faults(body: str, style: ScriptStyle) -> Iterator[str]:
    """What is wrong with the lines between begin and end."""
    if not body.startswith(_CRLF):
        yield "its begin line does not end in CRLF"
        return
    pieces = []
    for number, line in enumerate(body.removeprefix(_CRLF).split(_CRLF), start=1):
        piece = line.removeprefix(style.before).removesuffix(style.after)
        if f"{style.before}{piece}{style.after}" != line or not piece or not _BASE64.fullmatch(piece):
            yield f"line {number} holds something else than base64"
            return
        pieces.append(piece)
    # SignTool's last line takes what would be too short for a line of its own.
    width = len(pieces[0])
    if any(len(piece) != width for piece in pieces[:-1]) or not 0 < len(pieces[-1]) < 2 * width:
        yield "its lines differ in length"
    joined = "".join(pieces)
    try:
        canonical = base64.b64encode(base64.b64decode(joined, validate=True)).decode("ascii")
    except binascii.Error as broken:
        yield f"its base64 is broken: {broken}"
        return
    if canonical != joined:
        yield "its base64 is not the one way to write these bytes"


def _decode(body: str, style: ScriptStyle) -> bytes:
    """What the lines hold, however they are written; empty when it is no base64 at all."""
    lines = (line for line in re.split(_LINE_END, body) if line)
    joined = "".join(line.removeprefix(style.before).removesuffix(style.after) for line in lines)
    try:
        return base64.b64decode(joined.encode())
    except binascii.Error:
        return b""
