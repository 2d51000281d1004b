"""The public and the dev variant of the extension, which one organisation can have beside each other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kspsign.azure_devops import DEV_TASK_ID, TASK_ID
from kspsign.model.project import PROJECT, PUBLISHER
from support.agent.extension import shared_vsix
from support.agent.package import install
from support.places import ROOT

sys.path.insert(0, str(ROOT / "tools"))

from package import current_target, stage

TASKS = ("KspSign", "KspSignatureGate")
GENERATED: set[str] = set()
"""Files that are written from that address."""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dev variant for this interpreter."""
    folder = tmp_path_factory.mktemp("dev")
    command = [sys.executable, str(ROOT / "tools" / "package.py"), "--platform", "current", "--variant", "dev"]
    subprocess.run([*command, "--work", str(folder), "--output", str(folder)], check=True, capture_output=True)
    (found,) = folder.glob("kspsign-dev-*.vsix")
    return found


def manifest(vsix: Path) -> dict[str, Any]:
    with zipfile.ZipFile(vsix) as archive:
        return dict(json.loads(archive.read("extension.vsomanifest")))


def identity(vsix: Path) -> str:
    with zipfile.ZipFile(vsix) as archive:
        return archive.read("extension.vsixmanifest").decode("utf-8")


def test_the_variants_share_no_id(dev: Path, tmp_path: Path) -> None:
    public = {name: install(shared_vsix(), tmp_path / "public", name).definition["id"] for name in TASKS}
    private = {name: install(dev, tmp_path / "dev", name).definition["id"] for name in TASKS}
    assert public == {name: _source(name)["id"] for name in TASKS}
    assert len({*public.values(), *private.values()}) == 4
    assert (public["KspSign"], private["KspSign"]) == (TASK_ID, DEV_TASK_ID)
    assert 'Id="kspsign"' in identity(shared_vsix())
    assert 'Id="kspsign-dev"' in identity(dev)


def test_the_dev_variant_is_private(dev: Path) -> None:
    assert "Public" in identity(shared_vsix())
    assert "Public" not in identity(dev)
    assert "kspsign (dev)" in identity(dev)


def test_each_gate_asks_for_the_signing_task_of_its_own_variant(dev: Path, tmp_path: Path) -> None:
    for vsix in (shared_vsix(), dev):
        folder = tmp_path / vsix.parent.name
        chain = json.dumps(install(vsix, folder, "KspSignatureGate").definition["execution"])
        asked = install(vsix, folder, "KspSign").definition["id"]
        assert chain.count(f"@.task.id==''{asked}''") == 2
        assert chain.count("@.task.id==") == 2


def test_both_tasks_are_contributed_and_complete(dev: Path) -> None:
    for vsix in (shared_vsix(), dev):
        names = {contribution["properties"]["name"] for contribution in manifest(vsix)["contributions"]}
        assert {f"task/{name}" for name in TASKS} <= names
        with zipfile.ZipFile(vsix) as archive:
            parts = [name for name in archive.namelist() if name.startswith("task/KspSignatureGate/")]
        assert sorted(parts) == ["task/KspSignatureGate/icon.png", "task/KspSignatureGate/task.json"]


def test_the_pictures_of_the_overview_are_in_the_package(dev: Path) -> None:
    with zipfile.ZipFile(dev) as archive:
        page = archive.read("overview.md").decode("utf-8")
        pictures = [line.partition("](")[2].partition(")")[0] for line in page.splitlines() if line.startswith("![")]
        assert pictures
        assert set(pictures) <= set(archive.namelist())


def test_every_link_of_the_extension_leads_to_the_project() -> None:
    """What people reach from the Marketplace is there, as far as this tree can tell."""
    with zipfile.ZipFile(shared_vsix()) as archive:
        page = archive.read("overview.md").decode("utf-8")
    link = re.compile(r'Id="Microsoft\.VisualStudio\.Services\.Links\.(\w+)" Value="([^"]+)"')
    links = dict(link.findall(identity(shared_vsix())))
    assert {"Home", "Getstarted", "Learn", "Support", "Issues", "Repository"} <= set(links)
    linked = [*links.values(), *re.findall(r"(?<!!)\[[^]]*\]\(([^)]+)\)", page)]
    assert len(linked) > len(links)
    for uri in linked:
        assert uri.startswith(PROJECT)
        path = re.sub(r"^/blob/main/", "", uri.removeprefix(PROJECT))
        assert path in {"", "/issues"} or (ROOT / path).exists(), uri


def test_the_address_of_the_project_is_in_one_place() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    address = PROJECT.removeprefix("https://").encode()
    holding = {name for name in listed.split("\0") if name and address in (ROOT / name).read_bytes()}
    assert holding - GENERATED == {"python/kspsign/model/project.py"}


def test_an_organisation_publishes_its_own_build_as_its_own_and_privately(tmp_path: Path) -> None:
    stage(tmp_path / "theirs", current_target(), dev=False, publisher="contoso")
    theirs = json.loads((tmp_path / "theirs" / "vss-extension.json").read_text(encoding="utf-8"))
    assert (theirs["publisher"], theirs["public"]) == ("contoso", False)
    assert f'Publisher="{PUBLISHER}"' in identity(shared_vsix())


def _source(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "task" / name / "task.json").read_text(encoding="utf-8")))
