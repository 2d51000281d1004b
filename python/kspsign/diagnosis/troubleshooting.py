"""The page of all known failures, docs/troubleshooting.md, from the same data that explains them at run time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kspsign.diagnosis.catalogue import Failure, Group, catalogue

_HEADINGS: dict[Group, str] = {
    "certificate": "Choosing the certificate and the options",
    "key": "The private key and its provider",
    "digicert": "DigiCert KeyLocker and Software Trust Manager",
    "format": "The file",
    "timestamp": "Timestamps",
    "verify": "Verification",
    "network": "The network",
    "windows": "Windows and its tools",
    "kspsign": "Codes of kspsign",
    "terms": "Terms and commands",
    "exits": "Exit codes",
}
_INTRODUCTION = """\
# Troubleshooting

What a failure means and what to do about it. `kspsign explain` looks it up here: give it a code in any notation
(`0x800B0100`, `-2146762496`, `TRUST_E_NOSIGNATURE`, `KEY_MISMATCH`, `"signtool exit 2"`), a line of output, or a
whole log by `kspsign explain - < log.txt`. It exits 0 when it knows the failure and 3 when it does not.

<!-- Written by tools/write_troubleshooting.py from python/kspsign/diagnosis/failures.yml. -->
"""


def troubleshooting_text() -> str:
    """The whole page as Markdown, with a final line feed."""
    lines = [_INTRODUCTION]
    failures = catalogue().failures
    lines += [f"- [{heading}](#{_anchor(heading)})" for heading in _HEADINGS.values()]
    for group, heading in _HEADINGS.items():
        lines += ["", f"## {heading}"]
        for failure in failures:
            if failure.group == group:
                lines += ["", *_section(failure)]
    return "\n".join(lines) + "\n"


def _section(failure: Failure) -> Iterator[str]:
    yield f'<a id="{failure.id}"></a>'
    yield ""
    yield f"### {_text(failure.title)}"
    yield ""
    if seen := "; ".join(_seen(failure)):
        yield f"Seen as: {seen}"
        yield ""
    if failure.examples:
        yield "```"
        yield from failure.examples
        yield "```"
        yield ""
    yield f"- Cause: {_text(failure.known_cause)}"
    yield f"- Remedy: {_text(failure.known_remedy)}"
    yield f"- Who: {', '.join(failure.audience)}"
    if failure.sources:
        yield f"- Reported in: {', '.join(_link(source) for source in failure.sources)}"


def _seen(failure: Failure) -> Iterator[str]:
    """The codes and words that give the failure away."""
    for name, number in failure.all_numbers.items():
        yield f"`0x{number:08X}` {name}"
    if failure.range:
        yield " to ".join(f"`0x{number:08X}`" for number in dict.fromkeys(failure.range))
    for code in failure.codes:
        yield f"`{code}`"
    for program, codes in failure.exits.items():
        yield f"exit code {', '.join(map(str, codes))} of {program}"
    for name in failure.filters:
        if name != "none":
            shown = name.upper() if name == "eku" else name if name == "expiry" else name.replace("-", " ").title()
            yield f'"After {shown} filter, 0 certs were left" (`signtool sign /debug`)'
    for pattern in failure.patterns:
        if not re.search(r"[\\\[({|^?]", pattern):
            yield f'"{pattern}"'


def _text(text: str) -> str:
    """A text of the data in Markdown: code in backquotes stays, what HTML or emphasis would take is escaped."""
    text = text.replace("{hex}", "the code").replace("{phrase}", "")
    text = re.sub(r" \(\)|\(the code, WinINet \{low\}\)", "", text).replace("{status}", "status").replace("{low}", "n")
    parts = text.split("`")
    parts[::2] = [re.sub(r"([<>*|$\\])", r"\\\1", part) for part in parts[::2]]
    shown = "`".join(parts).strip()
    return shown[:1].upper() + shown[1:] if shown.startswith("the code") else shown


def _link(source: str) -> str:
    repository, _, number = source.partition("#")
    return f"[{source}](https://github.com/{repository}/issues/{number})"


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")
