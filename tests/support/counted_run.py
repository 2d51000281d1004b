"""`python counted_run.py COUNTS ARGUMENTS...` runs kspsign with ARGUMENTS and writes what it took to the file COUNTS.

Calls of functions and modules that were loaded: unlike seconds they are the same on every machine, however busy it is.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
from pathlib import Path


def main() -> None:
    """Run the command; the exit code is its own."""
    counter = itertools.count()  # its next() is atomic: all threads count together

    def count(_frame: object, event: str, _argument: object) -> None:
        if event in {"call", "c_call"}:
            next(counter)

    target, *arguments = sys.argv[1:]
    threading.setprofile(count)
    sys.setprofile(count)
    from kspsign.cli.main import main as run  # noqa: PLC0415 - the import is counted

    code = run(arguments)
    sys.setprofile(None)
    threading.setprofile(None)
    counts = {"calls": next(counter), "modules": len(sys.modules)}
    Path(target).write_text(json.dumps(counts), encoding="ascii")
    sys.exit(code)


if __name__ == "__main__":
    main()
