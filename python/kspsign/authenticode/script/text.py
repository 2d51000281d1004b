"""A script's text: how its bytes are encoded, and how Windows reads them to hash UTF-16."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kspsign.authenticode.script.styles import Unmarked
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult

CHUNK = 1 << 20
HEAD_OF_UTF8 = 32
_MOST_READ_AGAIN = 8 << 20
_WINDOWS_1252 = {
    byte: bytes([byte]).decode("cp1252") for byte in range(0x80, 0xA0) if byte not in {0x81, 0x8D, 0x8F, 0x90, 0x9D}
}
"""The Windows-1252 characters in place of C1 control characters; the five undefined ones stay as they are."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """One way to write text: its name for people, its byte order mark, Python's codec.

    `certain` is false where another machine may read other text. The codec of Windows-1252 is Latin-1, in which every
    byte is a character and stays the same when written again; `utf16` gives the true characters.
    """

    name: str
    mark: bytes
    codec: str
    certain: bool = True


ASCII = Encoding("ASCII", b"", "ascii")
UTF8 = Encoding("UTF-8 with byte order mark", b"\xef\xbb\xbf", "utf-8")
UTF16_LE = Encoding("UTF-16 LE", b"\xff\xfe", "utf-16-le")
UTF16_BE = Encoding("UTF-16 BE", b"\xfe\xff", "utf-16-be")
BARE_UTF8 = Encoding("UTF-8 without byte order mark", b"", "utf-8", certain=False)
WINDOWS_1252 = Encoding("Windows-1252", b"", "latin-1", certain=False)
_MARKED = (UTF8, UTF16_LE, UTF16_BE)


@dataclass(frozen=True, slots=True)
class ScriptText:
    """Text without its byte order mark, and its encoding: `write` gives back the very bytes that were read."""

    encoding: Encoding
    characters: str

    def write(self, characters: str) -> bytes:
        """A file with other characters in this encoding."""
        return self.encoding.mark + characters.encode(self.encoding.codec)

    def utf16(self, start: int, stop: int, line_end: str | None = None) -> Iterator[bytes]:
        """UTF-16 LE of the characters from `start` to `stop`, piece by piece, as Windows hashes them; with `line_end`
        as they would be had every CRLF, LF and CR been that."""
        at = start
        while at < stop:
            end = min(at + CHUNK, stop)
            if self.characters[end - 1 : min(end + 1, stop)] == "\r\n":
                end += 1  # a pair stays in one piece
            piece = self.characters[at:end]
            if line_end is not None:
                piece = piece.replace("\r\n", "\n").replace("\r", "\n").replace("\n", line_end)
            if self.encoding is WINDOWS_1252:
                piece = piece.translate(_WINDOWS_1252)
            yield piece.encode("utf-16-le")
            at = end

    def with_other_mark(self) -> ScriptText | None:
        """The same bytes with the byte order mark of UTF-8 if they have none, without it if they have it; None where
        that gives no text, or there are so many that reading them once more would take too much memory."""
        if self.encoding is UTF8:
            return ScriptText(ASCII if self.characters.isascii() else BARE_UTF8, self.characters)
        if self.encoding.mark:
            return None
        if self.encoding is not WINDOWS_1252:
            return ScriptText(UTF8, self.characters)
        if len(self.characters) > _MOST_READ_AGAIN:
            return None
        try:
            return ScriptText(UTF8, self.characters.encode(self.encoding.codec).decode(UTF8.codec))
        except UnicodeDecodeError:
            return None


def as_crlf(characters: str) -> str:
    """`characters` with CRLF in place of LF and CR alone."""
    return characters.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


def read_text(data: bytes, unmarked: Unmarked) -> ScriptText:
    """The text in `data`; without byte order mark read as Windows does it on a machine with code page 1252.

    Raises ArtifactError (ERROR_BAD_FORMAT) when it is not text: not decodable, or with NUL characters.
    """
    encoding = next((marked for marked in _MARKED if data.startswith(marked.mark)), None) or _guess(data, unmarked)
    try:
        characters = str(memoryview(data)[len(encoding.mark) :], encoding.codec)
    except UnicodeDecodeError as broken:
        at = len(encoding.mark) + broken.start
        raise _no_text(f"it is not valid {encoding.name}: {broken.reason} at byte {at}") from broken
    nul = characters.find("\0")
    if nul >= 0:
        raise _no_text(f"there is a NUL at character {nul}")
    return ScriptText(encoding, characters)


def _guess(data: bytes, unmarked: Unmarked) -> Encoding:
    if data.isascii():
        return ASCII
    if unmarked is Unmarked.UTF8:
        return BARE_UTF8
    head = data[:HEAD_OF_UTF8]
    if unmarked is Unmarked.ANSI or head.isascii():
        return WINDOWS_1252
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        return WINDOWS_1252
    return BARE_UTF8


def _no_text(why: str) -> ArtifactError:
    return ArtifactError(
        Hresult.ERROR_BAD_FORMAT,
        f"its name says that it is a script, but the content is not text: {why}",
        remedy="Take the file out of the patterns (!pattern excludes), or save it as text; UTF-16 needs its byte order "
        "mark.",
    )
