"""The Windows road with Microsoft's SignTool: from an empty certificate store to verified files and records."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from support.formats.vsix_samples import package
from windows_lab.machine import Ended, Windows

TOOL_ENV = ("--tool-env", "WINLAB", "--tool-env", "WINLAB_STATE", "--tool-env", "WINLAB_TSA_URL")
"""What the stand-ins of the lab read; a real smctl and KSP need SM_* alone."""
NOBODY = "http://127.0.0.1:9/"
SIGNED = "ksp sign"


def sign(windows: Windows, url: str, *more: str | Path, alias: str = "Contoso-Release", files: str = "in") -> Ended:
    """Sign `files`, everything below in/, with what the key store windows has for `alias`."""
    return windows.kspsign(
        *("run", files, "--key-store", "windows", "--keypair-alias", alias, "--timestamp-url", url, *TOOL_ENV),
        *("--trust-root", windows.trust_root, "--store", "store", "--report", "report.json", *more),
    )


def report(windows: Windows) -> dict[str, Any]:
    """The JSON report of the last run."""
    content: dict[str, Any] = json.loads((windows.folder / "report.json").read_text(encoding="utf-8"))
    return content


def checks(file: dict[str, Any]) -> dict[str, bool]:
    """The checks of one file's verdict."""
    return {check["name"]: check["ok"] for check in file["verdict"]["checks"]}


def paid(windows: Windows) -> int:
    """How many signatures the key store gave."""
    return sum(call.endswith("fault=0x0") for call in windows.calls(SIGNED))


def programs(windows: Windows, count: int) -> list[Path]:
    """Fresh unsigned programs below in/."""
    return [windows.program(f"in/app{number}.exe") for number in range(count)]


def test_from_an_empty_store_by_thumbprint(windows: Windows, timestamp_url: str) -> None:
    files = programs(windows, 5)
    ended = sign(windows, timestamp_url, "--junit", "junit.xml", "--description", "Contoso App")
    assert ended.exit_code == 0, ended.output
    result = report(windows)
    key = windows.key("Contoso-Release")
    assert result["certificate"]["thumbprint"] == key.thumbprint
    assert (result["engine"], result["key_store"]) == ("signtool", "windows")
    counts = {"matched": 5, "signed": 5, "skipped": 0, "failed": 0, "verified": 5, "unverified": 0}
    assert result["totals"] == {**counts, "signatures_used": 5, "signatures_needed": 0, "left": 0}
    for file in result["files"]:
        found = checks(file)
        assert all(found.values()), found
        assert {"signtool", "signtool-agreement", "signtool-chain", "signtool-timestamp", "signtool-hash"} <= set(found)
    assert (windows.folder / "junit.xml").exists()
    assert paid(windows) == 5
    assert len(windows.calls("smctl windows certsync")) == 1
    for path in files:
        verified = windows.signtool("verify", "/pa", "/all", "/tw", path)
        assert verified.exit_code == 0, verified.output
    assert "10.0.26100.9169 x64" in ended.stdout


def test_by_certificate_file_without_store_and_certsync(windows: Windows, timestamp_url: str) -> None:
    programs(windows, 2)
    ended = sign(windows, timestamp_url, "--certificate", windows.key("Contoso-Release").certificate)
    assert ended.exit_code == 0, ended.output
    assert windows.calls("smctl") == []
    assert paid(windows) == 2


def test_certsync_then_by_thumbprint_alone_then_nothing_is_left_to_do(windows: Windows, timestamp_url: str) -> None:
    programs(windows, 1)
    thumbprint = windows.key("Contoso-Release").thumbprint
    synced = windows.kspsign(
        *("certsync", "--key-store", "windows", "--keypair-alias", "Contoso-Release", "--store", "store", *TOOL_ENV)
    )
    assert synced.exit_code == 0, synced.output
    assert synced.stdout.splitlines()[-1] == thumbprint
    by_thumbprint = (
        *("run", "in", "--thumbprint", thumbprint, "--store", "store", "--timestamp-url", timestamp_url, *TOOL_ENV),
        *("--trust-root", windows.trust_root, "--report", "report.json"),
    )
    ended = windows.kspsign(*by_thumbprint)
    assert ended.exit_code == 0, ended.output
    assert report(windows)["totals"]["signed"] == 1
    assert windows.kspsign(*by_thumbprint).exit_code == 0
    assert report(windows)["totals"]["skipped"] == 1
    assert paid(windows) == 1


@pytest.mark.parametrize(("mode", "engine"), [("inline", "signtool"), ("separate", "smctl"), ("inline", "smctl")])
def test_other_ways_to_the_same_signature(windows: Windows, timestamp_url: str, mode: str, engine: str) -> None:
    windows.environment["WINLAB_TSA_URL"] = timestamp_url
    programs(windows, 3)
    ended = sign(windows, timestamp_url, "--timestamp-mode", mode, "--engine", engine)
    assert ended.exit_code == 0, ended.output
    assert report(windows)["totals"]["verified"] == 3
    assert paid(windows) == 3


def test_a_second_signature_is_appended_and_stamped(windows: Windows, timestamp_url: str) -> None:
    (file,) = programs(windows, 1)
    assert sign(windows, timestamp_url).exit_code == 0
    # In one command: the lab's stand-in for SignerTimeStampEx3 stamps the primary signature whatever /tp says.
    inline = ("--timestamp-mode", "inline")
    ended = sign(windows, timestamp_url, "--append", "--digest", "sha384", *inline, alias="Contoso-EC")
    assert ended.exit_code == 0, ended.output
    signatures = report(windows)["files"][0]["signatures"]
    assert [signature["digest"] for signature in signatures] == ["sha256", "sha384"]
    assert all(signature["timestamp"] for signature in signatures)
    assert windows.signtool("verify", "/pa", "/all", file).exit_code == 0


def test_names_that_break_command_lines(windows: Windows, timestamp_url: str) -> None:
    deep = "in/" + "/".join(["a folder of fifty characters, with spaces in its name"] * 5)
    names = ["in/with space.exe", "in/it's (1) & [2] ^ %TEMP%.exe", "in/Ünïcødé 部品.dll", f"{deep}/long.exe"]
    files = [windows.program(name) for name in names]
    assert len(str(files[-1])) > 260
    ended = sign(windows, timestamp_url)
    assert ended.exit_code == 0, ended.output
    assert report(windows)["totals"]["verified"] == len(names)


def test_many_files_in_few_processes(windows: Windows, timestamp_url: str) -> None:
    programs(windows, 100)
    ended = sign(windows, timestamp_url, "--jobs", "2", "--quiet")
    assert ended.exit_code == 0, ended.output
    assert report(windows)["totals"]["verified"] == 100
    assert paid(windows) == 100
    assert len(windows.calls("ksp open")) < 60


def test_a_client_certificate_as_a_secret_is_there_for_the_tools_only(windows: Windows, timestamp_url: str) -> None:
    programs(windows, 1)
    (windows.root / "temp").mkdir()
    content = base64.b64encode(b"a client certificate of no real use").decode()
    secret = {
        "SM_CLIENT_CERT_FILE": "",
        "SM_CLIENT_CERT_FILE_B64": content,
        "AGENT_TEMPDIRECTORY": windows.path(windows.root / "temp"),
    }
    ended = windows.kspsign(
        *("run", "in", "--key-store", "windows", "--keypair-alias", "Contoso-Release", "--store", "store", "--verbose"),
        *("--timestamp-url", timestamp_url, "--trust-root", windows.trust_root, "--report", "report.json", *TOOL_ENV),
        env=secret,
    )
    assert ended.exit_code == 0, ended.output
    assert list((windows.root / "temp").iterdir()) == []
    said = ended.output + (windows.folder / "report.json").read_text(encoding="utf-8")
    assert not any(value in said for value in (content, "lab-api-key", "lab-password"))


class TestCertsync:
    """What can go wrong before a signature is made; none is ever paid for."""

    def refused(self, windows: Windows, ended: Ended, code: str) -> str:
        """The run stopped with exit code 5 and `code`; its cause and remedy."""
        assert ended.exit_code == 5, ended.output
        error = report(windows)["error"]
        assert error["code"] == code, error
        assert windows.calls(SIGNED) == []
        return f"{error['message']}\n{error['remedy']}"

    def test_the_alias_in_another_case_is_named(self, windows: Windows, timestamp_url: str) -> None:
        programs(windows, 1)
        windows.certsync("Contoso-Release")
        said = self.refused(windows, sign(windows, timestamp_url, alias="contoso-release"), "CERTSYNC_FAILED")
        assert "Did you mean the alias Contoso-Release?" in said

    def test_a_service_that_is_down_stops_only_who_has_no_certificate(
        self, windows: Windows, timestamp_url: str
    ) -> None:
        programs(windows, 1)
        windows.fault("smctl.certsync", "fail=503*")
        said = self.refused(windows, sign(windows, timestamp_url), "CERTSYNC_FAILED")
        assert "status_code=503" in said
        windows.fault("smctl.certsync", "ok")
        windows.certsync("Contoso-Release")
        windows.fault("smctl.certsync", "fail=503*")
        ended = sign(windows, timestamp_url)
        assert ended.exit_code == 0, ended.output
        assert "is synchronised already and valid until 2046-12-31T23:59:59Z" in ended.stdout

    def test_a_wrong_api_key(self, windows: Windows, timestamp_url: str) -> None:
        programs(windows, 1)
        windows.environment["SM_API_KEY"] = "wrong"
        assert "status_code=401" in self.refused(windows, sign(windows, timestamp_url), "CERTSYNC_FAILED")

    def test_missing_tools(self, windows: Windows, timestamp_url: str) -> None:
        programs(windows, 1)
        missing = sign(windows, timestamp_url, "--smctl", "C:\\nowhere\\smctl.exe")
        assert "--smctl" in self.refused(windows, missing, "SMCTL_MISSING")
        missing = sign(windows, timestamp_url, "--signtool", "C:\\nowhere")
        assert "--signtool" in self.refused(windows, missing, "SIGNTOOL_MISSING")

    def test_certificates_that_can_not_sign(self, windows: Windows, timestamp_url: str) -> None:
        programs(windows, 1)
        said = self.refused(windows, sign(windows, timestamp_url, alias="Contoso-Expired"), "CERTIFICATE_NOT_VALID")
        assert windows.key("Contoso-Expired").thumbprint in said
        self.refused(windows, sign(windows, timestamp_url, alias="Contoso-Server"), "CERT_E_WRONG_USAGE")

    def test_an_unknown_thumbprint_lists_what_is_there(self, windows: Windows, timestamp_url: str) -> None:
        programs(windows, 1)
        windows.certsync("Contoso-EC")
        ended = sign(windows, timestamp_url, "--thumbprint", "AB" * 20, alias="Contoso-Release")
        said = self.refused(windows, ended, "CERTIFICATE_NOT_FOUND")
        assert windows.key("Contoso-EC").thumbprint in said
        assert windows.key("Contoso-Release").thumbprint in said

    def test_a_certificate_without_its_key(self, windows: Windows, timestamp_url: str) -> None:
        programs(windows, 1)
        key = windows.key("Contoso-Release")
        assert windows.run("cert", "add", "user", "MY", key.certificate).exit_code == 0
        ended = windows.kspsign(
            *("run", "in", "--key-store", "windows", "--thumbprint", key.thumbprint, "--store", "store", *TOOL_ENV),
            *("--timestamp-url", timestamp_url, "--trust-root", windows.trust_root, "--report", "report.json"),
        )
        self.refused(windows, ended, "NO_PRIVATE_KEY")


class TestKsp:
    """What the key's provider does wrong, seen through SignTool."""

    @pytest.mark.parametrize(("option", "value"), [("--csp", "DigiCert Signing Mgr KSP"), ("alias", "contoso-release")])
    def test_a_wrong_name(self, windows: Windows, timestamp_url: str, option: str, value: str) -> None:
        (file,) = programs(windows, 1)
        before = file.read_bytes()
        certificate = windows.key("Contoso-Release").certificate
        more = [option, value] if option == "--csp" else []
        alias = value if option == "alias" else "Contoso-Release"
        ended = sign(windows, timestamp_url, "--certificate", certificate, *more, alias=alias)
        assert ended.exit_code == 6, ended.output
        error = report(windows)["files"][0]["error"]
        assert error["code"] == "NO_PRIVATE_KEY"
        assert "No private key is available" in error["message"]
        assert file.read_bytes() == before
        assert paid(windows) == 0

    def test_a_certificate_of_another_key(self, windows: Windows, timestamp_url: str) -> None:
        programs(windows, 1)
        certificate = windows.key("Contoso-Release").certificate
        ended = sign(windows, timestamp_url, "--certificate", certificate, alias="Contoso-EC")
        assert report(windows)["files"][0]["error"]["code"] == "KEY_MISMATCH", ended.output

    def test_a_failure_in_mid_batch_costs_only_what_failed(self, windows: Windows, timestamp_url: str) -> None:
        programs(windows, 6)
        windows.fault("ksp.sign", "ok ok fail=0x80090030 ok fail=0x8009002D")
        ended = sign(windows, timestamp_url, "--jobs", "1")
        assert ended.exit_code == 0, ended.output
        assert report(windows)["totals"]["signed"] == 6
        assert paid(windows) == 6
        assert len(windows.calls(SIGNED)) == 8

    def test_one_that_never_signs_is_named_by_its_code(self, windows: Windows, timestamp_url: str) -> None:
        (file,) = programs(windows, 1)
        before = file.read_bytes()
        windows.fault("ksp.sign", "fail=0x80090030*")
        assert sign(windows, timestamp_url).exit_code == 6
        assert "0x80090030" in report(windows)["files"][0]["error"]["message"]
        assert file.read_bytes() == before

    def test_the_disagreement_of_signtool_fails_the_file(self, windows: Windows, timestamp_url: str) -> None:
        (file,) = programs(windows, 1)
        before = file.read_bytes()
        key = windows.key("Contoso-SelfSigned")
        ended = sign(windows, timestamp_url, "--trust-root", key.certificate, alias=key.alias)
        assert ended.exit_code == 2, ended.output
        (result,) = report(windows)["files"]
        assert [name for name, ok in checks(result).items() if not ok] == ["signtool", "signtool-agreement"]
        assert result["error"]["code"] == "CERT_E_UNTRUSTEDROOT"
        assert file.read_bytes() == before


class TestTimestamp:
    """Timestamp servers fail; the signature that was paid for is kept."""

    @pytest.mark.parametrize("words", ["fail=500", "garbage", "reject", "drop", "slow=1500", "fail=503 garbage drop"])
    def test_a_failure_is_tried_again_without_a_new_signature(
        self, windows: Windows, timestamp_url: str, words: str
    ) -> None:
        programs(windows, 2)
        windows.fault("tsa", words)
        ended = sign(windows, timestamp_url, "--jobs", "1")
        assert ended.exit_code == 0, ended.output
        assert paid(windows) == 2

    def test_the_first_is_down_and_the_second_up(self, windows: Windows, timestamp_url: str) -> None:
        programs(windows, 2)
        ended = sign(windows, NOBODY, "--timestamp-url", timestamp_url)
        assert ended.exit_code == 0, ended.output
        assert paid(windows) == 2

    def test_none_answers(self, windows: Windows) -> None:
        (file,) = programs(windows, 1)
        before = file.read_bytes()
        ended = sign(windows, NOBODY)
        assert ended.exit_code == 6, ended.output
        error = report(windows)["files"][0]["error"]
        assert error["code"] == "TIMESTAMP_UNAVAILABLE"
        assert NOBODY in error["message"]
        assert file.read_bytes() == before
        assert paid(windows) == 1


def test_files_that_can_not_be_signed_stop_no_other(windows: Windows, timestamp_url: str) -> None:
    good, locked, short = (windows.program(f"in/{name}.exe") for name in ("good", "locked", "short"))
    locked.chmod(0o444)
    short.write_bytes(good.read_bytes()[:300])
    text = windows.folder / "in" / "text.exe"
    text.write_text("not a program", encoding="utf-8")
    extension = windows.folder / "in" / "tool.vsix"
    extension.write_bytes(package())
    kept = {path: hashlib.sha256(path.read_bytes()).digest() for path in (locked, short, text, extension)}
    ended = sign(windows, timestamp_url, files="in/*.*")
    assert ended.exit_code == 1, ended.output
    result = {file["path"]: file for file in report(windows)["files"]}
    assert result["in/good.exe"]["outcome"] == "signed"
    assert result["in/locked.exe"]["error"]["code"] == "ERROR_ACCESS_DENIED"
    assert result["in/short.exe"]["error"]["code"] in {"ERROR_BAD_FORMAT", "TRUST_E_SUBJECT_FORM_UNKNOWN"}
    assert result["in/text.exe"]["error"]["code"] == "TRUST_E_SUBJECT_FORM_UNKNOWN"
    assert result["in/tool.vsix"]["error"]["code"] == "ERROR_NOT_SUPPORTED"
    assert "an XML document" in result["in/tool.vsix"]["error"]["message"]
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in kept} == kept
    assert paid(windows) == 1


def test_smctl_that_fails_with_exit_code_0_is_not_believed(windows: Windows, timestamp_url: str) -> None:
    (file,) = programs(windows, 1)
    before = file.read_bytes()
    windows.fault("smctl.sign", "fail*")
    ended = sign(windows, timestamp_url, "--engine", "smctl")
    assert ended.exit_code == 6, ended.output
    assert "FAILED" in report(windows)["files"][0]["error"]["message"]
    assert file.read_bytes() == before


def test_verification_with_signtool_agrees_on_good_tampered_and_unsigned(windows: Windows, timestamp_url: str) -> None:
    good, tampered = programs(windows, 2)
    assert sign(windows, timestamp_url).exit_code == 0
    windows.program("in/unsigned.exe")
    content = bytearray(tampered.read_bytes())
    content[2000] ^= 0xFF
    tampered.write_bytes(content)
    ended = windows.kspsign(
        *("verify", "in", "--signtool-verify", "--trust-root", windows.trust_root, "--report", "report.json")
    )
    assert ended.exit_code == 2, ended.output
    result = {Path(file["path"]).name: file for file in report(windows)["files"]}
    assert all(checks(result[good.name]).values())
    assert result[tampered.name]["error"]["code"] == "TRUST_E_BAD_DIGEST"
    assert result["unsigned.exe"]["error"]["code"] == "TRUST_E_NOSIGNATURE"
    assert not checks(result[tampered.name])["signtool"]
    assert checks(result[tampered.name])["signtool-agreement"]


def test_signtool_accepts_what_the_native_engine_signs_and_refuses_its_tampered_twin(windows: Windows) -> None:
    file = windows.program("in/native.exe")
    ended = windows.kspsign("run", "in", "--key-store", "embedded", "--store", "store", "--keypair-alias", "x")
    assert ended.exit_code == 0, ended.output
    (root,) = (windows.folder / "store").glob("certificates/*/chain.pem")
    pem = root.read_text(encoding="ascii").split("-----END CERTIFICATE-----")[-2] + "-----END CERTIFICATE-----\n"
    (windows.folder / "root.pem").write_text(pem.lstrip(), encoding="ascii")
    windows.trust(windows.folder / "root.pem")
    assert windows.signtool("verify", "/pa", "/all", "/tw", file).exit_code == 0
    content = bytearray(file.read_bytes())
    content[2000] ^= 0xFF
    file.write_bytes(content)
    assert windows.signtool("verify", "/pa", "/all", "/tw", file).exit_code == 1
