"""The transcripts of Microsoft's SignTool that the Windows lab keeps, read and made comparable."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.places import ROOT

FOLDER = ROOT / "tests" / "windows_lab" / "lab" / "transcripts" / "10.0.26100.0"
_PROGRAMS = ("lab-signtool", "lab-node")
_THUMBPRINTS = {
    "3B520153D40C95FE1BF2E5EFAA0F7559FCE9201B": "Contoso-Release",
    "9509A93EA10A5BFDE9604C1DBEB2013FF8C972AB": "Contoso-EC",
    "B30BCC3F69CA7ED9B911A54BE16E727016D944B5": "Contoso-Expired",
    "5347D5348B8F72A6BF96828C3898AE3D06391A0F": "Contoso-Server",
    "1EDD54287E087BCEBDF1A6C87C4C5471ED4B759F": "Contoso-SelfSigned",
    "69A73701CE751C9BF00A7EE178DDF34611258356": "root",
    "095C3A87601879FEF6238158FBD79FEC4A6E4559": "code-ca",
    "47413D06DDF5FC97845A30D36BC65250C4A10DA7": "stamp-ca",
    "BE00532B8BFD12320925CBDFC3A042F88362E98C": "tsa",
}
_STAMPED = re.compile(r"^(The signature is timestamped: ).*")
_HASH = re.compile(r"^(Hash of file \(\w+\): )[0-9A-F]+$")
_BLOCK = 5
_AROUND = ("python ", "##vso[")
"""What the process around SignTool prints in one of them."""
_OURS = re.compile(r"^(?:\tCause: |\tRemedy: |kspsign: )")


@dataclass(frozen=True)
class Transcript:
    """One call of SignTool: its arguments with names in place of thumbprints, its exit code and lines."""

    name: str
    arguments: tuple[str, ...]
    code: int
    out: tuple[str, ...]
    err: tuple[str, ...]

    def typed(self, thumbprints: Mapping[str, str], timestamp_url: str) -> list[str]:
        """The arguments for a machine of its own thumbprints (by alias) and timestamp server."""
        url = re.compile(r"http://127\.0\.0\.1:\d{4,5}/tsa")
        return [
            url.sub(timestamp_url, thumbprints.get(word.removeprefix("#"), word) if word.startswith("#") else word)
            for word in self.arguments
        ]


def transcripts() -> tuple[Transcript, ...]:
    """All calls of SignTool, in their order."""
    found = (_read(path) for path in sorted(FOLDER.glob("*.txt")))
    return tuple(transcript for transcript in found if transcript is not None)


def comparable(lines: Sequence[str], named: Mapping[str, str]) -> list[str]:
    """Lines with names in place of thumbprints, without times of stamps, hashes, and kspsign's own lines."""
    text = [line for line in lines if not _OURS.match(line)]
    return _in_order([_HASH.sub(r"\1...", _STAMPED.sub(r"\1...", _renamed(line, named))) for line in text])


def _in_order(lines: list[str]) -> list[str]:
    """The lines with certificates that follow each other in the order of their names: stores have their own."""
    ordered: list[str] = []
    blocks: list[list[str]] = []
    place = 0
    while place < len(lines):
        if lines[place].startswith("    Issued to: "):
            blocks.append(lines[place : place + _BLOCK])
            place += _BLOCK
            continue
        ordered += [*(line for block in sorted(blocks) for line in block), lines[place]]
        blocks, place = [], place + 1
    return [*ordered, *(line for block in sorted(blocks) for line in block)]


def _read(path: Path) -> Transcript | None:
    command, _, rest = path.read_bytes().decode().partition("\n--- stdout\n")
    words = shlex.split(command.removeprefix("$ "))
    if words[0] not in _PROGRAMS:
        return None
    out, _, rest = rest.partition("--- stderr\n")
    err, _, code = rest.rpartition("--- exit code ")
    arguments = words[1:] if words[0] == "lab-signtool" else ["verify", "/pa", "app.exe"]
    return Transcript(
        path.stem.partition("-")[2],
        tuple(f"#{_THUMBPRINTS[word]}" if word in _THUMBPRINTS else word for word in arguments),
        int(code),
        tuple(comparable([line for line in _lines(out) if not line.startswith(_AROUND)], _THUMBPRINTS)),
        tuple(comparable(_lines(err), _THUMBPRINTS)),
    )


def _lines(text: str) -> list[str]:
    """Lines without the carriage returns at their ends: SignTool writes one or two."""
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _renamed(text: str, named: Mapping[str, str]) -> str:
    return re.sub("[0-9A-F]{40}", lambda found: named.get(found[0], found[0]), text)
