"""Fan-out: every file is in one slice, and the slices' reports make one verdict or none."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from kspsign.batch.slices import take_slice
from kspsign.cli.main import main
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.model.values import Artifact, Format
from kspsign.settings.context import RunContext
from kspsign.settings.resolve import resolve

BUILD = "4711"


def artifacts(*sizes: int) -> tuple[Artifact, ...]:
    return tuple(Artifact(f"{n:04}.exe", f"{n:04}.exe", Format.PE, size) for n, size in enumerate(sizes))


@pytest.mark.parametrize("total", [1, 2, 3, 7, 50])
def test_every_file_is_in_exactly_one_slice_and_the_slices_are_balanced(total: int) -> None:
    sizes = [random.Random(7).randrange(1, 10_000_000) for _ in range(200)]  # noqa: S311 - sizes, no secrets
    files = artifacts(*sizes)
    slices = [take_slice(files, number, total)[1] for number in range(1, total + 1)]
    assert sorted(file.name for part in slices for file in part) == [file.name for file in files]
    loads = [sum(file.size for file in part) for part in slices]
    assert max(loads) - min(loads) <= max(sizes)


def test_every_agent_comes_to_the_same_slices_in_any_order_of_its_disk() -> None:
    files = artifacts(5, 5, 5, 9, 1, 0, 0, 0)
    shuffled = tuple(random.Random(3).sample(files, len(files)))  # noqa: S311 - an order, no secret
    for number in (1, 2, 3):
        facts, part = take_slice(files, number, 3)
        other_facts, other_part = take_slice(shuffled, number, 3)
        assert facts == other_facts
        assert set(part) == set(other_part)


def test_files_of_one_size_are_spread_by_number() -> None:
    assert [len(take_slice(artifacts(*[0] * 9), number, 3)[1]) for number in (1, 2, 3)] == [3, 3, 3]


def test_more_slices_than_files_leave_some_empty() -> None:
    assert [len(take_slice(artifacts(1, 1), number, 4)[1]) for number in (1, 2, 3, 4)] == [1, 1, 0, 0]


def test_another_size_is_another_selection() -> None:
    selections = {take_slice(files, 1, 2)[0].selection for files in (artifacts(1, 2), artifacts(1, 3), artifacts(1))}
    assert len(selections) == 3


@pytest.mark.parametrize("asked", ["0/2", "2", "a/b", "2/0", "-1/2", "1/2/3", "Auto"])
def test_a_slice_that_makes_no_sense_is_refused(asked: str) -> None:
    with pytest.raises(ConfigurationError, match="slice"):
        resolve("run", {"slice": asked}, environment={}, stores=STORES)


def test_a_pipeline_job_knows_its_place() -> None:
    step = {"TF_BUILD": "True", "SYSTEM_JOBPOSITIONINPHASE": "2", "SYSTEM_TOTALJOBSINPHASE": "5"}
    assert RunContext.from_environment(step, is_tty=False).parallel == (2, 5)
    assert RunContext.from_environment({"TF_BUILD": "True"}, is_tty=False).parallel is None
    assert RunContext.from_environment({**step, "SYSTEM_JOBPOSITIONINPHASE": "6"}, is_tty=False).parallel is None


@pytest.fixture(scope="module")
def fanned_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where three parallel jobs verified five unsigned files: the files and a folder of reports per job."""
    folder = tmp_path_factory.mktemp("fan-out")
    drop = folder / "drop"
    drop.mkdir()
    for number in range(5):
        (drop / f"{number}.bin").write_bytes(b"no program" * (number + 1))
    with pytest.MonkeyPatch.context() as environment:
        environment.chdir(folder)
        environment.setenv("BUILD_BUILDID", BUILD)
        for number in (1, 2, 3):
            report = folder / "reports" / f"slice-{number}" / "report.json"
            assert main(["verify", "drop/*.bin", "--slice", f"{number}/3", "--report", str(report), "--quiet"]) == 2
    return folder


@pytest.fixture
def fan_out(fanned_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reports of `fanned_out`, to be changed; the working folder has its files."""
    shutil.copytree(fanned_out, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUILD_BUILDID", BUILD)
    return tmp_path / "reports"


def passed(folder: Path) -> None:
    """Turn the reports into those of files that are proved: what differs in the cases below is the slices alone."""
    for path in folder.rglob("report.json"):
        report = json.loads(path.read_text(encoding="utf-8"))
        report |= {"passed": True, "exit_code": 0}
        report["totals"] |= {"verified": len(report["files"]), "unverified": 0, "failed": 0}
        for file in report["files"]:
            file |= {"error": None, "verdict": {"result": "verified", "checks": []}}
        path.write_text(json.dumps(report), encoding="utf-8")


def merge(folder: Path) -> tuple[int, dict[str, Any]]:
    """Exit code and merged report."""
    target = folder.parent / "merged.json"
    code = main(["merge", str(folder / "**" / "*.json"), "--report", str(target), "--quiet"])
    return code, json.loads(target.read_text(encoding="utf-8"))


def change(folder: Path, number: int, **changes: Any) -> None:
    path = folder / f"slice-{number}" / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        report[key] = {**(report[key] or {}), **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(report), encoding="utf-8")


def test_failures_of_a_slice_are_failures_of_the_whole(fan_out: Path) -> None:
    code, report = merge(fan_out)
    assert code == report["exit_code"] == 2
    assert not report["passed"]
    assert [file["path"] for file in report["files"]] == [f"drop/{number}.bin" for number in range(5)]
    assert report["totals"]["matched"] == 5
    assert report["slice"] is None


def test_slices_that_passed_pass_together(fan_out: Path) -> None:
    passed(fan_out)
    code, report = merge(fan_out)
    assert (code, report["passed"], report["command"], report["totals"]["verified"]) == (0, True, "merge", 5)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_reports_may_have_gone_through_windows_powershell(fan_out: Path, encoding: str) -> None:
    passed(fan_out)
    path = fan_out / "slice-2" / "report.json"
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert merge(fan_out)[0] == 0
    path.write_bytes(path.read_bytes()[:-40])
    assert merge(fan_out)[0] == 3


def test_slices_that_were_judged_by_one_policy_keep_it(fan_out: Path) -> None:
    passed(fan_out)
    policy = {"name": "strict", "sha256": "0" * 64}
    for number in (1, 2, 3):
        change(fan_out, number, policy=policy)
    code, report = merge(fan_out)
    assert (code, report["policy"]) == (0, policy)


def test_slices_of_one_configuration_keep_it(fan_out: Path) -> None:
    passed(fan_out)
    configuration = {"name": "sign.yml", "sha256": "0" * 64, "ambient": False}
    for number in (1, 2, 3):
        change(fan_out, number, configuration=configuration)
    code, report = merge(fan_out)
    assert (code, report["configuration"]) == (0, configuration)


def test_of_a_job_that_ran_again_the_last_attempt_counts(fan_out: Path) -> None:
    failed = json.loads((fan_out / "slice-2" / "report.json").read_text(encoding="utf-8"))
    passed(fan_out)
    change(fan_out, 2, build={"attempt": 2})
    (fan_out / "slice-2-first.json").write_text(json.dumps(failed), encoding="utf-8")
    assert merge(fan_out)[0] == 0


def test_an_empty_slice_passes_and_counts_as_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.bin").write_bytes(b"no program")
    monkeypatch.chdir(tmp_path)
    report = tmp_path / "empty.json"
    assert main(["verify", "one.bin", "--slice", "2/2", "--report", str(report), "--junit", "j.xml"]) == 0
    assert json.loads(report.read_text(encoding="utf-8"))["slice"]["number"] == 2
    assert "<error" not in (tmp_path / "j.xml").read_text(encoding="utf-8")


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "another total": ({"slice": {"total": 4}}, "SLICES_DIFFER"),
    "other files": ({"slice": {"selection": "0" * 64}}, "SLICES_DIFFER"),
    "another number of files": ({"slice": {"files": 6}}, "SLICES_DIFFER"),
    "a slice twice": ({"slice": {"number": 1}}, "SLICES_DIFFER"),
    "another build": ({"build": {"id": "4712"}}, "SLICES_DIFFER"),
    "another policy": ({"policy": {"name": "strict", "sha256": "0" * 64}}, "SLICES_DIFFER"),
    "another command": ({"command": "run"}, "SLICES_DIFFER"),
    "a file less": ({"files": []}, "SLICES_DIFFER"),
    "no slice": ({"slice": None}, "CONFIGURATION"),
    "only signed": ({"command": "sign"}, "CONFIGURATION"),
    "another schema": ({"schema": "kspsign.report/2"}, "CONFIGURATION"),
    "no report": ({"totals": 3}, "CONFIGURATION"),
    "an attempt that is true": ({"build": {"attempt": True}}, "CONFIGURATION"),
    "an attempt that is a text": ({"build": {"attempt": "2"}}, "CONFIGURATION"),
    "an attempt that is a fraction": ({"build": {"attempt": 2.0}}, "CONFIGURATION"),
    "another configuration": (
        {"configuration": {"name": "x.yml", "sha256": "0" * 64, "ambient": False}},
        "SLICES_DIFFER",
    ),
    "stopped before its files": (
        {"error": {"code": "NO", "hresult": None, "message": "m", "remedy": "r"}, "exit_code": 5},
        "NO",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_slices_that_do_not_fit_are_no_verdict(case: str, fan_out: Path) -> None:
    changes, error = BROKEN[case]
    passed(fan_out)
    change(fan_out, 2, **changes)
    code, report = merge(fan_out)
    assert code != 0
    assert not report["passed"]
    assert report["error"]["code"] == error
    assert report["error"]["remedy"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_slice_is_no_verdict(number: int, fan_out: Path) -> None:
    passed(fan_out)
    (fan_out / f"slice-{number}" / "report.json").unlink()
    code, report = merge(fan_out)
    assert (code, report["error"]["code"]) == (5, "SLICE_MISSING")
    assert f"slice {number} of 3" in report["error"]["message"]


def test_reports_of_another_build_are_no_verdict(fan_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed(fan_out)
    monkeypatch.setenv("BUILD_BUILDID", "4712")
    assert merge(fan_out)[1]["error"]["code"] == "SLICES_DIFFER"


def test_no_report_at_all_is_no_verdict(tmp_path: Path) -> None:
    assert merge(tmp_path / "reports")[0] == 4


def test_one_verdict_stands_for_the_build(
    fan_out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TF_BUILD", "True")
    monkeypatch.setenv("AGENT_TEMPDIRECTORY", str(tmp_path / "temp"))
    monkeypatch.setenv("SYSTEM_JOBPOSITIONINPHASE", "1")
    monkeypatch.setenv("SYSTEM_TOTALJOBSINPHASE", "3")
    assert main(["verify", "drop/*.bin", "--slice", "auto"]) == 2
    assert "kspsign.verdict" not in capsys.readouterr().out
    passed(fan_out)
    assert merge(fan_out)[0] == 0
    assert capsys.readouterr().out.count("type=kspsign.verdict;") == 1
    (verdict,) = (tmp_path / "temp").rglob("verdict-*.json")
    document = json.loads(verdict.read_text(encoding="utf-8"))
    assert (document["result"], document["total"], document["verified"], document["buildId"]) == (
        "verified",
        5,
        5,
        BUILD,
    )


def test_slice_auto_outside_parallel_jobs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.bin").write_bytes(b"no program")
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "one.bin", "--slice", "auto", "--quiet"]) == 3
    assert main(["verify", "one.bin", "--slice", "3/2", "--quiet"]) == 3
