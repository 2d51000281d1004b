"""Build the extension: stage a clean folder, let tfx-cli make the .vsix offline, make its bytes reproducible.

Before: `npm ci` and `npm run build` in task/shim and task/ui. `--platform current` is the quick build that tests use.
`--variant dev` is a private extension with ids of its own, which an organisation can install in addition to the public
one. `--publisher` is for an organisation that publishes its own build: private, since the public one is the project's.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
import uuid
import zipfile
from pathlib import Path
from typing import Any

from vendor import ALL_TARGETS, LOCK, ROOT, Target, unpack

from kspsign.model.project import DOCUMENTATION, PROJECT, PUBLISHER

SHIM = ROOT / "task" / "shim"
SHIM_BUILD = ROOT / "build" / "shim"
UI = ROOT / "task" / "ui"
UI_BUILD = ROOT / "build" / "ui"
TFX = SHIM / "node_modules" / "tfx-cli" / "_build" / "tfx-cli.js"
TASK = "task/KspSign"
GATE = "task/KspSignatureGate"
PICTURES = ("green.png", "red.png", "summary.png", "tab.png", "hub.png")
MAX_BYTES = 50 * 1024 * 1024
EPOCH = (1980, 1, 1, 0, 0, 0)

CONTENT_TYPES = {".json": "application/json", ".js": "application/javascript", ".png": "image/png"}
CONTENT_TYPES |= {".html": "text/html", ".css": "text/css"}
CONTENT_TYPES |= dict.fromkeys((".py", ".txt", ".md", ".pem"), "text/plain")


def project_version() -> str:
    """The one version of everything, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def stage(folder: Path, targets: tuple[Target, ...], *, dev: bool, publisher: str = PUBLISHER) -> None:
    """Fill `folder` with exactly what belongs into the package of the variant."""
    shutil.rmtree(folder, ignore_errors=True)
    engine = folder / TASK / "engine"
    _copy(ROOT / "LICENSE", folder / "LICENSE")
    overview = (ROOT / "task" / "overview.md").read_text(encoding="utf-8")
    (folder / "overview.md").write_text(published(overview), encoding="utf-8", newline="\n")
    for picture in ("icon.png", *PICTURES):
        _copy(ROOT / "images" / picture, folder / "images" / picture)
    for task in (TASK, GATE):
        for name in ("task.json", "icon.png"):
            _copy(ROOT / task / name, folder / task / name)
    if dev:
        _give_dev_ids(folder)
    for name in ("index.js", "cleanup.js"):
        _copy(SHIM_BUILD / name, folder / TASK / "dist" / name)
    for page in (UI_BUILD / "extension").iterdir():
        _copy(page, folder / "ui" / page.name)
    for source in (ROOT / "task" / "engine").glob("*.py"):
        _copy(source, engine / source.name)
    _copy(LOCK, engine / "requirements.txt")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "py.typed")
    shutil.copytree(ROOT / "python" / "kspsign", engine / "kspsign", ignore=ignored)
    unpack(targets, engine / "lib", folder / TASK / "licenses")
    _npm_licences(SHIM_BUILD, SHIM, folder / TASK / "licenses")
    _npm_licences(UI_BUILD, UI, folder / "ui" / "licenses")
    _manifest(folder, dev=dev, publisher=publisher)


def published(page: str) -> str:
    """A page of the package, its links into docs/ led to where the project publishes them."""
    return re.sub(r"\]\(docs(?=[/)])", f"]({DOCUMENTATION}", page)


def addresses() -> dict[str, object]:
    """What the manifest says of where the project is."""
    pages = {
        "home": PROJECT,
        "getstarted": f"{DOCUMENTATION}/getting-started",
        "learn": DOCUMENTATION,
        "support": f"{DOCUMENTATION}/troubleshooting.md",
        "issues": f"{PROJECT}/issues",
        "repository": PROJECT,
    }
    links = {name: {"uri": uri} for name, uri in pages.items()}
    return {"links": links, "repository": {"type": "git", "uri": PROJECT}}


def dev_id(task_id: str) -> str:
    """The id of a task in the dev variant: always the same one, and never the public one."""
    return str(uuid.uuid5(uuid.UUID(task_id), "dev"))


def _give_dev_ids(folder: Path) -> None:
    """Other ids in both manifests; the gate's, which asks for the signing task by id, follows."""
    manifests = [folder / task / "task.json" for task in (TASK, GATE)]
    ids = [json.loads(manifest.read_text(encoding="utf-8"))["id"] for manifest in manifests]
    for manifest in manifests:
        text = manifest.read_text(encoding="utf-8")
        for task_id in ids:
            text = text.replace(task_id, dev_id(task_id))
        manifest.write_text(text, encoding="utf-8", newline="\n")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _npm_licences(build: Path, source: Path, folder: Path) -> None:
    """The licence of every npm package that was bundled into what is in `build`."""
    inputs = json.loads((build / "inputs.json").read_text(encoding="utf-8"))
    found = (re.search(r"node_modules/((?:@[^/]+/)?[^/]+)/", path) for path in inputs)
    for package in sorted({match[1] for match in found if match}):
        for licence in (source / "node_modules" / package).glob("LICENSE*"):
            _copy(licence, folder / package.replace("/", "-") / licence.name)


def _manifest(folder: Path, *, dev: bool, publisher: str) -> None:
    """The manifest with each file named: else tfx-cli asks the system's `file` command for content types."""
    manifest = json.loads((ROOT / "vss-extension.json").read_text(encoding="utf-8"))
    manifest |= {"publisher": publisher, "public": publisher == PUBLISHER and not dev, **addresses()}
    if dev:
        manifest |= {"id": f"{manifest['id']}-dev", "name": f"{manifest['name']} (dev)"}
        manifest["contributions"] = [_of_dev_task(contribution) for contribution in manifest["contributions"]]
    files = sorted(path for path in (folder / "task").rglob("*") if path.is_file())
    default = "application/octet-stream"
    manifest["files"] = [
        {"path": path.relative_to(folder).as_posix(), "contentType": CONTENT_TYPES.get(path.suffix, default)}
        for path in files
    ]
    manifest["files"] += [
        {
            "path": path.relative_to(folder).as_posix(),
            "contentType": CONTENT_TYPES.get(path.suffix, "text/plain"),
            "addressable": True,
        }
        for path in sorted((folder / "ui").rglob("*"))
        if path.is_file()
    ]
    picture = {"contentType": "image/png", "addressable": True}
    manifest["files"] += [{"path": f"images/{name}", **picture} for name in PICTURES]
    (folder / "vss-extension.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _of_dev_task(contribution: dict[str, Any]) -> dict[str, Any]:
    """The contribution, which asks for the dev variant's tasks where it asks for tasks by their ids."""
    properties = dict(contribution["properties"])
    if "supportsTasks" in properties:
        properties["supportsTasks"] = [dev_id(task_id) for task_id in properties["supportsTasks"]]
    return {**contribution, "properties": properties}


def create(staged: Path, output: Path, *, dev: bool) -> Path:
    """Run tfx-cli over the staged folder; a warning is a failure. Returns the reproducible .vsix."""
    made = staged.parent / f"{staged.name}.tfx.vsix"
    command = ["node", str(TFX), "extension", "create", "--root", str(staged), "--no-color", "--no-prompt"]
    command += ["--manifests", "vss-extension.json", "--output-path", str(made)]
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    said = run.stdout + run.stderr
    if run.returncode or re.search(r"\bwarn(ing)?\b|\berror\b", said, re.IGNORECASE):
        sys.exit(f"tfx-cli is not content:\n{said}")
    output.mkdir(parents=True, exist_ok=True)
    vsix = output / f"kspsign{'-dev' if dev else ''}-{project_version()}.vsix"
    _rezip(made, vsix)
    made.unlink()
    return vsix


def _rezip(source: Path, target: Path) -> None:
    """Sorted names, fixed dates: same input, same bytes. Refuses names that a package can't hold."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        names = sorted(name for name in old.namelist() if not name.endswith("/"))
        parts = [name for name in names if name != "[Content_Types].xml"]
        bad = [name for name in parts if re.search(r"[\s#^\[\]<>?]|\.$", name)]
        if bad or len({name.lower() for name in names}) < len(names):
            sys.exit(f"these names can't be parts of a package (or differ by case only): {bad}")
        for name in names:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 0
            new.writestr(entry, old.read(name), zipfile.ZIP_DEFLATED, 9)


def size_table(vsix: Path) -> str:
    """The package's size: compressed and unpacked kilobytes by folder."""
    rows: dict[str, list[int]] = {}
    with zipfile.ZipFile(vsix) as archive:
        for entry in archive.infolist():
            parts = entry.filename.removeprefix(f"{TASK}/engine/").split("/")
            group = "/".join(parts[:2]) if parts[0] == "lib" else parts[0]
            group = "/".join(entry.filename.split("/")[:3]) if group == "task" else group
            row = rows.setdefault(group, [0, 0])
            row[0] += entry.compress_size
            row[1] += entry.file_size
    total = [f"{vsix.stat().st_size // 1024:>8}           {vsix.name}"]
    lines = [f"{row[0] // 1024:>8} {row[1] // 1024:>8}  {group}" for group, row in sorted(rows.items())]
    return "\n".join(["  packed unpacked  KiB", *lines, *total])


def current_target() -> tuple[Target, ...]:
    """The one target that fits the running interpreter."""
    bundle = ROOT / "task" / "engine" / "bundle.py"
    asked = subprocess.run([sys.executable, str(bundle)], capture_output=True, check=True)
    tag = json.loads(asked.stdout)["tag"]
    return tuple(target for target in ALL_TARGETS if target.tag == tag) or sys.exit(f"{tag} is not supported")


def main() -> None:
    """Build the package and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--platform", choices=("all", "current"), default="all")
    parser.add_argument("--variant", choices=("public", "dev"), default="public")
    parser.add_argument("--publisher", default=PUBLISHER, help="of the Marketplace (default: the project's own)")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder of the .vsix")
    parser.add_argument("--work", type=Path, default=ROOT / "build", help="folder to stage in")
    arguments = parser.parse_args()
    staged = arguments.work / "package"
    dev = arguments.variant == "dev"
    targets = ALL_TARGETS if arguments.platform == "all" else current_target()
    stage(staged, targets, dev=dev, publisher=arguments.publisher)
    vsix = create(staged, arguments.output, dev=dev)
    print(size_table(vsix))
    if vsix.stat().st_size > MAX_BYTES:
        sys.exit(f"{vsix} is larger than {MAX_BYTES // 1024} KiB")


if __name__ == "__main__":
    main()
