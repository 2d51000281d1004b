"""What a newcomer types first: nothing, help, a typing error, Tab; and output for programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from cryptography import x509

from integration.cli.test_cli_commands import start
from kspsign.certificates.parse import distinguished_name
from kspsign.cli.commands import SCHEMAS
from kspsign.cli.completion import SHELLS
from kspsign.cli.option_groups import GROUPS
from kspsign.publishing import report_schema
from kspsign.settings.model import USER_FIELDS
from kspsign.verifying.policy.names import parse_name, parts_of
from support.samples import Store, copy_launcher


def test_the_program_alone_shows_help_with_three_examples(tmp_path: Path) -> None:
    alone = start(folder=tmp_path)
    assert alone.returncode == 3, "a step that lost its command is not green"
    examples = alone.stdout[alone.stdout.index("examples:") :].split("\n\n")[0].splitlines()[1:]
    assert len(examples) == 3
    for example in examples:
        command, *_ = example.split()[1:]
        assert example.split()[0] == "kspsign"
        assert start(command, "--help", folder=tmp_path).returncode == 0


def test_help_and_version_are_commands(tmp_path: Path) -> None:
    assert start("help", folder=tmp_path).stdout == start("--help", folder=tmp_path).stdout
    assert start("help", "sign", folder=tmp_path).stdout == start("sign", "--help", folder=tmp_path).stdout
    assert start("version", folder=tmp_path).stdout == start("--version", folder=tmp_path).stdout
    wrong = start("help", "sing", folder=tmp_path)
    assert wrong.returncode == 3
    assert "Did you mean sign?" in wrong.stderr


def test_each_setting_is_in_one_group_of_the_help(tmp_path: Path) -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(USER_FIELDS)
    shown, of_catalogues = (start(command, "--help", folder=tmp_path).stdout for command in ("sign", "catalog"))
    assert all(f"\n{title}:\n" in shown + of_catalogues for title in GROUPS)
    assert " VALUE" not in shown + of_catalogues, "each value has a name of its own"
    assert "--inside [=PATTERN]" in shown, "the pattern is optional"
    assert shown.startswith("usage: kspsign sign PATTERN... [OPTIONS]\n")


@pytest.mark.parametrize("command", ["gate", "reconcile"])
def test_help_of_commands_with_options_of_their_own(tmp_path: Path, command: str) -> None:
    shown = " ".join(start(command, "--help", folder=tmp_path).stdout.split())
    assert " VALUE" not in shown, "each value has a name of its own"
    assert not re.search(r"\(default: [^)]*\)\.? \(default:", shown), "each default is said once"


@pytest.mark.parametrize(("command", "value"), [("completion", "bash,"), ("schema", "config,")])
def test_a_missing_choice_is_named_by_its_values(tmp_path: Path, command: str, value: str) -> None:
    assert f"arguments are required: {{{value}" in start(command, folder=tmp_path).stderr


@pytest.mark.parametrize("command", [("run", "--key-store", "embedded"), ("verify",), ("merge",)])
def test_a_command_without_files_asks_for_them(tmp_path: Path, command: tuple[str, ...]) -> None:
    said = start(*command, folder=tmp_path)
    assert said.returncode == 4
    assert "NO_FILES_MATCHED: no file is named, and no pattern\n" in said.stdout + said.stderr
    assert "remedy: Name the files, folders or patterns that are meant" in said.stdout + said.stderr


class TestCompletion:
    @pytest.mark.parametrize("shell", SHELLS)
    def test_every_shell_gets_every_command_and_option(self, shell: str, tmp_path: Path) -> None:
        script = start("completion", shell, folder=tmp_path).stdout
        listed = {"run", "verify", "inspect", "doctor", "completion"}
        assert all(command in script for command in listed)
        assert "keypair-alias" in script

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["kspsign", "ver"], {"verify", "version"}),
            (["kspsign", "run", "--keyp"], {"--keypair-alias"}),
            (["kspsign", "run", "--digest", ""], {"sha256", "sha384", "sha512"}),
            (["kspsign", "verify", "--key-s"], set()),
            (["kspsign", "schema", ""], set(SCHEMAS)),
            (["kspsign", "completion", "z"], {"zsh"}),
        ],
    )
    def test_bash_completes(self, words: list[str], expected: set[str], tmp_path: Path) -> None:
        script = tmp_path / "completion.sh"
        script.write_text(start("completion", "bash", folder=tmp_path).stdout, encoding="utf-8")
        asked = " ".join(f"'{word}'" for word in words)
        typed = f'. {script}; COMP_WORDS=({asked}); COMP_CWORD={len(words) - 1}; _kspsign; echo "${{COMPREPLY[*]}}"'
        done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=30, check=True)
        assert set(done.stdout.split()) == expected
        assert done.stderr == ""

    @pytest.mark.parametrize(("shell", "program"), [("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])])
    def test_other_shells_can_read_their_script(self, shell: str, program: list[str], tmp_path: Path) -> None:
        script = tmp_path / "completion"
        script.write_text(start("completion", shell, folder=tmp_path).stdout, encoding="utf-8")
        subprocess.run([*program, str(script)], check=True, timeout=30)


class TestInspect:
    def test_several_files_and_folders(self, signed_image: bytes, store: Store, tmp_path: Path) -> None:
        (tmp_path / "more").mkdir()
        (tmp_path / "a.exe").write_bytes(signed_image)
        (tmp_path / "more" / "b.exe").write_bytes(signed_image)
        copy_launcher(tmp_path / "more", to="c.exe")
        done = start("inspect", "a.exe", "more", "--trust-root", store.root, folder=tmp_path)
        assert done.returncode == 2
        assert all(f"{name}\n  format " in done.stdout for name in ("a.exe", "more/b.exe", "more/c.exe"))
        assert done.stdout.endswith("\n3 files: 2 verified, 1 failed\n")
        assert "\n  chain       issuer -> kspsign TEST SIGNING root" in done.stdout

    def test_the_facts_as_json(self, signed_image: bytes, store: Store, tmp_path: Path) -> None:
        (tmp_path / "a.exe").write_bytes(signed_image)
        done = start("inspect", "a.exe", "--json", "--trust-root", store.root, folder=tmp_path)
        found = json.loads(done.stdout)
        assert (done.returncode, found["schema"], found["passed"]) == (0, "kspsign.inspect/1", True)
        (signature,) = found["files"][0]["signatures"]
        assert signature["chain"][0]["thumbprint"] == signature["thumbprint"] == store.thumbprint
        assert found["files"][0]["verdict"]["result"] == "verified"
        unsigned = start("inspect", copy_launcher(tmp_path, to="b.exe"), "--json", folder=tmp_path)
        assert unsigned.returncode == 2
        assert json.loads(unsigned.stdout)["files"][0]["error"]["code"] == "TRUST_E_NOSIGNATURE"
        schema = json.loads(start("schema", "inspect", folder=tmp_path).stdout)
        for printed in (done.stdout, unsigned.stdout):
            jsonschema.validate(json.loads(printed), schema, jsonschema.Draft202012Validator)
        del found["files"][0]["signatures"][0]["chain"]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(found, schema, jsonschema.Draft202012Validator)


class TestStandardOutput:
    @pytest.mark.parametrize("options", [["--json"], ["--report", "-"]])
    def test_the_report_and_nothing_else(
        self, options: list[str], signed_image: bytes, store: Store, tmp_path: Path
    ) -> None:
        (tmp_path / "a.exe").write_bytes(signed_image)
        done = start("verify", "a.exe", *options, "--trust-root", store.root, folder=tmp_path)
        assert done.returncode == 0
        report = json.loads(done.stdout)
        jsonschema.validate(report, report_schema(), jsonschema.Draft202012Validator)
        assert report["files"][0]["path"] == "a.exe"
        assert "kspsign verify: passed" in done.stderr
        assert not (tmp_path / "-").exists()

    def test_a_failure_is_a_report_too(self, tmp_path: Path) -> None:
        copy_launcher(tmp_path, to="a.exe")
        done = start("verify", "a.exe", "--json", folder=tmp_path)
        assert done.returncode == 2
        assert json.loads(done.stdout)["files"][0]["error"]["code"] == "TRUST_E_NOSIGNATURE"

    def test_two_outputs_can_not_share_it(self, tmp_path: Path) -> None:
        copy_launcher(tmp_path, to="a.exe")
        for more in (["--report", "-", "--summary", "-"], ["--json", "--report", "x.json"]):
            done = start("verify", "a.exe", *more, folder=tmp_path)
            assert (done.returncode, done.stdout) == (3, "")


class TestStandardInput:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_a_list_can_be_piped_in(self, encoding: str, tmp_path: Path) -> None:
        for name in ("a.exe", "b.exe", "größe.exe"):
            copy_launcher(tmp_path, to=name)
        done = subprocess.run(
            [sys.executable, "-m", "kspsign", "verify", "@-", "--json"],
            cwd=tmp_path, input="a.exe\r\ngröße.exe\r\n".encode(encoding), capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert [file["path"] for file in json.loads(done.stdout)["files"]] == ["a.exe", "größe.exe"]

    def test_nothing_piped_in_matches_nothing(self, tmp_path: Path) -> None:
        copy_launcher(tmp_path, to="a.exe")
        assert start("verify", "@-", folder=tmp_path).returncode == 4
        assert not (tmp_path / "-").exists()


def test_names_have_the_descriptors_that_people_know() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.POSTAL_CODE, "12345"),
            x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "HRB 1"),
            x509.NameAttribute(x509.NameOID.BUSINESS_CATEGORY, "Private Organization"),
            x509.NameAttribute(x509.NameOID.JURISDICTION_COUNTRY_NAME, "DE"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example, GmbH"),
        ]
    )
    text = distinguished_name(name)
    assert text == (
        r"CN=Example\, GmbH,jurisdictionC=DE,businessCategory=Private Organization,serialNumber=HRB 1,postalCode=12345"
    )
    assert parse_name(text) == parts_of(name), "what the report shows can be copied into a policy"
