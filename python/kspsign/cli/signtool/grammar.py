"""The command line of SignTool (`signtool sign /?`): options by command, and the arguments as it reads them.

An option begins with `/` or `-`, in either case, and has its values in the arguments that follow it. Everything else
is a file. On systems whose paths begin with `/`, an argument that is not an option and has another `/`, or is a file,
is one too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from kspsign.cli.signtool import words
from kspsign.cli.signtool.errors import SignToolError
from kspsign.model.suggest import did_you_mean
from kspsign.publishing.sanitize import visible

HELP: Final = frozenset({"?", "-help", "help", "h"})
_OTHER_NAMES = {"k": "kc"}
"""Names that SignTool takes too, and its help does not name."""
_QUIET_AND_SO_ON = ("q", "v", "debug")
_OPTION_WITH_VALUE = re.compile(r"([/-][A-Za-z0-9]+)\s+(.+)")


class Option(NamedTuple):
    """One option: how many values follow it, whether it may be given more than once, and why it is refused ("": it is
    not)."""

    values: int = 0
    many: bool = False
    refused: str = ""


class Call(NamedTuple):
    """One command with its options (without slash, in lower case) and files, as they were written."""

    command: str
    options: Mapping[str, tuple[str, ...]]
    files: tuple[str, ...]

    def has(self, name: str) -> bool:
        """Whether the option was given."""
        return name in self.options

    def value(self, name: str) -> str | None:
        """The value of an option that has one; None when it was not given."""
        return next(iter(self.options.get(name, ())), None)

    def values(self, name: str) -> tuple[str, ...]:
        """The values of an option that may be given more than once."""
        return self.options.get(name, ())


_FLAG, _VALUE, _VALUES = Option(), Option(1), Option(1, many=True)


def _no(why: str, values: int = 0) -> Option:
    return Option(values, many=True, refused=why)


_SEALING = "no reader but Windows' own knows sealing signatures"
_PKCS7 = "kspsign signs files in their own formats, not as PKCS#7 content"
_TWO_STEPS = "kspsign has its own two steps: kspsign digest, and kspsign attach"
_WINDOWS_POLICY = "it asks for a policy that only Windows can apply"
_CATALOGUES = "kspsign judges by the catalogue that /c names; only Windows has a database of catalogues"

OPTIONS: Final[Mapping[str, Mapping[str, Option]]] = {
    "sign": {
        **dict.fromkeys(("a", "sm", "as", "ph", "nph", "nosealwarn", "noenclavewarn"), _FLAG),
        **dict.fromkeys(("f", "i", "n", "p", "r", "s", "sha1", "csp", "kc", "d", "du"), _VALUE),
        **dict.fromkeys(("fd", "t", "td", "tr", "dlib", "dmdf", "u"), _VALUE),
        "ac": _VALUES,
        "c": _no("certificate templates are an extension of Microsoft's own CA", 1),
        "uw": _no("Windows system components are signed by Microsoft alone"),
        **dict.fromkeys(("fdchw", "tdchw"), _no("kspsign signs and stamps with the digest that is named")),
        **dict.fromkeys(("seal", "itos", "force"), _no(_SEALING)),
        "tseal": _no(_SEALING, 1),
        "sa": _no("kspsign signs Authenticode's own attributes only", 2),
        **dict.fromkeys(("ds", "dxml"), _no(_TWO_STEPS)),
        **dict.fromkeys(("dg", "di"), _no(_TWO_STEPS, 1)),
        **dict.fromkeys(("p7", "p7co", "p7ce"), _no(_PKCS7, 1)),
        "rmc": _no("it weakens the check of the file's markers (MS12-024)"),
    },
    "timestamp": {
        "nosealwarn": _FLAG,
        **dict.fromkeys(("t", "td", "tp", "tr"), _VALUE),
        "force": _no(_SEALING),
        "tseal": _no(_SEALING, 1),
        "p7": _no(_PKCS7),
    },
    "verify": {
        **dict.fromkeys(("a", "all", "d", "ms", "pa", "ph", "tw"), _FLAG),
        **dict.fromkeys(("c", "ds", "hash", "pg", "r"), _VALUE),
        **dict.fromkeys(("ca", "sha1", "u"), _VALUES),
        **dict.fromkeys(("ad", "as"), _no(_CATALOGUES)),
        "ag": _no(_CATALOGUES, 1),
        "o": _no("kspsign does not ask which version of Windows a catalogue is for", 1),
        **dict.fromkeys(("bp", "enclave", "kp", "w2010pca", "now2010pca"), _no(_WINDOWS_POLICY)),
        "sl": _no(_SEALING),
        "p7": _no(_PKCS7),
        "p7content": _no(_PKCS7, 1),
    },
    "remove": dict.fromkeys(("c", "s", "u"), _FLAG),
}
"""The options of each command; /q, /v and /debug are every command's."""


def parse_call(arguments: Sequence[str]) -> Call | str:
    """The call, or the command whose help is asked for ("": of all).

    Raises SignToolError in SignTool's words for what it would refuse, and for what kspsign does.
    """
    command, *rest = arguments or ("",)
    if _option_name(command) in HELP or not command:
        return ""
    known = OPTIONS.get(command.lower())
    if command.lower() == "catdb":
        raise SignToolError(
            "This version of signtool does not support the catdb functionality.",
            "Use Windows' own SignTool.",
            cause="catalogue databases are part of Windows",
        )
    if known is None:
        near = did_you_mean(command.lower(), OPTIONS)
        raise SignToolError(f"Invalid command: {visible(command)}", f"{near}The commands are {', '.join(OPTIONS)}.")
    options: dict[str, tuple[str, ...]] = {}
    files: list[str] = []
    waiting = iter(rest)
    for argument in (_without_escape(argument, known) for argument in waiting):
        spelled = _option_name(argument)
        name = _OTHER_NAMES.get(spelled, spelled) if spelled is not None else None
        if name is None or (name not in known and name not in (*_QUIET_AND_SO_ON, *HELP) and _is_path(argument)):
            files.append(argument)
        elif name in HELP:
            return command.lower()
        else:
            options[name] = (*options.get(name, ()), *_values(argument, name, known, options, waiting))
    return Call(command.lower(), options, tuple(files))


def _values(
    argument: str, name: str, known: Mapping[str, Option], before: Mapping[str, object], waiting: Iterator[str]
) -> tuple[str, ...]:
    """What follows the option; raises SignToolError when it may not be there, or too little follows."""
    option = _FLAG if name in _QUIET_AND_SO_ON else known.get(name)
    if option is None:
        near = did_you_mean(name, known)
        raise SignToolError(f"Invalid option: {visible(argument)}", f"{near}`signtool /?` lists commands and options.")
    if option.refused:
        raise SignToolError(
            f"This version of signtool does not support the /{name} functionality.",
            "Leave it out.",
            cause=option.refused,
        )
    if name in before and not option.many:
        raise SignToolError(f"You cannot use the /{name} option twice.", "Leave one of them out.")
    values = tuple(value for _, value in zip(range(option.values), waiting, strict=False))
    if len(values) < option.values:
        raise SignToolError(f"The /{name} option requires a parameter.", "Write its value after it.")
    return values


def _option_name(argument: str) -> str | None:
    """The option that the argument looks like, in lower case; None for what begins otherwise."""
    return argument[1:].lower() if argument[:1] in {"/", "-"} and len(argument) > 1 else None


def _without_escape(argument: str, known: Mapping[str, Option]) -> str:
    """`//fd` is how Git Bash writes /fd (MSYS2 takes one slash off, lest it look like a path); shells of other systems
    hand it over as it is."""
    name = argument[2:].lower()
    is_option = name in known or name in _QUIET_AND_SO_ON or name in HELP or name in _OTHER_NAMES
    return argument[1:] if os.sep == "/" and argument.startswith("//") and is_option else argument


def _is_path(argument: str) -> bool:
    """Whether an argument that begins like an option is the path of a file."""
    if argument.startswith("-"):
        return os.path.exists(argument)  # noqa: PTH110 - a text, not yet known to be a path
    return os.sep == "/" and ("/" in argument[1:] or os.path.exists(argument))  # noqa: PTH110 - likewise


def check_combinations(call: Call) -> None:
    """Raises SignToolError for options that exclude or need each other, in SignTool's words."""
    for one, other in (("t", "tr"), ("ph", "nph"), ("q", "v"), ("q", "debug"), ("dlib", "csp"), ("dlib", "sha1")):
        if call.has(one) and call.has(other) and call.command != "verify":
            raise SignToolError(
                f"The /{one} option is incompatible with the /{other} option.", "Leave one of them out."
            )
    for one, needed in (("kc", "csp"), ("p", "f"), ("dmdf", "dlib"), ("dlib", "dmdf"), ("td", "tr")):
        if call.command == "sign" and call.has(one) and not call.has(needed) and not (one == "td" and call.has("t")):
            raise SignToolError(f"The /{one} option requires the /{needed} option.", "Add it.")
    if call.has("csp") and not any(call.has(name) for name in ("kc", "sha1", "n")):
        raise SignToolError("The /csp option requires the /kc option.", "Add it, or name the certificate with /sha1.")
    if not call.files:
        raise SignToolError("Missing filename.", "Name the files after the options.")


def check_digest(option: str, value: str) -> str:
    """The name of a digest as kspsign calls it. Raises SignToolError for one that it does not sign with."""
    name = value.lower().replace("-", "")
    if name in {"sha256", "sha384", "sha512"}:
        return name
    if name in {"sha1", "md5"}:
        raise SignToolError(
            "The specified algorithm cannot be used or is invalid.",
            f"Use /{option} SHA256.",
            cause=f"/{option} {value}: Windows trusts no signature of that digest any more, and kspsign makes none",
        )
    raise SignToolError(
        "The specified algorithm cannot be used or is invalid.", f"/{option} takes SHA256, SHA384 or SHA512."
    )


def check_timestamp(call: Call) -> None:
    """Raises SignToolError for a timestamp that today's SignTool refuses or kspsign does not ask for."""
    if call.has("t"):
        raise SignToolError(
            "Specify the RFC 3161 timestamp server's URL instead with /tr.",
            "Write /tr URL /td SHA256 in place of /t URL: most servers answer both at the same address.",
            cause="Authenticode's old timestamps (/t) are made with SHA-1",
        )
    if call.has("tr") and not call.has("td"):
        raise SignToolError(words.NO_TD)


def response_calls(path: str) -> tuple[tuple[str, ...], ...]:
    """The commands of a response file: one argument a line, an empty line between commands.

    Raises SignToolError when the file can't be read.
    """
    from pathlib import Path  # noqa: PLC0415 - few calls have one

    from kspsign.model.text import decode_text  # noqa: PLC0415 - likewise

    try:
        lines = decode_text(Path(path).read_bytes()).splitlines()
    except (OSError, ValueError) as unreadable:
        cause = (unreadable.strerror or "") if isinstance(unreadable, OSError) else "it is not text"
        raise SignToolError(
            f"There was an error opening the file list: {visible(path)}",
            "Name a text file in UTF-8 or UTF-16.",
            cause=cause,
        ) from None  # a decoding error holds the file's content
    calls: list[list[str]] = [[]]
    for line in (line.strip() for line in lines):
        if line:
            calls[-1] += _arguments(line)
        elif calls[-1]:
            calls.append([])
    return tuple(tuple(call) for call in calls if call)


def split_lines(arguments: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The commands that the arguments of one call mean: themselves, or those of a response file."""
    if len(arguments) == 1 and arguments[0].startswith("@") and len(arguments[0]) > 1:
        return response_calls(arguments[0][1:])
    return (tuple(arguments),)


def _arguments(line: str) -> Iterator[str]:
    """The argument in a line of a response file, or the option and its value (`/n "My cert"`)."""
    option = _OPTION_WITH_VALUE.fullmatch(line)
    for text in option.groups() if option else (line,):
        yield text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
