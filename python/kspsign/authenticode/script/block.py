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
from kspsign.authenticode.signable import MAX_SIGNATURE
from kspsign.model.hresults import Hresult
from kspsign.model.values import Finding

_LINE_END = r"(?:\r\n|[\r\n])"
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_CRLF = "\r\n"
_MAX_TEXT, _MAX_LINES = 2 * MAX_SIGNATURE, MAX_SIGNATURE // 32
"""Characters and lines of a block: more would take memory by the hundredfold, and hold no signature."""
_RESTORE = (
    "Bring its CRLF line ends back (unix2dos), and the signature holds again; keep git from changing them (-text in "
    ".gitattributes)."
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block from `start` to `stop` in the text, the CRLF before it included; `der` is empty when it holds none.

    `faults` is what is wrong with it, `trailing` how many characters follow it where nothing may; `bare` whether lines
    of it end in LF or CR alone.
    """

    start: int
    stop: int
    der: bytes
    faults: tuple[str, ...]
    trailing: int
    bare: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The checks "signature-block" and "trailing-text"."""
        malformed, fault = Hresult.TRUST_E_MALFORMED_SIGNATURE, "; ".join(self.faults)
        return (
            Finding("signature-block", fault, malformed, _RESTORE if self.bare else None)
            if fault
            else Finding("signature-block", "well-formed"),
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
    begins = _begins(text, style)
    begin = next(begins, None)
    if begin is None:
        return None
    again = next(begins, None)
    start = begin - _line_end_before(text, begin)
    body_start = begin + len(style.begin)
    closing = re.compile(rf"{_LINE_END}{re.escape(style.end)}({_LINE_END})?").search(text, body_start)
    if closing is None:
        return Block(start, len(text), b"", ("it is cut off: there is no end line",), 0)
    stop = closing.end()
    lines = text.count("\n", body_start, closing.start())
    if stop - body_start > _MAX_TEXT or lines > _MAX_LINES:
        return Block(start, stop, b"", (f"its {lines} lines are more than any signature takes",), 0)
    body = text[body_start : closing.start()]
    bare = has_bare_line_end(text[start:stop])
    if bare:
        faults = ["lines of it end in LF or CR alone: a tool such as git changed the line ends"]
    else:
        faults = list(_line_faults(body, style))
        if start == begin:
            faults.append("its begin line is not preceded by CRLF")
        if not closing[1]:
            faults.append("its end line does not end in CRLF")
    if again is not None:
        faults.append(f"a second block begins {'inside it' if again < closing.start() else 'after it'}")
    trailing = 0 if style.closing else len(text) - stop
    return Block(start, stop, _decode(body, style), tuple(faults), trailing, bare)


def has_bare_line_end(text: str) -> bool:
    """Whether a line ends in LF or CR alone. Counting is much quicker than a search that finds none."""
    pairs = text.count(_CRLF)
    return text.count("\n") != pairs or text.count("\r") != pairs


def _begins(text: str, style: ScriptStyle) -> Iterator[int]:
    """The offsets of begin lines. A WSF script may have an element of that name: there a line of base64 must follow."""
    follow = re.compile(_LINE_END + re.escape(style.before) if style.closing else "")
    at = text.find(style.begin)
    while at >= 0:
        if text[at - 1 : at] in {"", "\r", "\n"} and follow.match(text, at + len(style.begin)):
            yield at
        at = text.find(style.begin, at + 1)


def _line_end_before(text: str, at: int) -> int:
    """How many characters the line end before `at` has; 0 at the text's beginning."""
    return len(_CRLF) if text[max(at - 2, 0) : at] == _CRLF else min(at, 1)


def _line_faults(body: str, style: ScriptStyle) -> Iterator[str]:
    """The fault of the lines between begin and end."""
    if not body.startswith(_CRLF):
        yield "its begin line does not end in CRLF"
        return
    pieces = []
    for number, line in enumerate(body.removeprefix(_CRLF).split(_CRLF), start=1):
        piece = line.removeprefix(style.before).removesuffix(style.after)
        if f"{style.before}{piece}{style.after}" != line or not piece or not _BASE64.fullmatch(piece):
            yield f"line {number} holds something other than base64"
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
        yield "its base64 is not the canonical encoding"


def _decode(body: str, style: ScriptStyle) -> bytes:
    """The decoded lines, whatever their line lengths; empty when they are not base64 at all."""
    lines = (line for line in re.split(_LINE_END, body) if line)
    joined = "".join(line.removeprefix(style.before).removesuffix(style.after) for line in lines)
    try:
        return base64.b64decode(joined.encode())
    except binascii.Error:
        return b""
