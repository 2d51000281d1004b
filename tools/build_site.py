"""Build the browsable site from the Markdown of the repository: python tools/build_site.py build/site.

The pages stay as GitHub shows them. They are staged next to each other (README.md as index.md), links to files that are
not pages lead to the repository, and Sphinx with MyST renders them; a warning is an error. Then every link of the
rendered pages is followed: a page, an image or an anchor that is missing ends the build.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from kspsign.model.project import PROJECT

ROOT = Path(__file__).resolve().parent.parent
STYLE = ROOT / "tools" / "site"
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/**/*.md")
LEFT_OUT = {"docs/decisions/0000-template.md"}
CONTENTS = {
    "Getting started": ("docs/install*", "docs/getting-started/install*", "docs/getting-started/*"),
    "Build tools": ("docs/how-to/build-tools/index*", "docs/how-to/build-tools/*"),
    "How to": ("docs/how-to/read-a-*", "docs/how-to/*"),
    "Migrate": ("docs/migrate/*",),
    "Help": ("docs/faq*", "docs/troubleshooting*", "docs/comparison*"),
    "Reference": ("docs/reference/*", "docs/*.md"),
    "Project": ("*.md", "docs/contributing/*", "docs/decisions/*"),
}
"""The sidebar: captions, and patterns of the pages below each; a page is in the first place that fits."""
_CODE_OR_LINK = re.compile(
    r"^ *```.*?^ *```$|`[^`\n]+`|(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)",
    re.MULTILINE | re.DOTALL,
)


def page_files() -> list[str]:
    """The paths of all pages of the site, relative to the repository."""
    found = {path.relative_to(ROOT).as_posix() for pattern in PAGES for path in ROOT.glob(pattern)}
    return sorted(found - LEFT_OUT)


def staged_text(page: str, text: str, pages: set[str]) -> str:
    """A page's Markdown with links that work on the site; raises SystemExit for a link that leads nowhere."""

    def rewritten(found: re.Match[str]) -> str:
        image, words, target = found["image"], found["text"], found["target"]
        path, _hash, anchor = (target or "").partition("#")
        if not path or urlsplit(target).scheme:
            return found[0]
        where = os.path.normpath(Path(page).parent / path)
        if where == "README.md":
            target = os.path.relpath("index.md", Path(page).parent) + (f"#{anchor}" if anchor else "")
        elif where not in pages and not image:
            if not (ROOT / where).exists():
                sys.exit(f"{page}: {target} leads nowhere")
            target = f"{PROJECT}/blob/main/{where}"
        return f"{image}[{words}]({target})"

    return _CODE_OR_LINK.sub(rewritten, text)


def stage(source: Path) -> None:
    """Write the staged pages, their images and the table of contents into the empty folder `source`."""
    pages = page_files()
    for page in pages:
        target = source / ("index.md" if page == "README.md" else page)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / page).read_text(encoding="utf-8")
        target.write_text(staged_text(page, text, set(pages)), encoding="utf-8")
    for image in (*ROOT.glob("images/*.png"), *ROOT.glob("docs/images/*")):
        target = source / image.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, target)
    with (source / "index.md").open("a", encoding="utf-8") as index:
        for caption, listed in contents(pages).items():
            lines = [":hidden:", f":caption: {caption}", "", *(page.removesuffix(".md") for page in listed)]
            index.write("\n".join(["", "```{toctree}", *lines, "```", ""]))


def contents(pages: list[str]) -> dict[str, list[str]]:
    """The pages below each caption of the sidebar, in its order; README.md is the start page."""
    left = [page for page in pages if page != "README.md"]
    placed: dict[str, list[str]] = {}
    for caption, patterns in CONTENTS.items():
        for pattern in patterns:
            found = [
                page for page in left if PurePosixPath(page).match(pattern) and page.count("/") == pattern.count("/")
            ]
            placed.setdefault(caption, []).extend(found)
            left = [page for page in left if page not in found]
    if left:
        sys.exit(f"tools/build_site.py: no caption in CONTENTS fits {', '.join(left)}")
    return placed


def render(source: Path, target: Path) -> None:
    """Render the staged pages as HTML into `target`; raises SystemExit at a warning."""
    from sphinx.application import Sphinx  # noqa: PLC0415 - only `make docs` installs it

    settings = {
        "project": "kspsign",
        "extensions": ["myst_parser"],
        "exclude_patterns": [],
        "myst_heading_anchors": 4,
        # Anchors are followed in what was rendered, those that HTML in a page sets included.
        "suppress_warnings": ["myst.xref_missing", "myst.header"],
        "html_theme": "furo",
        "html_title": "kspsign",
        "html_static_path": [str(STYLE)],
        "html_css_files": ["site.css"],
        "html_logo": str(ROOT / "images" / "icon.png"),
        "html_copy_source": False,
        "html_show_sphinx": False,
        "html_show_copyright": False,
        "pygments_style": "friendly",
        "highlight_language": "text",
        "smartquotes": False,
    }
    with tempfile.TemporaryDirectory() as doctrees:
        site = Sphinx(
            source, None, target, doctrees, "html", confoverrides=settings, warningiserror=True,
            status=None, freshenv=True,
        )  # fmt: skip
        site.build(force_all=True)
    if site.statuscode:
        sys.exit("the site was not built: see the warnings above")


class _Page(HTMLParser):
    """What one rendered page refers to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)
            elif value and name in {"href", "src"}:
                self.links.add(value)


def dead_links(site: Path) -> Iterator[str]:
    """A sentence for each link between rendered pages, or into the repository, that leads nowhere."""
    files = {path.relative_to(site).as_posix(): path for path in site.rglob("*.html")}
    pages = {name: _Page(path.read_text(encoding="utf-8")) for name, path in files.items()}
    for name, page in pages.items():
        for link in sorted(page.links):
            if link.startswith(f"{PROJECT}/blob/main/"):
                inside = link.removeprefix(f"{PROJECT}/blob/main/").partition("#")[0]
                if not (ROOT / unquote(inside)).exists():
                    yield f"{name}: {link}: the repository has no {inside}"
            elif not urlsplit(link).scheme and not link.startswith("//"):
                path, _hash, anchor = urljoin(name, link).partition("#")
                path = unquote(path.partition("?")[0])
                if path not in pages:
                    if not (site / path).is_file():
                        yield f"{name}: {link}: there is no such page"
                elif anchor and unquote(anchor) not in pages[path].anchors:
                    yield f"{name}: {link}: the page has no such anchor"


def main() -> None:
    """Stage, render, follow the links."""
    target = Path(sys.argv[1]).resolve()
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder))
        render(Path(folder), target)
    if dead := list(dead_links(target)):
        sys.exit("\n".join(dead))
    print(f"{target}: {len(list(target.rglob('*.html')))} pages, every link leads somewhere")


if __name__ == "__main__":
    main()
