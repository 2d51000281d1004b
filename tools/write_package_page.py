"""Write docs/reference/package.md: what the .vsix carries and what was left out, measured on the locked wheels.

`--check` writes nothing and fails where the page is not what is measured. Kilobytes are as the wheels pack them.
"""

from __future__ import annotations

import sys
import zipfile
from collections import defaultdict
from dataclasses import dataclass

from vendor import ALL_TARGETS, COMPILED, LEFT_OUT, PLATFORMS, PYTHONS, ROOT, folder_of, is_licence, wheels

PAGE = ROOT / "docs" / "reference" / "package.md"
MEBI = 1024 * 1024
PAGE_TEXT = """# What the package carries

<!-- Written by tools/write_package_page.py, which measures the locked wheels. -->

The .vsix has the engine and its libraries for CPython {pythons} on {platforms}: nothing is downloaded at run time. It \
must stay under 50 MB: `make package` fails above that and prints what it is made of.

## Left out

| what | packed KiB | unpacked KiB | why |
|---|---:|---:|---|
{left}

All wheels of all targets together are {whole} MiB packed; {kept} MiB are carried.

## Carried

| folder | packed KiB | unpacked KiB |
|---|---:|---:|
{carried}
| **all** | {total} |

`common` serves every interpreter, `PLATFORM-abi3` every CPython of a platform, `PLATFORM-cpXY` one.

## Other interpreters

For another CPython (3.11 or newer), or another platform, the step makes a virtual environment in the agent's tools \
folder (`Agent.ToolsDirectory/kspsign`), by the package's own lock file: `pip install --require-hashes`, wheels only. \
Its name holds platform, Python and the lock file's digest: the next run uses it again, a package with other libraries \
makes its own, a damaged one is rebuilt. It is built aside and renamed, by one job at a time. pip uses \
the agent's own index (`PIP_INDEX_URL`, also as `PipAuthenticate@1` sets it, and pip's configuration files) and proxy. \
`bundledOnly: true` makes the step fail instead.
"""
ONCE = "the same libraries again"
FASTER = "compiled parts that only make a package faster"
REASONS = {
    **{name: rule.why for name, rule in LEFT_OUT.items()},
    FASTER: "charset-normalizer and PyYAML work without theirs and are then the same everywhere",
    ONCE: "pure Python is shipped once, what has a stable ABI (abi3) once for each platform",
}


@dataclass(slots=True)
class Size:
    """Bytes as packed and unpacked."""

    packed: int = 0
    unpacked: int = 0

    def add(self, entry: zipfile.ZipInfo) -> None:
        self.packed += entry.compress_size
        self.unpacked += entry.file_size

    @property
    def cells(self) -> str:
        return f"{self.packed / 1024:,.0f} | {self.unpacked / 1024:,.0f}"


def measure() -> tuple[dict[str, Size], dict[str, Size]]:
    """Sizes of what is left out by reason, and of what is carried by folder."""
    left: dict[str, Size] = defaultdict(Size)
    carried: dict[str, Size] = defaultdict(Size)
    done: set[tuple[str, str]] = set()
    for target in ALL_TARGETS:
        for wheel in wheels(target):
            folder, pure = folder_of(wheel, target)
            again = (wheel.name.partition("-")[0], folder) in done
            done.add((wheel.name.partition("-")[0], folder))
            with zipfile.ZipFile(wheel) as archive:
                for entry in (member for member in archive.infolist() if not member.is_dir()):
                    why = ONCE if again else _left_out(entry.filename, pure=pure)
                    (left[why] if why else carried[folder]).add(entry)
    return left, carried


def _left_out(member: str, *, pure: bool) -> str | None:
    if is_licence(member):
        return None
    if pure and COMPILED.search(member):
        return FASTER
    return next((name for name, rule in LEFT_OUT.items() if rule.pattern.search(member)), None)


def page() -> str:
    """The page as Markdown."""
    left, carried = measure()
    total, whole = _sum(carried), _sum(left, carried)
    return PAGE_TEXT.format(
        pythons=", ".join(PYTHONS),
        platforms=", ".join(PLATFORMS),
        left="\n".join(f"| {name} | {left[name].cells} | {why} |" for name, why in REASONS.items()),
        carried="\n".join(f"| `lib/{folder}` | {size.cells} |" for folder, size in sorted(carried.items())),
        total=total.cells,
        whole=f"{whole.packed / MEBI:,.0f}",
        kept=f"{total.packed / MEBI:,.0f}",
    )


def _sum(*tables: dict[str, Size]) -> Size:
    sizes = [size for table in tables for size in table.values()]
    return Size(sum(size.packed for size in sizes), sum(size.unpacked for size in sizes))


def main() -> None:
    """Write the page, or compare it."""
    text = page()
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") != text:
            sys.exit(f"{PAGE} is not what is measured: run tools/write_package_page.py.")
    else:
        PAGE.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
