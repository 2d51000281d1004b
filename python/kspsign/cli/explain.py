"""`kspsign explain`: what a code or a tool's output means, and what to do about it."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from kspsign.diagnosis import Diagnosis, diagnose, similar_failures
from kspsign.publishing.sanitize import clipped, log_line

EXIT_NOT_KNOWN = 3
_SHOWN = 5


def explain(words: Sequence[str], out: TextIO) -> int:
    """Explain `words` (or standard input, for "-") to `out`; 0 when known, EXIT_NOT_KNOWN when not.

    If only a code's family is known, that is printed, and the code counts as not known.
    """
    text = _standard_input() if list(words) == ["-"] else " ".join(words)
    found = diagnose(text)
    known = [diagnosis for diagnosis in found if diagnosis.exact]
    if not known:
        asked = clipped(" ".join(text[:400].split()), 160)
        out.write(f"not known: {log_line(asked)}\n")
        out.writelines(f"  Did you mean: {log_line(near)}\n" for near in similar_failures(text))
        if text.strip().isdecimal():
            out.write(f"  An exit code means something with its program: kspsign explain kspsign exit code {asked}\n")
        elif not found:
            out.write("  Give the tool's whole output (kspsign explain -); run SignTool with /debug /v.\n")
    shown = known or list(found)
    for diagnosis in shown[:_SHOWN]:
        out.writelines(f"{log_line(line)}\n" for line in _lines(diagnosis))
    if len(shown) > _SHOWN:
        out.write(f"({len(shown) - _SHOWN} more; explain them one by one)\n")
    return 0 if known else EXIT_NOT_KNOWN


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    yield f"{diagnosis.title}  [{diagnosis.id}]"
    yield f"  seen:   {diagnosis.seen}"
    yield f"  cause:  {diagnosis.cause}"
    yield f"  remedy: {diagnosis.remedy}"
    yield f"  who:    {', '.join(diagnosis.audience)}"


def _standard_input() -> str:
    """What was piped in; Windows PowerShell writes UTF-16 with a byte order mark."""
    content = sys.stdin.buffer.read()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return content.decode(encoding, errors="replace")
