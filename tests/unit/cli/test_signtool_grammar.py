"""SignTool's command line as `kspsign signtool` reads it: options, values, files, response files, refusals."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kspsign.cli.signtool.errors import SignToolError
from kspsign.cli.signtool.files import find_targets
from kspsign.cli.signtool.grammar import OPTIONS, Call, check_combinations, check_digest, parse_call, split_lines
from kspsign.cli.signtool.key_providers import CONTAINERS, PROVIDERS, key_store_of
from kspsign.cli.signtool.usage import usage
from kspsign.keys.table import STORES
from kspsign.settings.store_options import options_of


def parsed(*arguments: str) -> Call:
    call = parse_call(arguments)
    assert isinstance(call, Call)
    return call


def test_slash_and_dash_in_either_case_before_and_after_files() -> None:
    call = parsed("SIGN", "-FD", "SHA256", "a.exe", "/Sha1", "AB", "/V", "b.dll", "-as")
    assert (call.command, call.files) == ("sign", ("a.exe", "b.dll"))
    assert (call.value("fd"), call.value("sha1"), call.has("v"), call.has("as")) == ("SHA256", "AB", True, True)


@pytest.mark.skipif(os.sep != "/", reason="MSYS2 takes the slash off on Windows")
def test_two_slashes_as_scripts_for_git_bash_write_them() -> None:
    call = parsed("sign", "//fd", "SHA256", "//TR", "//d", "//k", "alias", "//v", "//server/share/a.exe", "//nothing")
    assert call.options == {"fd": ("SHA256",), "tr": ("//d",), "kc": ("alias",), "v": ()}
    assert call.files == ("//server/share/a.exe", "//nothing")
    assert parse_call(["verify", "//?"]) == "verify"


def test_a_value_may_look_like_an_option() -> None:
    assert parsed("sign", "/d", "/v", "a.exe").options == {"d": ("/v",)}


def test_the_other_name_of_kc() -> None:
    assert parsed("sign", "/csp", "P", "/k", "alias", "x").value("kc") == "alias"
    check_combinations(parsed("sign", "/csp", "P", "/sha1", "0" * 40, "/fd", "SHA256", "x"))


def test_what_may_be_given_twice() -> None:
    assert parsed("verify", "/sha1", "A", "/sha1", "B", "x").values("sha1") == ("A", "B")
    assert parsed("sign", "/ac", "A", "/ac", "B", "x").values("ac") == ("A", "B")


def test_absolute_paths_are_files(tmp_path: Path) -> None:
    assert parsed("verify", "/pa", "/usr/lib/a.exe").files == ("/usr/lib/a.exe",)
    dashed = tmp_path / "-x"
    dashed.touch()
    assert parsed("verify", str(dashed)).files == (str(dashed),)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sing", "a.exe"], "Invalid command: sing"),
        (["catdb", "a.cat"], "This version of signtool does not support the catdb functionality."),
        (["sign", "/foo", "a.exe"], "Invalid option: /foo"),
        (["sign", "/fd", "SHA256", "/fd", "SHA384", "a.exe"], "You cannot use the /fd option twice."),
        (["sign", "a.exe", "/fd"], "The /fd option requires a parameter."),
        (["sign", "/seal", "a.exe"], "This version of signtool does not support the /seal functionality."),
        (["sign", "/sa", "1.2.3", "x", "a.exe"], "This version of signtool does not support the /sa functionality."),
        (["verify", "/kp", "a.exe"], "This version of signtool does not support the /kp functionality."),
    ],
)
def test_refused_in_signtool_s_words(arguments: list[str], sentence: str) -> None:
    with pytest.raises(SignToolError) as refused:
        parse_call(arguments)
    assert refused.value.message == sentence
    assert refused.value.remedy
    assert refused.value.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sign", "/fd", "SHA256"], "Missing filename."),
        (["sign", "/kc", "x", "a"], "The /kc option requires the /csp option."),
        (["sign", "/csp", "x", "a"], "The /csp option requires the /kc option."),
        (["sign", "/p", "x", "a"], "The /p option requires the /f option."),
        (["sign", "/dlib", "x", "a"], "The /dlib option requires the /dmdf option."),
        (["sign", "/td", "SHA256", "a"], "The /td option requires the /tr option."),
        (["sign", "/t", "u", "/tr", "u", "a"], "The /t option is incompatible with the /tr option."),
        (["sign", "/ph", "/nph", "a"], "The /ph option is incompatible with the /nph option."),
        (["sign", "/q", "/v", "a"], "The /q option is incompatible with the /v option."),
    ],
)
def test_options_that_exclude_or_need_each_other(arguments: list[str], sentence: str) -> None:
    with pytest.raises(SignToolError) as refused:
        check_combinations(parsed(*arguments))
    assert refused.value.message == sentence


def test_digests() -> None:
    assert [check_digest("fd", name) for name in ("SHA256", "sha-384", "Sha512")] == ["sha256", "sha384", "sha512"]
    for wrong in ("SHA1", "md5", "sha224", ""):
        with pytest.raises(SignToolError, match="algorithm cannot be used or is invalid"):
            check_digest("fd", wrong)


def test_a_response_file_has_several_commands(tmp_path: Path) -> None:
    listing = tmp_path / "calls.rsp"
    text = 'sign\r\n/n "My cert"\r\n/fd SHA256\r\n"my file.exe"\r\n\r\n\r\nverify\r\n/pa\r\nmy file.exe\r\n'
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        listing.write_bytes(text.encode(encoding))
        assert split_lines([f"@{listing}"]) == (
            ("sign", "/n", "My cert", "/fd", "SHA256", "my file.exe"),
            ("verify", "/pa", "my file.exe"),
        )
    listing.write_bytes(b"\xff\xfe\xff")
    for name in (listing, tmp_path / "missing"):
        with pytest.raises(SignToolError, match="There was an error opening the file list"):
            split_lines([f"@{name}"])


def test_wildcards_mean_files_in_the_last_part_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("dist/b.exe", "dist/a.exe", "dist/c.dll", "dist/noext", "dist/sub/d.exe", "a[1].exe", "a1.exe"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    def shown(*names: str) -> list[tuple[str, bool]]:
        return [(target.shown, target.path is not None) for target in find_targets(names).all]

    assert shown("dist/*.exe") == [("dist/a.exe", True), ("dist/b.exe", True)]
    assert shown("dist\\?.dll") == [("dist\\c.dll", True)]
    assert [name for name, _ in shown("dist/*.*")] == ["dist/a.exe", "dist/b.exe", "dist/c.dll", "dist/noext"]
    assert shown("*/a.exe", "**/d.exe", "none*") == [("*/a.exe", False), ("**/d.exe", False), ("none*", False)]
    assert shown("a[1].exe", "dist") == [("a[1].exe", True), ("dist", False)]
    twice = find_targets(["a1.exe", "./a1.exe", "a?.exe"])
    assert ([target.shown for target in twice.all], len(twice.artifacts)) == (["a1.exe", "./a1.exe", "a1.exe"], 1)


def test_every_provider_leads_to_a_store_and_one_of_its_options() -> None:
    for key_store in PROVIDERS.values():
        container = CONTAINERS.get(key_store, "keypair_alias")
        assert container in options_of(STORES.find(key_store).load_options())
    assert key_store_of("DigiCert signing manager KSP", {}) is None, "the name counts with its capitals"
    assert key_store_of("Luna KSP", {"csp": "Luna KSP", "key_store": "pkcs11"}) == "pkcs11"
    assert key_store_of("Luna KSP", {"csp": "Other", "key_store": "pkcs11"}) is None


def test_help_names_every_option() -> None:
    assert parse_call(["sign", "/?"]) == "sign"
    assert parse_call(["/?"]) == parse_call([]) == ""
    for command, options in OPTIONS.items():
        text = "\n".join(usage(command))
        assert all(f"/{name}" in text for name in options)
    assert all(command in "\n".join(usage("")) for command in OPTIONS)
