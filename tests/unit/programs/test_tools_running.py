"""One call of an outside program: its environment, output, time limit and end; and where programs are found."""

from __future__ import annotations

import base64
import os
import struct
import sys
import threading
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from kspsign.keys.table import STORES
from kspsign.model.errors import CancelledError, ConfigurationError, PrerequisiteError
from kspsign.programs.client_certificate_file import with_client_certificate_file
from kspsign.programs.locate import find_az, find_signtool, find_smctl
from kspsign.programs.run import call_tool, run_tool, tool_environment
from kspsign.programs.staging import StagingFolder
from kspsign.settings.model import Settings, in_temp_folder
from kspsign.settings.resolve import resolve

PYTHON = Path(sys.executable)
AGENT = {"PATH": "/bin", "SystemRoot": "C:\\Windows", "ProgramFiles(x86)": "C:\\x86"}


def python(code: str, *, timeout: float = 60, cancelled: threading.Event | None = None) -> tuple[int | None, str, str]:
    """Run `code`."""
    ran = run_tool(PYTHON, ["-c", code], environment={}, timeout=timeout, cancelled=cancelled)
    return ran.exit_code, ran.output, ran.errors


def test_output_and_exit_code() -> None:
    code, out, err = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(2)")
    assert (code, out.strip(), err.strip()) == (2, "out", "err")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("'Größe\\r\\r\\n'.encode()", "Größe\n"),
        ("'Größe\\r\\n'.encode('utf-16-le')", "Größe\n"),
        ("b'\\xef\\xbb\\xbfok'", "ok"),
    ],
)
def test_what_windows_programs_write_is_read(written: str, read: str) -> None:
    assert python(f"import sys; sys.stdout.buffer.write({written})")[1] == read


def test_bytes_of_no_encoding_are_no_error() -> None:
    assert python("import sys; sys.stdout.buffer.write(b'a\\xff\\xfe\\x81z')")[1].startswith("a")


def test_a_program_that_hangs_is_stopped() -> None:
    code, out, _ = python("import time; print('begun', flush=True); time.sleep(600)", timeout=0.5)
    assert code is None
    assert out in {"begun\n", ""}


def test_a_grandchild_that_holds_the_pipes_is_not_waited_for() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(20)'])"
    started = time.monotonic()
    assert python(code, timeout=0.3)[0] is None
    assert time.monotonic() - started < 15


def test_a_cancelled_run_stops_its_program() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(CancelledError):
        python("import time; time.sleep(600)", cancelled=cancelled)


def test_what_can_not_be_started(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program", encoding="ascii")
    with pytest.raises(PrerequisiteError) as caught:
        run_tool(tmp_path / "text", [], environment={}, timeout=5)
    assert caught.value.code == "TOOL_NOT_STARTED"


def test_children_get_named_variables_and_only_signing_tools_the_secrets() -> None:
    environment = {
        **AGENT,
        "SM_API_KEY": "api-secret",
        "SYSTEM_ACCESSTOKEN": "token-secret",
        "OTHER_KSP": "other-secret",
        "SM_EMPTY": "",
    }
    settings = resolve(
        "run", {"tool_env": ["OTHER_KSP"]}, environment=environment, secrets={"SM_HOST": "https://h"}, stores=STORES
    )
    assert tool_environment(settings) == AGENT
    signing = {"SM_API_KEY": "api-secret", "SM_HOST": "https://h", "OTHER_KSP": "other-secret"}
    assert tool_environment(settings, settings.credentials) == {**AGENT, **signing}
    assert not any(secret in repr(settings) for secret in ("api-secret", "token-secret", "other-secret"))


def test_a_credential_that_a_tool_prints_goes_no_further() -> None:
    secrets = {"SM_API_KEY": SecretStr("api-secret"), "SM_HOST": SecretStr("https://host")}
    code = "import os, sys; print(os.environ); print(os.environ['SM_API_KEY'], file=sys.stderr)"
    settings = Settings(credentials=secrets)
    ran = call_tool(settings, PYTHON, ["-c", code], timeout=60, with_credentials=True)
    assert "api-secret" not in ran.text
    assert ran.errors.strip() == "***"
    assert "https://host" in ran.text
    ran = call_tool(settings, PYTHON, ["-c", code], timeout=60, with_credentials=False)
    assert "KeyError" in ran.errors


def test_a_client_certificate_as_a_secret_is_a_private_file_for_the_run(tmp_path: Path) -> None:
    encoded = base64.encodebytes(b"pkcs12" * 40).decode()
    settings = Settings(credentials={"SM_CLIENT_CERT_FILE_B64": SecretStr(encoded), "SM_HOST": SecretStr("h")})
    with with_client_certificate_file(in_temp_folder(settings, tmp_path)) as ready:
        given = tool_environment(settings, ready)
        assert set(given) == {"SM_CLIENT_CERT_FILE", "SM_HOST"}
        file = Path(given["SM_CLIENT_CERT_FILE"])
        assert file.read_bytes() == b"pkcs12" * 40
        assert file.stat().st_mode & 0o077 == 0
        assert file.parent.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_a_client_certificate_that_is_no_base64_is_not_quoted(tmp_path: Path) -> None:
    settings = Settings(credentials={"SM_CLIENT_CERT_FILE_B64": SecretStr("***")})
    with pytest.raises(ConfigurationError) as caught, with_client_certificate_file(in_temp_folder(settings, tmp_path)):
        pass
    assert "***" not in caught.value.message


def executable(path: Path, machine: int, version: tuple[int, int, int, int] | None = None) -> Path:
    """A PE file's beginning, with a version resource's fixed part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = bytearray(b"MZ".ljust(64, b"\0") + b"PE\0\0" + struct.pack("<H", machine) + bytes(20))
    struct.pack_into("<I", content, 60, 64)
    if version:
        high, low = (version[0] << 16) | version[1], (version[2] << 16) | version[3]
        content += struct.pack("<IIII", 0xFEEF04BD, 0x00010000, high, low)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


X64, X86 = 0x8664, 0x014C


def agent(tmp_path: Path) -> Settings:
    """An agent whose programs are below `tmp_path`."""
    folders = {"PATH": tmp_path / "path", "ProgramFiles(x86)": tmp_path / "x86", "PROGRAMFILES": tmp_path / "x64"}
    return Settings(agent_environment={name: str(folder) for name, folder in folders.items()})


def test_signtool_of_the_newest_sdk_in_x64(tmp_path: Path) -> None:
    kits = tmp_path / "x86" / "Windows Kits" / "10" / "bin"
    executable(kits / "10.0.9600.0" / "x64" / "signtool.exe", X64)
    newest = executable(kits / "10.0.26100.0" / "x64" / "signtool.exe", X64, (10, 0, 26100, 9169))
    executable(kits / "10.0.26100.0" / "x86" / "signtool.exe", X86)
    tool = find_signtool(agent(tmp_path))
    assert (tool.path, tool.version, tool.architecture) == (newest, "10.0.26100.9169", "x64")
    assert str(tool) == f"{newest} (10.0.26100.9169 x64)"


def test_signtool_on_path_comes_first_unless_it_is_x86(tmp_path: Path) -> None:
    name = "signtool.exe" if sys.platform == "win32" else "signtool"
    kit = executable(tmp_path / "x86" / "Windows Kits" / "10" / "bin" / "10.0.1.0" / "x64" / "signtool.exe", X64)
    on_path = executable(tmp_path / "path" / name, X86)
    assert find_signtool(agent(tmp_path)).path == kit
    executable(on_path, X64)
    assert find_signtool(agent(tmp_path)).path == on_path
    kit.unlink()
    executable(on_path, X86)
    assert find_signtool(agent(tmp_path)).path == on_path


@pytest.mark.skipif(sys.platform == "win32", reason="there every program is one of Windows")
def test_another_program_of_the_name_signtool_is_not_microsoft_s(tmp_path: Path) -> None:
    foreign, wrapper = tmp_path / "path" / "signtool", tmp_path / "path" / "signtool.exe"
    foreign.parent.mkdir()
    foreign.symlink_to(PYTHON.resolve())
    with pytest.raises(PrerequisiteError) as caught:
        find_signtool(agent(tmp_path))
    assert caught.value.code == "SIGNTOOL_MISSING"
    executable(wrapper, X64)
    assert find_signtool(agent(tmp_path)).path == wrapper


def test_smctl_below_any_of_digicert_s_folders(tmp_path: Path) -> None:
    path = executable(tmp_path / "x64" / "DigiCert" / "DigiCert Keylocker Tools" / "smctl.exe", X64)
    assert find_smctl(agent(tmp_path)).path == path


def test_missing_tools_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        find_signtool(agent(tmp_path))
    assert (caught.value.code, "--signtool" in caught.value.remedy) == ("SIGNTOOL_MISSING", True)
    with pytest.raises(PrerequisiteError) as caught:
        find_smctl(agent(tmp_path))
    assert (caught.value.code, "--smctl" in caught.value.remedy) == ("SMCTL_MISSING", True)
    with pytest.raises(PrerequisiteError) as caught:
        find_smctl(Settings(smctl=tmp_path))
    assert caught.value.code == "SMCTL_MISSING"


def test_the_workbench_gives_short_names_and_leaves_nothing(tmp_path: Path) -> None:
    odd = tmp_path / "部品 (1) 'x'.DLL"
    odd.write_bytes(b"content")
    with StagingFolder(tmp_path) as bench:
        copied, borrowed = bench.copy(odd), bench.borrow(odd)
        assert (copied, borrowed) == ("1.dll", "2.dll")
        (bench.folder / copied).write_bytes(b"changed")
        assert (bench.folder / borrowed).read_bytes() == odd.read_bytes() == b"content"
        bench.remove(borrowed)
        assert odd.exists()
        assert bench.copy(tmp_path.joinpath("部品 (1) 'x'.DLL")) == "3.dll"
    assert list(tmp_path.iterdir()) == [odd]


def test_a_program_in_the_working_folder_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("smctl", "smctl.exe", "signtool.exe", "az", "az.cmd"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    settings = Settings(agent_environment={"PATH": os.pathsep.join(["", ".", ".."])})
    for find in (find_smctl, find_signtool, find_az):
        with pytest.raises(PrerequisiteError, match=r"was (?:not )?found (?:neither )?on PATH"):
            find(settings)
    absolute = Settings(agent_environment={"PATH": os.pathsep.join(["", str(tmp_path)])})
    assert find_smctl(absolute).path == tmp_path / "smctl"
    assert find_az(absolute).path == tmp_path / ("az.cmd" if sys.platform == "win32" else "az")
