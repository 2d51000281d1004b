"""Text as people's tools write it: encodings, and base64 in secrets."""

from __future__ import annotations

import base64
import codecs
import re

_BOUNDARY = r"-----(?:BEGIN|END) [A-Z0-9 ]+-----"


def decode_text(content: bytes) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its byte order mark, as Windows PowerShell writes it; without the
    mark. Raises UnicodeDecodeError, which holds the content."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def decode_base64(text: str) -> bytes:
    """The content of base64 (RFC 4648 §4), blanks and one pair of boundaries (RFC 7468) aside.

    Raises ValueError, which holds a part of the text.
    """
    bare = text.strip().removeprefix("\ufeff").strip()
    lines = re.findall(_BOUNDARY, bare)
    if lines:
        begin, *end = lines
        if len(end) != 1 or "BEGIN" not in begin or "END" not in end[0] or not bare.startswith(begin):
            raise ValueError("boundaries that enclose nothing")
        bare = bare.removeprefix(begin).removesuffix(end[0])
    return base64.b64decode("".join(bare.split()), validate=True)
