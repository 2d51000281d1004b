"""The HTML page of a run: one file that anyone can open, made of the page that task/ui builds and the report in it.

The report is in an element that no browser executes, as JSON packed by gzip and written in base64; the page's policy
permits the page's own script alone.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.resources import files

from kspsign.model.errors import PrerequisiteError
from kspsign.model.report import Report
from kspsign.model.values import SignatureFacts
from kspsign.publishing.report_file import report_pieces, value_text

TEMPLATE = "page.html"
_MARK = "@REPORT@"
_GZIP = 31
"""zlib's number for the format of RFC 1952."""
_LINE = 3 << 14
"""Bytes that are written in base64 together: a multiple of three, so that nothing is filled up in between."""


def page_pieces(report: Report) -> Iterator[str]:
    """The page, in pieces: it grows with the report. Raises PrerequisiteError as `page_template` does."""
    return page_around(_data(report))


def page_around(data: Iterable[str]) -> Iterator[str]:
    """The page that shows the JSON in `data`, in pieces. Raises PrerequisiteError as `page_template` does."""
    head, tail = page_template()
    yield head
    yield from _packed(data)
    yield tail


def has_page() -> bool:
    """Whether this installation can write the page."""
    return files(__package__).joinpath(TEMPLATE).is_file()


def page_template() -> tuple[str, str]:
    """What comes before and after the report. Raises PrerequisiteError where this installation has no page."""
    try:
        text = files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    except OSError as missing:
        raise PrerequisiteError(
            "this installation can't write the HTML page: it was made from source without it",
            code="PAGE_MISSING",
            remedy="Install the extension or a wheel, or run `make page` in the source tree (it needs Node 20) and "
            "install again; or leave --html out.",
        ) from missing
    head, _mark, tail = text.partition(_MARK)
    return head, tail


def _data(report: Report) -> Iterator[str]:
    """What the page reads: the report without its files' signatures, then these by number, since most files have the
    same: a page of many files opens in half the time."""
    numbers: dict[tuple[SignatureFacts, ...], int] = {}
    of_files = [numbers.setdefault(outcome.signatures, len(numbers)) for outcome in report.files]
    yield '{"report":'
    yield from report_pieces(replace(report, files=tuple(replace(file, signatures=()) for file in report.files)))
    yield f',"signatures":{value_text(tuple(numbers))},"of":{json.dumps(of_files)}}}'


def _packed(pieces: Iterable[str]) -> Iterator[str]:
    packer, waiting = zlib.compressobj(wbits=_GZIP), bytearray()
    for piece in pieces:
        waiting += packer.compress(piece.encode("utf-8"))
        whole = len(waiting) - len(waiting) % _LINE
        yield base64.b64encode(waiting[:whole]).decode("ascii")
        del waiting[:whole]
    yield base64.b64encode(waiting + packer.flush()).decode("ascii")
