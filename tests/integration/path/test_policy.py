"""What a policy demands of real files, through the front door: each rule beside the twin that breaks it."""

from __future__ import annotations

import hashlib
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from kspsign.concurrency.file_lock import try_lock
from kspsign.embedded.timestamp_server import TimestampServer
from kspsign.model.values import COPY_PREFIX
from support.certificates import PASSWORD, PASSWORD_VARIABLE, SigningFile, signing_file
from support.places import ROOT
from support.samples import Run, Store, copy_launcher, kspsign

PUBLISHER = "CN=kspsign TEST SIGNING publisher - do not trust, O=kspsign TEST SIGNING"
UNIT = "kspsign TEST SIGNING timestamp unit - do not trust"
Policy = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path, signed_launcher: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drop with a signed file, an unsigned one, and a text."""
    drop = tmp_path / "drop"
    (drop / "lib").mkdir(parents=True)
    (drop / "app.exe").write_bytes(signed_launcher)
    copy_launcher(drop / "lib", to="tool.exe")
    (drop / "lib" / "readme.txt").write_text("no program", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return drop


@pytest.fixture
def vendor(tmp_path: Path, store: Store, authority_root: Path, monkeypatch: pytest.MonkeyPatch) -> SigningFile:
    """Another publisher; its file of trusted roots holds those of our signatures and of the timestamps too."""
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    file = signing_file(tmp_path)
    file.root.write_bytes(file.root.read_bytes() + store.root.read_bytes() + authority_root.read_bytes())
    return file


def written(folder: Path, policy: Policy) -> Path:
    path = folder.parent / "policy.yml"
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    return path


def verify(folder: Path, root: Path, policy: Policy, *patterns: str) -> Run:
    chosen = patterns or ("app.exe",)
    options = ("--folder", folder, "--trust-root", root, "--policy", written(folder, policy))
    return kspsign("verify", *chosen, *options, folder=folder.parent)


def sign(folder: Path, store: Store, policy: Policy, *patterns: str) -> Run:
    options = ("--folder", folder, "--thumbprint", store.thumbprint, "--store", store.folder)
    return kspsign("sign", *patterns, *options, "--policy", written(folder, policy), folder=folder.parent)


def broken(run: Run, path: str = "app.exe") -> list[str]:
    return [check["name"] for check in run.files[path]["verdict"]["checks"] if not check["ok"]]


GOOD: dict[str, Policy] = {
    "nothing": {"name": "nothing"},
    "subject": {"publisher": [{"subject": PUBLISHER}]},
    "one of two": {"publisher": [{"subject": "Somebody else"}, {"subject": PUBLISHER}]},
    "issuer": {"publisher": [{"issuer": "O=kspsign TEST SIGNING"}]},
    "required": {"signed": {"files": ["*.exe"], "formats": ["pe"]}},
    "authority": {"timestamp": {"authorities": [{"subject": UNIT}]}},
    "algorithms": {"algorithms": {"digests": ["sha256"], "rsa_bits": 3072}},
    "validity": {"validity_days": 30},
    "without timestamp": {"timestamp": {"required": False}},
}
BAD: dict[str, tuple[Policy, str]] = {
    "another subject": ({"publisher": [{"subject": "CN=kspsign"}]}, "policy-publisher"),
    "part of a name": ({"publisher": [{"subject": "kspsign TEST SIGNING publisher"}]}, "policy-publisher"),
    "right subject, wrong issuer": (
        {"publisher": [{"subject": PUBLISHER, "issuer": "CN=DigiCert"}]},
        "policy-publisher",
    ),
    "another thumbprint": ({"publisher": [{"thumbprint": "AB" * 20}]}, "policy-publisher"),
    "another CA's thumbprint": ({"publisher": [{"issuer": "AB" * 32}]}, "policy-publisher"),
    "another authority": ({"timestamp": {"authorities": [{"subject": "DigiCert"}]}}, "policy-timestamp"),
    "another digest": ({"algorithms": {"digests": ["sha384", "sha512"]}}, "policy-algorithms"),
    "a longer key": ({"algorithms": {"rsa_bits": 4096}}, "policy-algorithms"),
    "a longer validity": ({"validity_days": 3000}, "policy-validity"),
    "a vendor's": ({"vendor": [{"files": ["*.exe"], "publisher": [{"subject": "Vendor"}]}]}, "policy-publisher"),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_file_that_keeps_the_rules_is_verified(case: str, folder: Path, store: Store) -> None:
    run = verify(folder, store.root, GOOD[case])
    assert run.code == 0, run.text
    path = folder.parent / "policy.yml"
    facts = {"name": GOOD[case].get("name", path.name), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert run.report["policy"] == facts


@pytest.mark.parametrize("case", BAD)
def test_each_rule_broken_is_a_check_of_its_name(case: str, folder: Path, store: Store) -> None:
    policy, check = BAD[case]
    run = verify(folder, store.root, policy)
    assert (run.code, run.error_code) == (2, "CERT_E_INVALID_POLICY"), run.text
    assert broken(run) == [check]
    assert run.file["error"]["remedy"] != "" != run.file["error"]["message"]


def test_thumbprints_pin_signer_and_issuer(folder: Path, store: Store) -> None:
    certificate = kspsign("verify", folder / "app.exe", "--trust-root", store.root, folder=folder.parent).file
    sha1 = certificate["signatures"][0]["thumbprint"]
    root = hashlib.sha256(ssl.PEM_cert_to_DER_cert(store.root.read_text(encoding="ascii"))).hexdigest()
    for publisher in ({"thumbprint": sha1.lower()}, {"issuer": root}, {"thumbprint": sha1, "issuer": root}):
        assert verify(folder, store.root, {"publisher": [publisher]}).code == 0
    assert broken(verify(folder, store.root, {"publisher": [{"thumbprint": root}]})) == ["policy-publisher"]


def test_the_default_policy_changes_no_verdict(folder: Path, store: Store) -> None:
    default = yaml.safe_load(ROOT.joinpath("docs/how-to/policies/default.yml").read_text())
    without = kspsign("verify", "**", "--folder", folder, "--trust-root", store.root, folder=folder.parent)
    ruled = verify(folder, store.root, default, "**")
    assert ruled.code == without.code == 2
    for path, file in without.files.items():
        checks = {check["name"]: check["ok"] for check in ruled.files[path]["verdict"]["checks"]}
        assert {name: ok for name, ok in checks.items() if not name.startswith("policy-")} == {
            check["name"]: check["ok"] for check in file["verdict"]["checks"]
        }


class TestUnsigned:
    def test_what_may_stay_unsigned_is_verified_with_its_digest(self, folder: Path, store: Store) -> None:
        run = verify(folder, store.root, {"unsigned": ["lib/**"]}, "**")
        assert run.code == 0, run.text
        for name in ("lib/tool.exe", "lib/readme.txt"):
            content = (folder / name).read_bytes()
            assert run.files[name]["sha256_after"] == hashlib.sha256(content).hexdigest()
            assert [check["name"] for check in run.files[name]["verdict"]["checks"]] == ["policy-unsigned"]

    @pytest.mark.parametrize("signed", [{"files": ["**/tool.exe"]}, {"formats": ["pe"]}], ids=str)
    def test_what_must_be_signed_wins(self, signed: Policy, folder: Path, store: Store) -> None:
        run = verify(folder, store.root, {"unsigned": ["lib/**"], "signed": signed}, "**")
        assert run.code == 2
        assert broken(run, "lib/tool.exe") == ["signed", "policy-required"]
        assert broken(run, "lib/readme.txt") == []

    def test_a_damaged_signature_is_no_missing_one(self, folder: Path, store: Store, signed_launcher: bytes) -> None:
        (folder / "lib" / "tool.exe").write_bytes(signed_launcher[:-8])
        assert verify(folder, store.root, {"unsigned": ["**"]}, "lib/tool.exe").code == 2

    def test_signing_leaves_it_alone(self, folder: Path, store: Store) -> None:
        before = (folder / "lib" / "tool.exe").read_bytes()
        run = sign(folder, store, {"unsigned": ["lib/**"]}, "**")
        assert run.code == 0, run.text
        assert {file["outcome"] for file in run.files.values()} == {"skipped"}
        assert run.report["totals"]["signatures_used"] == 0
        assert (folder / "lib" / "tool.exe").read_bytes() == before


VENDORS: Policy = {"vendor": [{"files": ["lib/*.exe"], "publisher": [{"subject": "Test publisher"}]}]}


class TestVendor:
    def test_a_vendors_file_keeps_its_signature(
        self, folder: Path, store: Store, vendor: SigningFile, timestamp_server: TimestampServer
    ) -> None:
        stamped = ("--timestamp-url", timestamp_server.url)
        path = folder / "lib" / "tool.exe"
        assert kspsign("sign", path, *vendor.options, *stamped, folder=folder.parent).code == 0
        before = path.read_bytes()
        policy = {**VENDORS, "publisher": [{"subject": PUBLISHER}]}
        assert verify(folder, vendor.root, policy, "**/*.exe").code == 0
        run = kspsign(
            *("sign", "**/*.exe", "--folder", folder, "--thumbprint", store.thumbprint, "--store", store.folder),
            *("--trust-root", vendor.root, "--policy", written(folder, policy)),
            folder=folder.parent,
        )
        assert run.code == 0, run.text
        assert path.read_bytes() == before
        swapped = {**policy, "vendor": []}
        assert broken(verify(folder, vendor.root, swapped, "**/*.exe"), "lib/tool.exe") == ["policy-publisher"]

    def test_a_vendors_file_without_its_signature_is_not_signed_by_us(self, folder: Path, store: Store) -> None:
        before = (folder / "lib" / "tool.exe").read_bytes()
        run = sign(folder, store, VENDORS, "lib/*.exe")
        assert (run.code, run.error_code, run.file["outcome"]) == (2, "TRUST_E_NOSIGNATURE", "checked")
        assert run.report["totals"]["signatures_used"] == 0
        assert (folder / "lib" / "tool.exe").read_bytes() == before


class TestBeforeASignatureIsSpent:
    @pytest.mark.parametrize(
        ("policy", "words"),
        [
            ({"publisher": [{"subject": "Contoso"}]}, "the policy wants subject 'Contoso'"),
            ({"algorithms": {"rsa_bits": 8192}}, "has only 3072 bits"),
            ({"validity_days": 3000}, "3000 more days"),
        ],
        ids=str,
    )
    def test_a_certificate_that_the_policy_refuses_signs_nothing(
        self, policy: Policy, words: str, folder: Path, store: Store
    ) -> None:
        run = sign(folder, store, policy, "lib/tool.exe")
        assert (run.code, run.report["error"]["code"]) == (5, "CERT_E_INVALID_POLICY")
        assert words in run.report["error"]["message"]
        assert run.report["totals"]["signatures_used"] == 0

    def test_a_pattern_that_must_match_and_does_not_signs_nothing(self, folder: Path, store: Store) -> None:
        run = sign(folder, store, {"signed": {"files": ["**/*.exe", "**/*.msi"]}}, "lib/tool.exe")
        assert (run.code, run.report["error"]["code"]) == (2, "POLICY_REQUIRED")
        assert "**/*.msi" in run.report["error"]["message"]
        assert "**/*.exe" not in run.report["error"]["message"]
        assert run.report["totals"]["signatures_used"] == 0

    def test_what_is_signed_keeps_the_rules(self, folder: Path, store: Store) -> None:
        run = sign(folder, store, {"publisher": [{"subject": PUBLISHER}], "validity_days": 1}, "lib/tool.exe")
        assert (run.code, run.file["outcome"]) == (0, "signed")
        assert {"policy-publisher", "policy-validity"} <= {c["name"] for c in run.file["verdict"]["checks"]}


def test_a_pattern_that_must_match_fails_a_verification_with_all_verdicts(folder: Path, store: Store) -> None:
    run = verify(folder, store.root, {"signed": {"files": ["setup.exe"]}})
    assert (run.code, run.report["error"]["code"], run.report["passed"]) == (2, "POLICY_REQUIRED", False)
    assert run.file["verdict"]["result"] == "verified"


def test_every_slice_sees_the_patterns_over_all_files(folder: Path, store: Store) -> None:
    shutil.copy(folder / "app.exe", folder / "lib" / "tool.exe")
    policy = written(folder, {"signed": {"files": ["app.exe", "lib/*.exe"]}})
    reports = folder.parent / "slices"
    for number in (1, 2):
        part = ("--slice", f"{number}/2", "--folder", folder, "--trust-root", store.root, "--policy", policy)
        run = kspsign("verify", "**/*.exe", *part, folder=folder.parent)
        assert run.code == 0, run.text
        reports.mkdir(exist_ok=True)
        shutil.copy(folder.parent / "report.json", reports / f"{number}.json")
    merged = kspsign("merge", "*.json", "--folder", reports, "--policy", policy, folder=folder.parent)
    assert (merged.code, merged.report["policy"]["name"]) == (0, "policy.yml")
    policy.write_text("name: another\n", encoding="utf-8")
    other = kspsign("merge", "*.json", "--folder", reports, "--policy", policy, folder=folder.parent)
    assert other.report["error"]["code"] == "SLICES_DIFFER"


def test_no_timestamp_does_not_loosen_a_policy(folder: Path, store: Store) -> None:
    policy = written(folder, {"name": "strict"})
    options = ("--folder", folder, "--trust-root", store.root, "--policy", policy, "--no-timestamp")
    assert kspsign("verify", "app.exe", *options, folder=folder.parent).code == 3


def test_a_missing_timestamp_is_both_checks(folder: Path, store: Store) -> None:
    path = folder / "lib" / "tool.exe"
    chosen = ("--thumbprint", store.thumbprint, "--store", store.folder, "--no-timestamp")
    assert kspsign("sign", path, *chosen, folder=folder.parent).code == 0
    assert broken(verify(folder, store.root, {}, "lib/tool.exe"), "lib/tool.exe") == ["timestamp", "policy-timestamp"]
    assert verify(folder, store.root, {"timestamp": {"required": False}}, "lib/tool.exe").code == 0


class TestLooking:
    """The judge looks at what signing leaves out, and at every name."""

    def test_a_folder_is_judged_whole(self, folder: Path, store: Store) -> None:
        (folder / "lib" / "tool.exe").unlink()
        (folder / "run.bat").write_text("echo", encoding="utf-8")
        run = verify(folder, store.root, {"unsigned": ["**/*.txt"]}, ".")
        assert (run.code, {path for path, file in run.files.items() if file["error"]}) == (2, {"run.bat"}), run.text
        assert run.files["run.bat"]["error"]["code"] == "TRUST_E_SUBJECT_FORM_UNKNOWN"
        run = verify(folder, store.root, {"unsigned": ["**/*.txt", "*.bat"]}, ".")
        assert (run.code, sorted(run.files)) == (0, ["app.exe", "lib/readme.txt", "run.bat"]), run.text
        excluded = verify(folder, store.root, {}, ".", "!lib", "!*.bat")
        assert excluded.code == 0, excluded.text
        assert [out["path"] for out in excluded.report["left_out"]["files"]] == ["lib/readme.txt", "run.bat"]
        assert excluded.report["left_out"]["total"] == 2
        assert "left out (excluded by !lib): lib/readme.txt" in excluded.text

    def test_a_link_exempts_nothing(self, folder: Path, store: Store) -> None:
        """app.exe is unsigned, and what a link to it is called changes nothing."""
        copy_launcher(folder, to="app.exe")
        (folder / "a.ps1").symlink_to("app.exe")
        policy: Policy = {"unsigned": ["*.ps1"]}
        for patterns in (["*.ps1"], ["*.exe", "*.ps1"], ["."]):
            run = verify(folder, store.root, policy, *patterns, "!lib")
            assert (run.code, run.files["app.exe"]["error"]["code"]) == (2, "TRUST_E_NOSIGNATURE"), run.text
            assert run.files["a.ps1"]["error"] is None
        run = sign(folder, store, policy, "*.ps1")
        assert (run.code, run.report["totals"]["signed"]) == (0, 1), run.text
        assert verify(folder, store.root, policy, ".", "!lib").code == 0

    def test_a_vendors_file_is_kept_by_whatever_name_it_is_found(self, folder: Path, store: Store) -> None:
        before = (folder / "lib" / "tool.exe").read_bytes()
        (folder / "a.exe").symlink_to("lib/tool.exe")
        run = sign(folder, store, VENDORS, "a.exe")
        assert (run.code, run.file["outcome"], run.report["totals"]["signatures_used"]) == (2, "checked", 0), run.text
        assert (folder / "lib" / "tool.exe").read_bytes() == before

    def test_a_signed_file_is_judged_by_each_of_its_names(self, folder: Path, store: Store) -> None:
        (folder / "a.ps1").symlink_to("app.exe")
        policy: Policy = {"unsigned": ["*.ps1"], "vendor": [{"files": ["app.exe"], "publisher": [{"subject": "X"}]}]}
        run = sign(folder, store, policy, "*.ps1")
        assert (run.code, run.file["path"], run.error_code) == (2, "a.ps1", "CERT_E_INVALID_POLICY"), run.text
        assert run.file["error"]["message"].startswith("as app.exe: ")

    def test_names_like_those_of_our_copies_are_judged(self, folder: Path, store: Store) -> None:
        """A copy that a killed run left is removed, one that a run is writing is left out, all else is judged."""
        shutil.rmtree(folder / "lib")
        left, busy, link = (folder / f"{COPY_PREFIX}{name}.exe" for name in ("left", "busy", "link"))
        for path in (left, busy):
            copy_launcher(folder, to=path.name)
        with busy.open("r+b") as file:
            assert try_lock(file)
            run = sign(folder, store, {}, "**/*.exe")
            assert run.code == 0, run.text
        assert (left.exists(), [out["path"] for out in run.report["left_out"]["files"]]) == (False, [busy.name])
        assert f"left out (a signed copy that a run made next to its target): {busy.name}" in run.text
        busy.unlink()
        link.symlink_to(copy_launcher(folder.parent, to="other.exe"))
        for run in (sign(folder, store, {}, "**"), verify(folder, store.root, {}, "**")):
            assert (run.code, run.files[link.name]["error"]["code"]) == (2, "TRUST_E_NOSIGNATURE"), run.text

    def test_the_log_says_where_case_was_ignored(self, folder: Path, store: Store) -> None:
        copy_launcher(folder, to="Tool.EXE")
        run = verify(folder, store.root, {}, "*.exe")
        assert (run.code, sorted(run.files)) == (2, ["Tool.EXE", "app.exe"])
        assert "the pattern *.exe also takes names in other case" in run.text
        assert "other case" not in verify(folder, store.root, {}, "app.exe").text

    def test_signing_by_a_policy_judges_what_is_not_signed(self, folder: Path, store: Store) -> None:
        (folder / "site.js").write_text("alert(1)\r\n", encoding="utf-8")
        run = sign(folder, store, {"unsigned": ["**/*.txt"]}, ".")
        assert run.code == 2, run.text
        assert {path for path, file in run.files.items() if file["error"]} == {"site.js"}
        assert run.files["lib/tool.exe"]["outcome"] == "signed"
        run = sign(folder, store, {"unsigned": ["**/*.txt", "*.js"]}, ".")
        assert run.code == 0, run.text
        assert run.report["totals"]["signatures_used"] == 0
