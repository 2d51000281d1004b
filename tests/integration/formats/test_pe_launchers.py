"""Every launcher that Python's packaging tools carry goes the whole path, and the peer agrees."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from support.formats import peimages
from support.samples import assert_no_leftovers, launchers, osslsigncode_verify

MACHINES = {0x014C: "x86", 0x8664: "x64", 0xAA64: "arm64"}


@dataclass(frozen=True)
class Demo:
    folder: Path
    text: str

    @property
    def report(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        return loaded

    @property
    def signed(self) -> list[Path]:
        return sorted((self.folder / "signed").rglob("*.exe"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "kspsign", "demo", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Demo(folder, done.stdout)


def test_it_signs_all_launchers_for_three_machines(demo: Demo) -> None:
    machines = set()
    for path in demo.signed:
        data = path.read_bytes()
        machines.add(MACHINES[int.from_bytes(data[peimages.parts(data).pe + 4 :][:2], "little")])
    assert machines == {"x86", "x64", "arm64"}
    assert sorted(path.name for path in demo.signed) == sorted(path.name for path in launchers())
    assert demo.report["totals"]["signed"] == demo.report["totals"]["verified"] == len(launchers()) >= 10
    assert demo.report["test_signing"]
    assert_no_leftovers(demo.folder)


def test_the_peer_accepts_each_and_computes_the_same_digest(demo: Demo) -> None:
    for path in demo.signed:
        data, peer = path.read_bytes(), osslsigncode_verify(path, demo.folder / "root.pem")
        assert peer.accepted, peer.text
        assert peer.calculated_digests == [peimages.digest(data)]
        assert peer.calculated_checksum == peimages.checksum(data)
        found = next(
            file for file in demo.report["files"] if file["path"] == path.relative_to(demo.folder / "signed").as_posix()
        )
        digest = next(check for check in found["verdict"]["checks"] if check["name"] == "digest")
        assert digest["detail"].upper() == peimages.digest(data)
        assert found["sha256_after"] == sha256(data).hexdigest()


def test_what_was_not_the_signature_is_as_it_was(demo: Demo) -> None:
    originals = {path.name: path.read_bytes() for path in launchers()}
    for path in demo.signed:
        data, original = path.read_bytes(), originals[path.name]
        found = peimages.parts(data)
        restored = peimages.patched(data[: len(original)], found.checksum, original[found.checksum :][:4])
        assert peimages.patched(restored, found.directory, bytes(8)) == original
        assert not any(data[len(original) : found.table])


def test_the_report_follows_its_own_schema(demo: Demo) -> None:
    command = [sys.executable, "-m", "kspsign", "schema", "report"]
    schema = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(demo.report, schema, jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**demo.report, "totals": {}}, schema, jsonschema.Draft202012Validator)


def test_results_stand_in_junit_and_summary(demo: Demo) -> None:
    suite = ET.parse(demo.folder / "junit.xml").getroot()  # noqa: S314 - our own file
    cases = [case for case in suite.iter("testcase") if case.find("failure") is None]
    assert len(cases) == len(demo.signed)
    summary = (demo.folder / "summary.md").read_text(encoding="utf-8")
    assert all(path.name in summary.replace("&#95;", "_") for path in demo.signed)
    assert "TEST SIGNING" in summary
    assert str(demo.folder) in demo.text
