"""`kspsign report`: a report for people, in the terminal or as the HTML page."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import TextIO

from kspsign.batch.outputs import check_outputs
from kspsign.model.errors import PrerequisiteError
from kspsign.publishing.page import page_pieces
from kspsign.publishing.read_report import read_report
from kspsign.publishing.report_file import write_record
from kspsign.publishing.report_view import print_report

PAGE_NAME = "signatures.html"


def show_report(path: Path, page: Path | None, out: TextIO, *, opening: bool, width: int | None = None) -> int:
    """Print the report in the file `path`, or write it as a page to `page`; `opening` shows the page in the browser,
    from a temporary folder where no file is named. Returns 0, whatever the report says.

    Raises ConfigurationError for a file that is not a report or can't be written, PrerequisiteError where there is
    no page or no browser.
    """
    if page is not None:
        check_outputs({"--html": page}, {"the report": path})
    report = read_report(path, str(path))
    if opening and page is None:
        page = Path(tempfile.mkdtemp(prefix="kspsign-report-")) / PAGE_NAME
    if page is None:
        print_report(report, out, width)
        return 0
    write_record(page, page_pieces(report))
    out.write(f"{page}\n")
    if opening and not webbrowser.open(page.absolute().as_uri()):
        raise PrerequisiteError(
            "no browser could be started", code="NO_BROWSER", remedy=f"Open {page} in a browser yourself."
        )
    return 0
