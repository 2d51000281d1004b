"""What it means that the dlib signed nothing; the texts are those of public logs."""

from __future__ import annotations

import pytest

from kspsign.programs.dlib_output import DlibWords
from kspsign.signing.dlib_errors import dlib_refusal

SAID = "An unexpected internal error has occurred."
STACK = "\n   at Azure.CodeSigning.CertificateProfileRestClient.SignAsync(String codeSigningAccountName)"


def failed(status: str, content: str = "") -> DlibWords:
    body = f"\nContent:\n{content}\n" if content else ""
    text = (
        f"Unhandled managed exception\nAzure.RequestFailedException: Service request failed.\nStatus: {status}\n{body}"
    )
    return DlibWords.of(f"{text}\nHeaders:\nContent-Length: 0{STACK}")


@pytest.mark.parametrize(
    ("words", "code", "transient", "everywhere"),
    [
        (failed("403 (Forbidden)"), "ARTIFACT_SIGNING_FORBIDDEN", False, True),
        (failed("401 (Unauthorized)"), "ARTIFACT_SIGNING_TOKEN", False, True),
        (
            failed("404 (Not Found)", '{"errorDetail":{"code":"InternalError","message":"403 (Forbidden)."}}'),
            "ARTIFACT_SIGNING_NOT_FOUND",
            False,
            True,
        ),
        (failed("429 (Too Many Requests)"), "ARTIFACT_SIGNING_THROTTLED", True, False),
        (failed("503 (Service Unavailable)"), "ARTIFACT_SIGNING_UNAVAILABLE", True, False),
        (
            DlibWords.of(
                "Unhandled managed exception\nAzure.Identity.CredentialUnavailableException: DefaultAzureCredential "
                "failed to retrieve a token from the included credentials."
            ),
            "AZURE_SIGN_IN",
            False,
            True,
        ),
        (
            DlibWords.of(
                "Unhandled managed exception\nSystem.TypeLoadException: Could not load type "
                "'Internal.Runtime.CompilerServices.Unsafe' from assembly 'System.Private.CoreLib, Version=8.0.0.0'."
            ),
            "DLIB_FAILED",
            True,
            False,
        ),
    ],
)
def test_the_dlib_says_why(words: DlibWords, code: str, transient: bool, everywhere: bool) -> None:
    refusal = dlib_refusal(SAID, words)
    assert refusal is not None
    assert (refusal.error.code, refusal.transient, refusal.everywhere) == (code, transient, everywhere)
    assert refusal.error.remedy


def test_a_signature_that_was_begun_is_not_asked_for_again() -> None:
    refusal = dlib_refusal(SAID, DlibWords("OperationId 65385c73: InProgress", "65385c73"))
    assert refusal is not None
    assert (refusal.error.code, refusal.transient) == ("SIGNATURE_MAY_BE_SPENT", False)
    assert "65385c73" in refusal.error.message


def test_a_timestamp_that_failed_is_not_the_dlib_s() -> None:
    said = "The specified timestamp server either could not be reached or returned an invalid response."
    refusal = dlib_refusal(said, DlibWords("OperationId 65385c73: InProgress", "65385c73"))
    assert refusal is not None
    assert (refusal.error.code, refusal.transient) == ("TIMESTAMP_UNAVAILABLE", True)


def test_where_the_dlib_said_nothing_signtool_s_words_count() -> None:
    assert dlib_refusal(SAID, DlibWords("", None)) is None
