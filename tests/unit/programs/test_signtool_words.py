"""SignTool's words, as Microsoft's signtool.exe printed them in the lab, and what we make of them."""

from __future__ import annotations

import pytest

from kspsign.model.hresults import Hresult
from kspsign.programs.run import Ran
from kspsign.programs.signtool_output import read_words
from kspsign.programs.signtool_verify import read_verdict
from kspsign.signing.tool_errors import call_refusal, file_refusal
from kspsign.verifying.signtool_check import meaning
from support.places import TRANSCRIPTS


def transcript(name: str) -> Ran:
    """What one call of the real SignTool printed, and its exit code."""
    (path,) = TRANSCRIPTS.glob(f"??-{name}.txt")
    text = path.read_text(encoding="utf-8").replace("\r", "")
    output, rest = text.split("--- stdout\n", 1)[1].split("--- stderr\n", 1)
    errors, code = rest.split("--- exit code ", 1)
    return Ran(int(code), output, errors, 0.1)


def test_one_bad_file_among_good_ones_is_told_apart() -> None:
    ran = transcript("sign-several-one-bad")
    words = read_words(ran.output, ran.errors)
    assert words.done == {"a1.exe", "a2.exe"}
    assert words.by_file == {"my.app": "This file format cannot be signed because it is not recognized."}
    assert words.general == ""


def test_a_continued_message_is_one() -> None:
    ran = transcript("sign-tsa-refused")
    words = read_words(ran.output, ran.errors)
    assert words.by_file == {
        "a2.exe": "The specified timestamp server either could not be reached or returned an invalid response."
    }


def test_a_timestamp_that_was_given() -> None:
    ran = transcript("timestamp")
    assert read_words(ran.output, ran.errors).done == {"a2.exe"}


def test_a_missing_file_is_named() -> None:
    ran = transcript("sign-missing-file")
    assert set(read_words(ran.output, ran.errors).by_file) == {"nosuch.exe"}


@pytest.mark.parametrize(
    ("name", "code", "transient", "everywhere"),
    [
        ("sign-sha1-before-certsync", "CERTIFICATE_NOT_FOUND", False, True),
        ("sign-sha1-unknown", "CERTIFICATE_NOT_FOUND", False, True),
        ("sign-expired", "CERTIFICATE_NOT_FOUND", False, True),
        ("sign-sha1-no-credentials", "NO_PRIVATE_KEY", True, True),
        ("sign-csp-wrong-case", "NO_PRIVATE_KEY", True, True),
        ("sign-csp-wrong-name", "NO_PRIVATE_KEY", True, True),
        ("sign-csp-other-cert", "KEY_MISMATCH", False, True),
        ("sign-ksp-device-not-ready", "SIGNTOOL_FAILED", True, False),
        ("sign-ksp-internal-error", "SIGNTOOL_FAILED", True, False),
    ],
)
def test_a_call_that_ended_before_its_files(name: str, code: str, *, transient: bool, everywhere: bool) -> None:
    ran = transcript(name)
    words = read_words(ran.output, ran.errors)
    refusal = call_refusal(ran, words)
    assert (refusal.error.code, refusal.transient, refusal.everywhere) == (code, transient, everywhere)
    assert refusal.error.message.startswith("SignTool: ")
    assert refusal.error.remedy


def test_the_code_of_the_ksp_is_in_the_message() -> None:
    ran = transcript("sign-ksp-internal-error")
    assert "0x8009002d" in call_refusal(ran, read_words(ran.output, ran.errors)).error.message


def test_a_call_that_took_too_long() -> None:
    refusal = call_refusal(Ran(None, "Done Adding Additional Store\n", "", 300.0), read_words("", ""))
    assert (refusal.error.code, refusal.transient) == ("SIGNTOOL_TIMEOUT", True)


@pytest.mark.parametrize(
    ("name", "hresult", "transient"),
    [
        ("sign-app-no-sip", Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN, False),
        ("sign-file-in-use", Hresult.ERROR_SHARING_VIOLATION, True),
        ("sign-broken-exe", Hresult.ERROR_BAD_FORMAT, False),
        ("sign-empty-file", Hresult.ERROR_BAD_FORMAT, False),
        ("sign-tsa-refused", None, True),
    ],
)
def test_an_error_of_one_file(name: str, hresult: Hresult | None, *, transient: bool) -> None:
    ran = transcript(name)
    (said,) = read_words(ran.output, ran.errors).by_file.values()
    refusal = file_refusal(said)
    assert (refusal.error.hresult, refusal.transient) == (hresult, transient)


def test_a_good_file_s_chain_hash_and_timestamp() -> None:
    verdict = read_verdict(transcript("verify"))
    assert verdict.ok
    assert verdict.chains == ("Winlab Root CA > Winlab Code Signing CA > Contoso Ltd",)
    assert len(verdict.timestamps) == 1
    assert verdict.timestamps[0].startswith("Mon Nov 23")
    (found,) = verdict.hashes
    assert found.startswith("sha256 ")
    assert verdict.said == ""


def test_each_of_several_signatures_is_read() -> None:
    verdict = read_verdict(transcript("verify-all"))
    assert verdict.ok
    assert len(verdict.chains) == len(verdict.hashes) == len(verdict.timestamps) == 2


@pytest.mark.parametrize(
    ("name", "hresult"),
    [
        ("verify-unsigned", Hresult.TRUST_E_NOSIGNATURE),
        ("verify-tampered", Hresult.TRUST_E_BAD_DIGEST),
        ("verify-untrusted-root", Hresult.CERT_E_UNTRUSTEDROOT),
        ("verify-expired", Hresult.CERT_E_EXPIRED),
        ("verify-not-codesigning", Hresult.CERT_E_WRONG_USAGE),
        ("verify-no-root", Hresult.CERT_E_CHAINING),
        ("verify-app-no-sip", Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN),
        ("verify-tw", Hresult.TRUST_E_TIME_STAMP),
        ("verify-missing-file", Hresult.TRUST_E_FAIL),
    ],
)
def test_a_file_that_is_not_accepted(name: str, hresult: Hresult) -> None:
    verdict = read_verdict(transcript(name))
    assert not verdict.ok
    assert meaning(verdict.said) is hresult
