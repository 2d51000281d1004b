"""Policy files: what may stand in them, and that what is wrong is named with its line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from kspsign.cli.main import main
from kspsign.model.errors import ConfigurationError
from kspsign.settings.model import Settings
from kspsign.verifying import open_policy
from kspsign.verifying.policy.model import Policy
from support.places import ROOT

EXAMPLES = ROOT / "docs" / "how-to" / "policies"
PAGE = EXAMPLES.parent / "policy.md"


def settings(path: Path, **more: object) -> Settings:
    return Settings.model_validate({"policy": path, **more})


def fault(tmp_path: Path, text: str, **more: object) -> ConfigurationError:
    path = tmp_path / "policy.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        open_policy(settings(path, **more))
    assert (caught.value.exit_code, caught.value.code) == (3, "POLICY")
    assert caught.value.remedy
    return caught.value


def test_the_documented_default_is_the_default() -> None:
    policy = Policy.model_validate(yaml.safe_load((EXAMPLES / "default.yml").read_text(encoding="utf-8")))
    assert policy.model_copy(update={"name": None}) == Policy()


def test_the_example_says_what_its_page_says() -> None:
    judge = open_policy(settings(EXAMPLES / "release.yml"))
    assert judge is not None
    assert judge.facts.name == "contoso release"
    assert judge.may_stay_unsigned("x/samples/y/run.ps1", None)
    assert judge.leaves_alone(["redist/vc_redist.x64.exe"], None)
    assert not judge.leaves_alone(["app/setup.exe"], None)
    assert (EXAMPLES / "release.yml").read_text(encoding="utf-8") in PAGE.read_text(encoding="utf-8")
    assert (EXAMPLES / "default.yml").read_text(encoding="utf-8") in PAGE.read_text(encoding="utf-8")


def test_every_key_is_described_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    definitions = Policy.model_json_schema()
    keys = {
        key for definition in (definitions, *definitions["$defs"].values()) for key in definition.get("properties", ())
    }
    assert {key for key in keys if f"`{key}`" not in page} == set()


def test_no_policy_is_none() -> None:
    assert open_policy(Settings()) is None


def test_the_digest_is_that_of_the_text_with_line_feeds(tmp_path: Path) -> None:
    digests = set()
    for ends in ("\n", "\r\n"):
        path = tmp_path / "policy.yml"
        path.write_bytes(f"name: a{ends}validity_days: 3{ends}".encode())
        judge = open_policy(settings(path))
        assert judge is not None
        digests.add(judge.facts.sha256)
    assert digests == {hashlib.sha256(b"name: a\nvalidity_days: 3\n").hexdigest()}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: x\npublishers: []\n", 2, "publishers: there is no such key"),
        ("name: x\n\npublisher:\n- subject: CN=A\n  tumbprint: AB\n", 5, "publisher.0.tumbprint: there is no such key"),
        ("publisher:\n- {}\n", 2, "publisher.0: give subject, issuer, thumbprint or eku"),
        ("publisher:\n- eku: 1.3.6.1.5.5.7.3.3\n", 2, "is not the usage of one subscriber"),
        ("publisher:\n- eku: 1.3.6.1.4.1.311.97.1.0\n", 2, "is not the usage of one subscriber"),
        ("publisher: []\n", 1, "publisher: must not be empty"),
        ("publisher:\n- thumbprint: 12AB\n", 2, "40 hex digits (SHA-1) or 64"),
        (f"publisher:\n- thumbprint: {'1' * 40}\n", 2, "publisher.0.thumbprint: must be a text"),
        ("publisher:\n- subject: CN=A, XY=B\n", 2, "XY is not an attribute of a name"),
        ("publisher:\n- subject: CN=A, B\n", 2, "is not a distinguished name from"),
        ("timestamp:\n  required: maybe\n", 2, "timestamp.required: must be true or false"),
        ("algorithms:\n  digests: [sha256, md5]\n", 2, "algorithms.digests.1"),
        ("algorithms:\n  rsa_bits: 512\n", 2, "algorithms.rsa_bits: must be at least 1024"),
        ("algorithms:\n  curves: [P-192]\n", 2, "algorithms.curves.0"),
        ("signed:\n  formats: [exe]\n", 2, "signed.formats.0"),
        ("signed:\n  files: ['a\\b.exe']\n", 2, "write folders with /"),
        ("unsigned: ['!a']\n", 1, "is not a pattern"),
        ("vendor:\n- publisher:\n  - subject: A\n", 2, "vendor.0.files: is missing"),
        ("validity_days: -1\n", 1, "validity_days: must be at least 0"),
        ("name: a\nname: b\n", 2, "the key name occurs twice"),
        ("name: a\nx: [\n", 3, "not valid YAML"),
        ("- name\n", 1, "must be a mapping"),
        ("", 1, "must be a mapping"),
    ],
)
def test_a_fault_is_named_with_file_line_and_key(tmp_path: Path, text: str, line: int, words: str) -> None:
    error = fault(tmp_path, text)
    assert str(error).startswith(str(tmp_path / "policy.yml"))
    assert f"line {line}: " in error.message
    assert words in error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [x]\nb: *a\n", "write that part out"),
        ("name: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        (f"name: a\n# {'x' * (1 << 18)}\n", "larger than"),
        ("name: a\x00\n", "not valid YAML"),
    ],
)
def test_other_faults_name_the_file(tmp_path: Path, text: str, words: str) -> None:
    assert words in str(fault(tmp_path, text))


def test_a_list_is_not_empty_because_its_items_are_wrong(tmp_path: Path) -> None:
    message = fault(tmp_path, "publisher:\n- subjct: CN=A\n- tumbprint: AB\n").message
    assert (
        message
        == "line 2: publisher.0.subjct: there is no such key; line 3: publisher.1.tumbprint: there is no such key"
    )


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    message = fault(tmp_path, "validity_days: x\nnmae: y\n").message
    assert "line 1: validity_days" in message
    assert "line 2: nmae" in message


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        open_policy(settings(tmp_path / "none.yml"))
    (tmp_path / "policy.yml").write_bytes(b"name: \xff\n")
    with pytest.raises(ConfigurationError, match="can't be read"):
        open_policy(settings(tmp_path / "policy.yml"))


def test_settings_that_contradict_it_are_refused(tmp_path: Path) -> None:
    assert "--no-timestamp" in str(fault(tmp_path, "name: a\n", no_timestamp=True))
    assert "--digest sha384" in str(fault(tmp_path, "algorithms: {digests: [sha256]}\n", digest="sha384"))
    path = tmp_path / "policy.yml"
    path.write_text("timestamp: {required: false}\nalgorithms: {digests: [sha256]}\n", encoding="utf-8")
    assert open_policy(settings(path, no_timestamp=True)) is not None
    assert open_policy(settings(path, digest="sha384", command="verify")) is not None


def test_its_schema_is_printed_and_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "policy"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    for example in EXAMPLES.iterdir():
        jsonschema.validate(yaml.safe_load(example.read_text(encoding="utf-8")), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"publishers": []}, schema)
