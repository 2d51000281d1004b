"""The browsable site: which pages it has, and that a dead link ends `make docs`, which renders and follows them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kspsign.model.project import PROJECT
from support.places import ROOT

sys.path.insert(0, str(ROOT / "tools"))

from build_site import contents, dead_links, page_files, staged_text

LINKS = {
    "[keys](key-stores.md#options)": "[keys](key-stores.md#options)",
    "[home](../../README.md)": "[home](../../index.md)",
    "[`sign-job.yml`](../../pipelines/templates/sign-job.yml)": (
        f"[`sign-job.yml`]({PROJECT}/blob/main/pipelines/templates/sign-job.yml)"
    ),
    "[decisions](../decisions)": f"[decisions]({PROJECT}/blob/main/docs/decisions)",
    "[vendor](https://example.com/x.md)": "[vendor](https://example.com/x.md)",
    "`[a](b)`": "`[a](b)`",
    "![log](../../images/log.png)": "![log](../../images/log.png)",
}


def test_every_page_has_one_place_in_the_sidebar() -> None:
    placed = [page for pages in contents(page_files()).values() for page in pages]
    assert sorted([*placed, "README.md"]) == page_files()
    assert len(placed) > 40


def test_a_page_without_a_place_ends_the_build() -> None:
    with pytest.raises(SystemExit, match="docs/other/new"):
        contents([*page_files(), "docs/other/new.md"])


@pytest.mark.parametrize("link", LINKS)
def test_links_lead_to_pages_of_the_site_and_else_into_the_repository(link: str) -> None:
    assert staged_text("docs/how-to/page.md", link, set(page_files())) == LINKS[link]


def test_a_link_to_a_file_that_is_not_there_ends_the_build() -> None:
    with pytest.raises(SystemExit, match=r"gone\.yml leads nowhere"):
        staged_text("docs/how-to/page.md", "[gone](../../pipelines/gone.yml)", set())


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ('<a href="b.html#here">', ""),
        ('<a href="sub/c.html">', ""),
        ('<a href="https://example.com/">', ""),
        (f'<a href="{PROJECT}/blob/main/README.md">', ""),
        ('<a href="gone.html">', "there is no such page"),
        ('<img src="gone.png">', "there is no such page"),
        ('<a href="b.html#gone">', "no such anchor"),
        ('<a href="#gone">', "no such anchor"),
        (f'<a href="{PROJECT}/blob/main/gone.yml">', "the repository has no gone.yml"),
    ],
)
def test_dead_links_are_found(tmp_path: Path, link: str, complaint: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text(f"<p>{link}x", encoding="utf-8")
    (tmp_path / "b.html").write_text('<h1 id="here">b</h1>', encoding="utf-8")
    (tmp_path / "sub" / "c.html").write_text('<a href="../a.html">a</a>', encoding="utf-8")
    found = list(dead_links(tmp_path))
    assert len(found) == bool(complaint)
    assert complaint in "".join(found)
