"""A key store that another package installs: named, signed with, examined and listed without a change of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import jsonschema
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.keys.table import STORES
from support.places import ROOT
from support.recipes.applying import copy_checkout, touched
from support.samples import Run, copy_launcher, kspsign_process

PACKAGE = ROOT / "tests" / "support" / "example_store"
PASSPHRASE = "only for this test"  # noqa: S105 - protects a throw-away key
VARIABLE = "EXAMPLE_PASSPHRASE"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the example package, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--target", str(folder), str(PACKAGE)]
    subprocess.run(command, check=True, timeout=120)
    return folder


@dataclass(frozen=True)
class Bench:
    """The installed package, the key's files, and what a run needs besides."""

    site: Path
    folder: Path
    root: Path
    timestamp_url: str

    @property
    def environment(self) -> dict[str, str]:
        earlier = os.environ.get("PYTHONPATH")
        return {
            "PYTHONPATH": os.pathsep.join([str(self.site), *([earlier] if earlier else [])]),
            VARIABLE: PASSPHRASE,
        }

    @property
    def key(self) -> tuple[object, ...]:
        names = ("--example-key", self.folder / "key.pem", "--certificate", self.folder / "chain.pem")
        return ("--key-store", "example", *names, *self.passphrase, "--store", self.folder / "store")

    @property
    def passphrase(self) -> tuple[str, ...]:
        return ("--example-passphrase-env", VARIABLE)

    def run(self, *arguments: object) -> Run:
        return kspsign_process(*arguments, folder=self.folder, environment=self.environment)

    def text(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kspsign", *map(str, arguments)],
            cwd=self.folder, env={**os.environ, **self.environment, "COLUMNS": "200"},
            capture_output=True, encoding="utf-8", timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def bench(
    site: Path,
    authority: EmbeddedAuthority,
    authority_root: Path,
    timestamp_server: TimestampServer,
    tmp_path: Path,
) -> Bench:
    encryption = BestAvailableEncryption(PASSPHRASE.encode())
    key = authority.leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    (tmp_path / "key.pem").write_bytes(key)
    chain = [authority.leaf, authority.intermediate, authority.root]
    (tmp_path / "chain.pem").write_bytes(b"".join(issued.certificate.public_bytes(Encoding.PEM) for issued in chain))
    return Bench(site, tmp_path, authority_root, timestamp_server.url)


def test_it_signs_and_what_it_signed_verifies(bench: Bench) -> None:
    path = copy_launcher(bench.folder)
    trust = ("--trust-root", bench.root, "--timestamp-url", bench.timestamp_url)
    run = bench.run("run", path, *bench.key, "--keypair-alias", "release", *trust)
    assert run.code == 0, run.text
    assert (run.report["key_store"], run.report["engine"], run.file["outcome"]) == ("example", "native", "signed")
    assert "the example store holds release" in run.text
    assert PASSPHRASE not in run.text
    assert bench.run("verify", path, "--trust-root", bench.root).code == 0
    again = copy_launcher(bench.folder, to="again.exe")
    by_thumbprint = ("--thumbprint", run.report["certificate"]["thumbprint"], "--store", bench.folder / "store")
    run = bench.run("sign", again, *by_thumbprint, *bench.passphrase, *trust)
    assert (run.code, run.report["key_store"]) == (0, "example"), run.text


def test_it_touches_no_file_of_ours(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = copy_checkout(tmp_path / "copy")
    monkeypatch.setenv("PYTHONPATH", str(copy / "python"))
    path = copy_launcher(bench.folder)
    run = bench.run("sign", path, *bench.key, "--trust-root", bench.root, "--timestamp-url", bench.timestamp_url)
    assert (run.code, run.report["key_store"]) == (0, "example"), run.text
    assert touched(copy) == {}


def test_kspsign_yml_knows_its_options(bench: Bench) -> None:
    content = {
        "key_store": "example",
        "example_key": str(bench.folder / "key.pem"),
        "certificate": str(bench.folder / "chain.pem"),
        "example_passphrase_env": VARIABLE,
        "store": str(bench.folder / "store"),
    }
    schema = json.loads(bench.text("schema", "config").stdout)
    jsonschema.validate(content, schema)
    file = bench.folder / "kspsign.yml"
    file.write_text(json.dumps(content), encoding="utf-8")
    done = bench.text("certsync")
    assert done.returncode == 3
    assert all(name in done.stderr for name in {*content} - {"key_store"}), done.stderr
    done = bench.text("certsync", "--config", file)
    assert done.returncode == 0, done.stdout + done.stderr
    file.write_text(json.dumps({**content, "example_kye": "x"}), encoding="utf-8")
    done = bench.text("certsync", "--config", file)
    assert done.returncode == 3
    assert "there is no such setting: example_kye" in done.stderr
    assert "did you mean example_key?" in done.stderr


def test_a_wrong_passphrase_is_its_own_error(bench: Bench) -> None:
    path = copy_launcher(bench.folder)
    run = kspsign_process(
        "sign", path, *bench.key, folder=bench.folder, environment={**bench.environment, VARIABLE: "wrong"}
    )
    assert (run.code, run.report["error"]["code"]) == (5, "EXAMPLE_STORE"), run.text


def test_help_lists_it_with_its_options(bench: Bench) -> None:
    shown = bench.text("sign", "--help").stdout
    assert "key store example:" in shown
    assert "--example-key FILE" in shown
    having = [name for name, model in STORES.built_in().items() if "certificate" in model.model_fields]
    assert f"[{', '.join([*having, 'example'])}]" in " ".join(shown.split())


def test_the_doctor_examines_it(bench: Bench) -> None:
    done = bench.text("doctor", "--json", "--no-timestamp", "--trust-root", bench.root, *bench.key)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0, done.stdout
    assert found["key"]["state"] == found["certificate"]["state"] == "ok"
    assert "kspsign-example-store 0.1" in found["key store example"]["detail"]
    (bench.folder / "key.pem").unlink()
    done = bench.text("doctor", "--json", "--no-timestamp", "--trust-root", bench.root, *bench.key)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, found["credentials"]["state"], found["key"]["state"]) == (5, "failed", "not checked")


def test_a_name_that_is_none_is_told_with_those_that_are(bench: Bench) -> None:
    done = bench.text("sign", "x.exe", "--key-store", "exampel")
    assert done.returncode == 3
    assert "'exampel' is not a key store" in done.stderr
    assert "windows, example; did you mean example?" in done.stderr
    (bench.folder / "kspsign.yml").write_text("key_store: pkcs21\n", encoding="utf-8")
    done = bench.text("sign", "x.exe")
    assert done.returncode == 3
    assert "did you mean pkcs1" in done.stdout + done.stderr


HEAD = "from kspsign.settings.store_options import StoreOptions\n"
METHODS = "    open = reopen = examine = print\n"


def module(options: str = "StoreOptions", engine: str = "native", methods: str = METHODS, fields: str = "") -> str:
    """A module with a store class that may lack something."""
    own = f"class Own(StoreOptions):\n    {fields}\n" if fields else ""
    return f"{HEAD}{own}class ExampleStore:\n    options = {options}\n    engines = ({engine!r},)\n{methods}"


BROKEN = {
    "raises when it is loaded": ("raise RuntimeError('no vendor library')", "RuntimeError: no vendor library"),
    "no such attribute": ("", "AttributeError"),
    "options of another kind": (module("dict"), "its options are not a subclass"),
    "an unknown engine": (module(engine="gpg"), "its engines are ('gpg',)"),
    "no reopen": (module(methods="    open = examine = print\n"), "it has no reopen"),
    "a setting of the run": (module("Own", fields="jobs: int = 1"), "its option jobs is a setting of kspsign itself"),
    "another meaning": (
        module("Own", fields="csp: int = 1"),
        "its option csp differs from that of key store windows",
    ),
}


def broken(bench: Bench, content: str) -> Bench:
    """The bench with a package acme-store of this module in the place of the good one."""
    site = bench.folder / "broken"
    metadata = site / "acme_store-2.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-store\nVersion: 2.0\n", encoding="utf-8")
    points = "[kspsign.key_stores]\nacme = acme_store:ExampleStore\n"
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")
    (site / "acme_store.py").write_text(content, encoding="utf-8")
    return replace(bench, site=site)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_package_is_named_with_the_cause(bench: Bench, kind: str) -> None:
    content, cause = BROKEN[kind]
    done = broken(bench, content).text("sign", "x.exe", "--key-store", "acme")
    said = done.stdout + done.stderr
    assert done.returncode == 5, said
    assert "key store acme of package acme-store 2.0 can't be loaded" in said
    assert cause in said
    assert "Traceback" not in said


def test_a_broken_package_hinders_no_other_key_store(bench: Bench) -> None:
    content, cause = BROKEN["raises when it is loaded"]
    acme = broken(bench, content)
    done = acme.text("sign", "x.exe", "--key-store", "acme", "--acme-key", "x")
    assert (done.returncode, cause in done.stdout + done.stderr) == (5, True)
    options = ("--json", "--no-timestamp", "--key-store", "embedded", "--store", bench.folder / "store")
    done = acme.text("doctor", *options)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, found["key store acme"]["state"]) == (0, "warning")
    assert acme.text("sign", "--help").returncode == 0
