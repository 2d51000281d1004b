"""Codes in every notation and of every family, and words of smctl and DigiCert ONE."""

from __future__ import annotations

import pytest

from kspsign.diagnosis import diagnose
from kspsign.model.hresults import Hresult


def _ids(text: str) -> list[str]:
    return [diagnosis.id for diagnosis in diagnose(text)]


_FUNCTION = dict.fromkeys(Hresult, "SignerSign()") | {Hresult.ERROR_BAD_FORMAT: "SignerSignEx3()"}
"""SignerSign() answers ERROR_BAD_FORMAT to a package that names another publisher: that has an entry of its own."""


@pytest.mark.parametrize("member", Hresult, ids=lambda member: member.name)
def test_windows_code_is_explained_in_its_own_words_in_every_notation(member: Hresult) -> None:
    for text in (
        member.name,
        member.name.lower(),
        member.hex,
        member.hex.lower(),
        member.hex[2:],
        str(member.number),
        str(member.number - 2**32),
        f"SignTool Error: WinVerifyTrust returned error: {member.hex}",
        f'Error information: "Error: {_FUNCTION[member]} failed." ({member.number - 2**32}/{member.hex.lower()})',
        f"kspsign: {member.name} ({member.hex}): something",
    ):
        (diagnosis,) = diagnose(text)
        assert (diagnosis.cause, diagnosis.remedy) == (member.meaning, member.remedy), text
        assert diagnosis.exact
    assert diagnose("", hresult=member.number) == diagnose("", hresult=member.number - 2**32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0x80090016", "private-key-unavailable"),
        ("0x8009001E", "ksp-not-registered"),
        ("0x8009310B", "timestamp-answer-malformed"),
        ("0x80092013", "revocation-unknown"),
        ("0x80072EE7", "host-name-unknown"),
        ("0x80072EFD", "connection-failed"),
        ("0x80072F8F", "tls-failed"),
        ("0x80072F10", "wininet-family"),
        ("0x801901F7", "timestamp-http-server-error"),
        ("0x801901F4", "timestamp-http-server-error"),
        ("0x801901AD", "timestamp-throttled"),
        ("0x80190194", "timestamp-http-status"),
        ("0x80070002", "file-not-found"),
        ("0x80070070", "disk-full"),
        ("-1073741515", "library-missing"),
        ("exit 3221225781", "library-missing"),
        ("exit 6", "exit-none-signed"),
        ("exit code 3", "configuration"),
        ("kspsign exited with code 130", "cancelled"),
        ("signtool exit 2", "signtool-warned"),
        ("signtool.exe exit code 1", "signtool-failed"),
        ("##[error]The process 'C:\\x64\\signtool.exe' failed with exit code 1", "signtool-failed"),
        ("msiexec exit 3010", "msi-benign"),
        ("regsvr32 exit 5", "registration-refused"),
        ("KEY_MISMATCH", "key-does-not-fit"),
        ("TIMESTAMP_UNAVAILABLE", "timestamp-server-failed"),
        ("TIMESTAMP_CLOCK", "timestamp-clock"),
        ("already_signed", "already-signed"),
    ],
)
def test_code_is_explained(text: str, expected: str) -> None:
    (diagnosis,) = diagnose(text)
    assert diagnosis.id == expected
    assert diagnosis.exact


def test_http_status_of_the_timestamp_server_is_computed() -> None:
    (diagnosis,) = diagnose("SignerSign() failed. (-2145844745/0x801901f7)")
    assert "HTTP 503 Service Unavailable" in diagnosis.title
    assert "0x801901F7 is 0x80190000 + 503" in diagnosis.cause
    assert "HTTP 418" in diagnose("0x801901A2")[0].title


@pytest.mark.parametrize("text", ["0x80091234", "0x800B0FFF", "0x80190999", "0x80071234"])
def test_only_the_family_of_an_unknown_code_is_told(text: str) -> None:
    (diagnosis,) = diagnose(text)
    assert not diagnosis.exact
    assert text in diagnosis.cause


@pytest.mark.parametrize("text", ["", "hello", "0x00000020", "0x12345678", "exit 99", "FAILED", "12345", "SM_HOST"])
def test_what_is_not_known_is_not_explained(text: str) -> None:
    assert diagnose(text) == ()


MFA = "User is not multi-factor authenticated. Missing Client Authentication Certificate"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('status_code=403, message={"error":{"status":"access_denied","message":"no"}}', ["access-denied"]),
        (
            f'status_code=403, message={{"error":{{"status":"access_denied","message":"{MFA}"}}}}',
            ["client-certificate-missing"],
        ),
        ('{"error":{"status":"access_denied","message":"User is not the signer"}}', ["user-is-not-the-signer"]),
        ("You cannot access this keypair. This keypair is restricted to a team", ["keypair-restricted"]),
        ('status_code=429, message={"errors":[{"code":"request_limit_exceeded"}]}', ["rate-limited"]),
        (
            '{"status":"500","error":"Internal Server Error","path":"/signingmanager/api/v1/keypairs"}',
            ["digicert-unavailable"],
        ),
        ("Signature quota exceeded for this certificate", ["quota-used-up"]),
        ("Error: unknown flag: --exit-non-zero-on-fail", ["smctl-too-old"]),
        ("signCommand command for file C:\\a b\\x.exe FAILED", ["smctl-exits-zero"]),
        ('Signing of "x.msix" was failed. Reason: status_code=401', ["api-key-refused", "smctl-exits-zero"]),
        ('exec: "signtool": executable file not found in %PATH%', ["signtool-not-found"]),
        ("'smctl' is not recognized as an internal or external command,\r\noperable program", ["smctl-not-found"]),
        ("BCryptRegisterProvider failed with error code 0xc0000035", ["ksp-already-registered"]),
        ("SignTool Error: The specified CSP could not be found.", ["ksp-not-registered"]),
        ("No certificates were found that meet all the given criteria", ["certificate-not-synchronised"]),
        ("signtool sign /sha1 SHA256 /n Contoso app.exe", ["sha1-is-not-an-algorithm"]),
        ("signtool sign /sha1 /fd SHA256 app.exe", ["sha1-is-not-an-algorithm"]),
        ("app.msix: SignerSign() failed. (-2147024885/0x8007000b)", ["msix-publisher-mismatch"]),
        ("SignTool Error: An unexpected internal error has occurred.", ["unspecified-failure"]),
    ],
)
def test_words_are_explained(text: str, expected: list[str]) -> None:
    assert _ids(text) == expected


def test_code_that_is_given_comes_before_what_the_text_shows() -> None:
    found = diagnose("status_code=503", code="KEY_MISMATCH", hresult=0x80090016)
    assert [diagnosis.id for diagnosis in found] == [
        "private-key-unavailable",
        "key-does-not-fit",
        "digicert-unavailable",
    ]
    # A code that names no cause gives way to the text that does.
    assert diagnose("(-2146893779/0x8009002d)", code="SIGNTOOL_FAILED")[0].id == "ksp-internal-error"
