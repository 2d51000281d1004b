"""What the dlib prints inside SignTool's output, by file; the lines are those of public logs."""

from __future__ import annotations

from kspsign.programs.dlib_output import read_dlib

GREETING = """
Trusted Signing

Version: 1.0.128

"Metadata": {
  "Endpoint": "https://weu.codesigning.azure.net/"
}
"""


def succeeded(name: str, operation: str) -> str:
    return (
        "Submitting digest for signing...\n\n"
        f"OperationId {operation}: InProgress\n\nSigning completed with status 'Succeeded' in 11.5819863s\n\n"
        f"Successfully signed: {name}\n"
    )


FORBIDDEN = """Submitting digest for signing...
Unhandled managed exception
Azure.RequestFailedException: Service request failed.
Status: 403 (Forbidden)

Headers:
Content-Length: 0

"""


def test_each_file_has_its_operation() -> None:
    found = read_dlib(GREETING + succeeded("1.exe", "aaa-1") + succeeded("2.exe", "bbb-2"), ["1.exe", "2.exe"])
    assert {name: words.operation for name, words in found.items()} == {"1.exe": "aaa-1", "2.exe": "bbb-2"}


def test_a_failure_between_two_files_is_its_own() -> None:
    output = GREETING + succeeded("1.exe", "aaa") + FORBIDDEN + succeeded("3.exe", "ccc")
    found = read_dlib(output, ["1.exe", "2.exe", "3.exe"])
    assert [found[name].operation for name in ("1.exe", "2.exe", "3.exe")] == ["aaa", None, "ccc"]
    assert "Status: 403 (Forbidden)" in found["2.exe"].text
    assert "403" not in found["1.exe"].text + found["3.exe"].text


def test_a_file_that_signtool_refuses_by_itself_has_no_lines() -> None:
    found = read_dlib(GREETING + succeeded("2.exe", "bbb"), ["1.txt", "2.exe"])
    assert list(found) == ["2.exe"]


def test_failures_that_can_t_be_told_apart_share_their_lines() -> None:
    begun = "Submitting digest for signing...\nOperationId ddd: InProgress\nUnhandled managed exception\n"
    found = read_dlib(GREETING + FORBIDDEN + begun, ["1.exe", "2.txt", "3.exe"])
    assert {words.operation for words in found.values()} == {"ddd"}
    assert all("403" in words.text for words in found.values())


def test_without_a_dlib_there_is_nothing() -> None:
    assert read_dlib("Successfully signed: 1.exe\n", ["1.exe"]) == {}


def test_a_name_that_was_not_given_is_nobody_s() -> None:
    found = read_dlib(succeeded("7.exe", "ggg"), ["1.exe"])
    assert found["1.exe"].operation == "ggg"  # a signature that was begun and is in no file of ours
