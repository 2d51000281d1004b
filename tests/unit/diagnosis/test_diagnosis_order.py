"""Several causes in one text: the one that explains the others comes first."""

from __future__ import annotations

import pytest

from kspsign.diagnosis import diagnose

TIMESTAMP = (
    "SignTool Error: The specified timestamp server either could not be reached or returned an invalid response."
)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Signing failed. Error: SignerSign() failed. (-2147024891/0x80070005)", "file-not-writable"),
        ("signCommand command for file a.msi FAILED\nError: SM_API_KEY is not set", "credentials-missing"),
        (
            (
                "ManagedIdentityCredential authentication failed: AADSTS700016: Application was not found\n"
                "DefaultAzureCredential failed to retrieve a token from the included credentials."
            ),
            "azure-application-unknown",
        ),
        ("error MSB3073: exited with code 1.\nThe specified PFX password is not correct.", "pfx-password-wrong"),
        ("No certificates were found that met all the given criteria.\nsmctl: command not found", "smctl-not-found"),
        (f"SSL certificate problem: unable to get local issuer certificate\n{TIMESTAMP}", "tls-failed"),
        (f"getaddrinfo ENOTFOUND timestamp.digicert.com\n{TIMESTAMP}", "host-name-unknown"),
        (f"407 Proxy Authentication Required\n{TIMESTAMP}", "proxy-unusable"),
        ("SignTool Error: No private key is available.\nstatus_code=401, invalid_api_key", "api-key-refused"),
        ("ForbiddenByFirewall Client address is not authorized\nfailed with 0x80004005", "key-vault-forbidden"),
        ("CKR_GENERAL_ERROR\nstatus_code=429", "rate-limited"),
        ("WinVerifyTrust returned error: 0x80096010\nFile is not timestamped.", "changed-after-signing"),
        ("keystore load: load failed\nCaused by: CKR_PIN_INCORRECT", "pkcs11-pin"),
        ("Number of errors: 1\nWinVerifyTrust returned error: 0x800B0109", "untrusted-root"),
    ],
)
def test_the_cause_comes_before_what_it_leads_to(text: str, first: str) -> None:
    lines = text.splitlines()
    for order in (lines, lines[::-1]):
        assert diagnose("\n".join(order))[0].id == first
