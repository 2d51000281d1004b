"""Settings: what wins over what, every fault named, and secrets that show nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from kspsign.cli.options import settings_fields
from kspsign.keys.open import options_for
from kspsign.keys.pkcs12.options import Pkcs12Options
from kspsign.keys.table import STORES
from kspsign.model.errors import ConfigurationError
from kspsign.settings.faults import option_name
from kspsign.settings.model import Settings
from kspsign.settings.resolve import resolve

SECRET = "correct horse"  # noqa: S105 - made up


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "kspsign.yml"


def test_arguments_win_over_inputs_and_these_over_the_file(config: Path) -> None:
    config.write_text("jobs: 1\ndigest: sha384\ndescription: from the file\n", encoding="utf-8")
    inputs = {"jobs": 2, "digest": "sha512"}
    settings = resolve("sign", {"jobs": 3}, inputs=inputs, config=config, environment={}, stores=STORES)
    assert (settings.jobs, settings.digest, settings.description) == (3, "sha512", "from the file")
    assert (settings.command, settings.key_store, settings.no_timestamp) == ("sign", None, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jbos: 3\n", "jbos"),
        ("jobs: many\n", "jobs"),
        ("jobs: 0\n", "jobs"),
        ("digest: sha1\n", "digest"),
        ("key_store: usb-stick\n", "key_store"),
        ("password: x\n", "password is not allowed in a configuration file"),
        ("command: verify\n", "command is not allowed in a configuration file"),
        ("- jobs\n", "mapping"),
        ("1: 2\n", "mapping"),
        ("jobs: [\n", "not valid YAML"),
        ("append: true\nreplace: true\n", "exclude each other"),
        ("no_timestamp: true\ntimestamp_url: [http://x.example]\n", "exclude each other"),
        ("quiet: true\nverbose: true\n", "exclude each other"),
        ("page_hashes: true\nengine: smctl\n", "smctl has no option for it"),
        ("key_store: pkcs12\n", "--pkcs12 FILE is missing"),
        ("thumbprint: 12AB\n", "40 hex digits"),
        ("jobs: 0\ndigest: md5\n", "digest"),
    ],
)
def test_a_fault_in_the_file_is_named(config: Path, text: str, words: str) -> None:
    config.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        resolve("run", {}, config=config, environment={}, stores=STORES)
    assert words in str(caught.value)
    assert caught.value.exit_code == 3
    assert caught.value.remedy


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve("run", {"jobs": 0, "digest": "md5"}, environment={}, stores=STORES)
    assert "jobs" in str(caught.value)
    assert "digest" in str(caught.value)


def test_a_file_that_was_named_must_be_there(config: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        resolve("run", {}, config=config, environment={}, stores=STORES)


def test_a_file_that_is_no_utf8_is_refused(config: Path) -> None:
    config.write_bytes(b"description: \xff\n")
    with pytest.raises(ConfigurationError, match="can't be read"):
        resolve("run", {}, config=config, environment={}, stores=STORES)


def test_yaml_can_not_make_objects(config: Path) -> None:
    config.write_text("description: !!python/object/apply:os.getcwd []\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not valid YAML"):
        resolve("run", {}, config=config, environment={}, stores=STORES)


@pytest.mark.parametrize(
    "inputs", [{"keystore": "embedded"}, {"key_store": "embedded"}, {"password": "x"}, {"command": "run"}]
)
def test_an_unknown_task_input_is_named(inputs: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=f"unknown task input: {next(iter(inputs))}"):
        resolve("run", {}, inputs=inputs, environment={}, stores=STORES)


@pytest.mark.parametrize(
    "given", ["ab" * 20, "AB" * 20, "AB:" * 19 + "AB", " ".join(["abab"] * 10), "\u200e" + "ab" * 20]
)
def test_a_thumbprint_is_taken_as_people_write_it(given: str) -> None:
    assert resolve("sign", {"thumbprint": given}, environment={}, stores=STORES).thumbprint == "AB" * 20


def password(settings: Settings) -> str | None:
    """What key store pkcs12 would be given, whatever is named."""
    options = options_for(settings.model_copy(update={"thumbprint": "AB" * 20}), STORES.find("pkcs12"))
    assert isinstance(options, Pkcs12Options)
    return options.password.get_secret_value() if options.password else None


def test_a_password_comes_from_the_environment_variable_that_is_named() -> None:
    settings = resolve("sign", {"password_env": "P12"}, environment={"P12": SECRET, "OTHER": "no"}, stores=STORES)
    assert password(settings) == SECRET


def test_the_tasks_own_password_wins() -> None:
    settings = resolve(
        "sign", {"password_env": "P12"}, environment={"P12": "no"}, secrets={"password": SECRET}, stores=STORES
    )
    assert password(settings) == SECRET


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"P12 \(--password-env\) is not set"):
        resolve("sign", {"password_env": "P12"}, environment={}, stores=STORES)


def test_a_secret_shows_nowhere() -> None:
    settings = resolve("sign", {}, environment={}, secrets={"password": SECRET}, stores=STORES)
    shown = repr(settings) + str(settings) + settings.model_dump_json() + repr(settings.model_dump())
    assert SECRET not in shown
    with pytest.raises(ConfigurationError) as caught:
        resolve("sign", {"jobs": 0}, environment={}, secrets={"password": SECRET}, stores=STORES)
    assert SECRET not in str(caught.value) + repr(caught.value) + repr(caught.value.__cause__)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().jobs = 7  # type: ignore[misc]


def test_no_option_is_a_secret_itself() -> None:
    options = {option_name(name) for name in settings_fields()}
    assert "--timestamp-url" in options
    assert not {"--password", "--pin", "--api-key"} & options
