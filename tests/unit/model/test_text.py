"""Text as people's tools write it."""

from __future__ import annotations

import base64

import pytest

from kspsign.model.text import decode_base64, decode_text

CONTENT = bytes(range(200))
TEXT = base64.b64encode(CONTENT).decode()
WRAPPED = "\r\n".join(TEXT[at : at + 64] for at in range(0, len(TEXT), 64))


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"{TEXT}\n",
        WRAPPED,
        f"\ufeff{WRAPPED}\r\n",
        f"-----BEGIN CERTIFICATE-----\r\n{WRAPPED}\r\n-----END CERTIFICATE-----\r\n",
        f"-----BEGIN CERTIFICATE----- {TEXT} -----END CERTIFICATE-----",
        f"-----BEGIN PKCS12-----\n{WRAPPED}\n-----END PKCS12-----",
    ],
)
def test_base64_is_taken_as_certutil_and_others_write_it(text: str) -> None:
    assert decode_base64(text) == CONTENT


@pytest.mark.parametrize(
    "text",
    [
        "no base64!",
        f"-----BEGIN CERTIFICATE-----\n{TEXT}",
        f"{TEXT}\n-----END CERTIFICATE-----",
        f"-----BEGIN A-----\n{TEXT}\n-----END A-----\n-----BEGIN A-----\n{TEXT}\n-----END A-----",
        f"x-----BEGIN A-----\n{TEXT}\n-----END A-----",
        f"-----BEGIN A-----\n{TEXT}\n-----END A-----x",
        f"-----END A-----\n{TEXT}\n-----BEGIN A-----",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text would hold a part of the secret
        decode_base64(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_is_decoded_by_its_mark(encoding: str) -> None:
    assert decode_text("a\u00e4\r\n".encode(encoding)) == "a\u00e4\r\n"


@pytest.mark.parametrize("content", [b"\xff", b"\xff\xfe\x00", b"\xfe\xff\xd8\x00"])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text(content)
