"""The engine under Windows CPython: start, demo, paths, attributes, sharing, text files, cancelling."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from windows_lab.console import HANGS_SECONDS, in_console
from windows_lab.machine import Windows

EMBEDDED = ("--key-store", "embedded", "--store", "store", "--report", "report.json")
CANCELLED = 130

HOLD = """
import ctypes, sys
access, sharing = {"writer": (0xC0000000, 7), "reader": (0x80000000, 3), "exclusive": (0x80000000, 0)}[sys.argv[2]]
handle = ctypes.windll.kernel32.CreateFileW(sys.argv[1], access, sharing, None, 3, 0, None)
print("open", handle, flush=True)
sys.stdin.read()
"""

SCAN = """
import ctypes, glob, sys, threading, time
print("watching", flush=True)
asked = threading.Thread(target=sys.stdin.read, daemon=True)
asked.start()
scanned = set()
while asked.is_alive():
    for name in {*glob.glob(".kspsign-tmp.*", include_hidden=True)} - scanned:
        handle = ctypes.windll.kernel32.CreateFileW(name, 0x80000000, 3, None, 3, 0, None)
        if handle != -1:
            time.sleep(0.7)
            ctypes.windll.kernel32.CloseHandle(handle)
            scanned.add(name)
            print("scanned", flush=True)
"""


def outcomes(windows: Windows, report: str = "report.json") -> dict[str, dict[str, Any]]:
    """The files of a report by their paths."""
    content = json.loads((windows.folder / report).read_text(encoding="utf-8"))
    return {file["path"]: file for file in content["files"]}


@contextmanager
def helper(windows: Windows, script: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Windows Python script at work, from its first line of output until its standard input is closed."""
    process = windows.start("python", "-c", script, *arguments, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.communicate(timeout=HANGS_SECONDS)


def test_the_engine_starts(windows: Windows) -> None:
    ended = windows.kspsign("--version")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.startswith("kspsign ")


def test_the_demo_signs_what_microsofts_signtool_accepts(windows: Windows) -> None:
    demo = windows.kspsign("demo", "results")
    assert demo.exit_code == 0, demo.output
    files = sorted((windows.folder / "results" / "signed").rglob("*.exe"))
    assert {"cli-32.exe", "cli-64.exe", "cli-arm64.exe"} <= {path.name for path in files}
    windows.trust(windows.folder / "results" / "root.pem")
    checked = windows.signtool("verify", "/pa", "/all", "/tw", *files)
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.count("Successfully verified: ") == len(files)
    assert checked.stdout.count("RFC3161") == len(files)


def test_awkward_paths_are_signed(windows: Windows) -> None:
    deep = "/".join(["a-folder-name-of-some-length"] * 12)
    names = [
        "with space & %PATH% [1] 'quoted'.exe",
        "Grüße-日本語-🔑.exe",
        f"{deep}/deep.exe",
        "UPPER.EXE",
        "no-extension",
    ]
    for name in names:
        windows.program(f"in/{name}")
    assert len(str(windows.folder / "in" / deep / "deep.exe")) > 260
    ended = windows.kspsign("run", r"in\**\*", *EMBEDDED)
    assert ended.exit_code == 0, ended.output
    assert {path: file["outcome"] for path, file in outcomes(windows).items()} == {
        f"in/{name}": "signed" for name in names
    }
    windows.trust(windows.folder / "store" / "embedded" / "root.pem")
    accepted = windows.signtool("verify", "/pa", "/all", "/tw", *(windows.folder / "in" / name for name in names))
    assert accepted.exit_code == 0, accepted.output


def test_files_that_cannot_be_replaced_cost_no_signature(windows: Windows) -> None:
    sharing = ("writer", "reader", "exclusive")
    windows.program("free.exe")
    before = {name: windows.program(f"{name}.exe").read_bytes() for name in (*sharing, "read-only")}
    (windows.folder / "read-only.exe").chmod(0o444)
    with ExitStack() as held:
        for number in sharing:
            held.enter_context(helper(windows, HOLD, f"{number}.exe", number))
        ended = windows.kspsign("run", "*.exe", *EMBEDDED)
    assert ended.exit_code == 1, ended.output
    found = outcomes(windows)
    assert {found[f"{number}.exe"]["error"]["hresult"] for number in sharing} == {"0x80070020"}
    assert found["read-only.exe"]["error"]["hresult"] == "0x80070005"
    assert "attrib -r" in found["read-only.exe"]["error"]["remedy"]
    assert found["free.exe"]["outcome"] == "signed"
    assert json.loads((windows.folder / "report.json").read_text(encoding="utf-8"))["totals"]["signatures_used"] == 1
    assert {name: (windows.folder / f"{name}.exe").read_bytes() for name in before} == before
    again = windows.kspsign("run", "*.exe", "!read-only.exe", *EMBEDDED)
    assert again.exit_code == 0, again.output
    assert {name: file["outcome"] for name, file in outcomes(windows).items()} == {
        "free.exe": "skipped",
        **dict.fromkeys((f"{number}.exe" for number in sharing), "signed"),
    }


def test_a_scanner_that_looks_into_the_copy_is_waited_for(windows: Windows) -> None:
    # Many, so that a scanner that gets little of a busy machine finds a copy all the same.
    names = [windows.program(f"app{number}.exe").name for number in range(12)]
    windows.kspsign("certsync", *EMBEDDED[:4])
    with helper(windows, SCAN) as scanner:
        ended = windows.kspsign("run", "*.exe", *EMBEDDED)
        said, _errors = scanner.communicate(timeout=HANGS_SECONDS)
    assert b"scanned" in said
    assert ended.exit_code == 0, ended.output
    assert {path: file["outcome"] for path, file in outcomes(windows).items()} == dict.fromkeys(names, "signed")
    assert [path.name for path in windows.folder.glob(".kspsign*")] == []


def test_text_files_as_windows_editors_write_them(windows: Windows) -> None:
    for name in ("one.exe", "two.exe", "grün.exe"):
        windows.program(f"in/{name}")
    mark = b"\xef\xbb\xbf"
    (windows.folder / "list.txt").write_bytes(mark + "# what to sign\r\nin\\ONE.exe\r\nin/grün.exe\r\n".encode())
    (windows.folder / "kspsign.yml").write_bytes(mark + b"key_store: embedded\r\nstore: store\r\ndescription: Lab\r\n")
    configured = ("--config", "kspsign.yml", "--report", "report.json", "--summary", "summary.md")
    ended = windows.kspsign("run", "@list.txt", r"IN\one.EXE", *configured)
    assert ended.exit_code == 0, ended.output
    assert sorted(path.lower() for path in outcomes(windows)) == ["in/grün.exe", "in/one.exe"]
    assert b"\r" not in (windows.folder / "report.json").read_bytes() + (windows.folder / "summary.md").read_bytes()
    root = (windows.folder / "store" / "embedded" / "root.pem").read_bytes()
    (windows.folder / "root.pem").write_bytes(mark + root.replace(b"\n", b"\r\n"))
    checked = windows.kspsign("verify", "@list.txt", "--trust-root", "root.pem")
    assert checked.exit_code == 0, checked.output


def test_ctrl_c_undoes_the_file_at_work(windows: Windows, timestamp_url: str) -> None:
    for number in range(5):
        windows.program(f"{number}.exe")
    synced = windows.kspsign("certsync", *EMBEDDED[:4])
    assert synced.exit_code == 0, synced.output
    windows.fault("tsa", "slow=600000*")
    roots = (windows.folder / "store" / "embedded" / "root.pem", windows.trust_root)
    arguments = ["-m", "kspsign", "run", "*.exe", *EMBEDDED, "--jobs", "1", "--timestamp-jobs", "1"]
    arguments += ["--timestamp-url", timestamp_url]
    arguments += [argument for root in roots for argument in ("--trust-root", windows.path(root))]
    exit_code, _shown = in_console(
        windows,
        "wine",
        r"C:\Python311\python.exe",
        *arguments,
        interrupt_when=lambda: bool(windows.calls("tsa request")),
    )
    assert exit_code == CANCELLED
    found = outcomes(windows)
    assert [file["outcome"] for file in found.values()] == ["failed"] * 5
    assert {file["error"]["code"] for file in found.values() if file["error"]} == {"CANCELLED"}
    assert len(windows.calls("tsa request")) == 1
