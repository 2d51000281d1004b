"""What a PKCS#11 module's refusals become."""

from __future__ import annotations

from pathlib import Path

import pytest

from kspsign.keys.pkcs11.errors import CryptokiError, at_opening, at_signing


@pytest.mark.parametrize(
    ("value", "code", "name"),
    [
        (0xA0, "PKCS11_PIN", "CKR_PIN_INCORRECT"),
        (0xA4, "PKCS11_PIN_LOCKED", "CKR_PIN_LOCKED"),
        (0x32, "PKCS11_TOKEN_GONE", "CKR_DEVICE_REMOVED"),
        (0x70, "PKCS11_REFUSED", "CKR_MECHANISM_INVALID"),
        (0x80000001, "PKCS11_REFUSED", "CKR 0x80000001"),
    ],
)
def test_a_refusal_has_name_code_and_remedy(value: int, code: str, name: str) -> None:
    refused, module = CryptokiError("C_Login", value), Path("/opt/vendor/token.so")
    for error, where in (
        (at_opening(refused, module), ""),
        (at_signing(refused, module, "release"), "token 'release' of "),
    ):
        assert (error.code, error.message) == (code, f"{where}PKCS#11 module token.so: C_Login answered {name}")
        assert error.remedy.endswith(".")
