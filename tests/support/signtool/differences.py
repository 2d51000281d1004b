"""How kspsign's answers differ from the transcripts of SignTool, and why: the table of docs/reference/signtool.md."""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """`reason` is for people, `lines` are what differs: SignTool's with `-`, kspsign's with `+`; None stands for a text
    that is kspsign's own from the second line on."""

    reason: str
    lines: tuple[str, ...] | None


_NAVX = "kspsign signs and verifies Business Central's .app itself; SignTool needs NavSip.dll, which the lab lacks"
_HELP = "the help is kspsign's own: what it takes, what it refuses, and why"
_NOT_SIGNED = (
    "- SignTool Error: This file format cannot be signed because it is not recognized.",
    "- SignTool Error: An error occurred while attempting to sign: my.app",
    "exit code 1, here 0",
)
_KEY_FAILED = (
    "a signature that the service refuses is an error of its file, with the service's reason; SignTool stops there "
    "with the KSP's code"
)
_ONE_ERROR = ("+ ", "+ Number of errors: 1", "+ SignTool Error: An error occurred while attempting to sign: a2.exe")

DIFFERENCES: dict[str, Difference] = {
    "sign-app-no-sip": Difference(
        _NAVX,
        (
            "+ Successfully signed: my.app",
            "- Number of files successfully Signed: 0",
            "+ Number of files successfully Signed: 1",
            "- Number of errors: 1",
            "+ Number of errors: 0",
            *_NOT_SIGNED,
        ),
    ),
    "verify-app-no-sip": Difference(
        _NAVX,
        (
            "+ SignTool Error: No signature found.",
            "- SignTool Error: This file format cannot be verified because it is not",
            "- \trecognized.",
        ),
    ),
    "sign-several-one-bad": Difference(
        _NAVX,
        (
            "+ Successfully signed: my.app",
            "- Number of files successfully Signed: 2",
            "+ Number of files successfully Signed: 3",
            "- Number of errors: 1",
            "+ Number of errors: 0",
            *_NOT_SIGNED,
        ),
    ),
    "verify-all": Difference(
        "the lab's Windows shows the primary signature twice; this is the second one, which has no timestamp",
        (
            "- Signature Index: 0 (Primary Signature)",
            "+ Signature Index: 1",
            "- Hash of file (sha256): ...",
            "+ Hash of file (sha384): ...",
            "+ File is not timestamped.",
            "- The signature is timestamped: ...",
            "- Timestamp Verified by:",
            "-     Issued to: Winlab Root CA",
            "-     Issued by: Winlab Root CA",
            "-     Expires:   Mon Dec 31 23:59:59 2046",
            "-     SHA1 hash: root",
            "- ",
            "-         Issued to: Winlab Timestamping CA",
            "-         Issued by: Winlab Root CA",
            "-         Expires:   Mon Dec 31 23:59:59 2046",
            "-         SHA1 hash: stamp-ca",
            "- ",
            "-             Issued to: Winlab Timestamp Responder",
            "-             Issued by: Winlab Timestamping CA",
            "-             Expires:   Mon Dec 31 23:59:59 2046",
            "-             SHA1 hash: tsa",
        ),
    ),
    "sign-ksp-device-not-ready": Difference(
        _KEY_FAILED, ('- Error information: "Error: SignerSign() failed." (-2146893776/0x80090030)', *_ONE_ERROR)
    ),
    "sign-ksp-internal-error": Difference(
        _KEY_FAILED, ('- Error information: "Error: SignerSign() failed." (-2146893779/0x8009002d)', *_ONE_ERROR)
    ),
    "verify-no-root": Difference(
        "the timestamp's chain is one more reason, which kspsign names with the file's error",
        (
            "- SignTool Warning: An error has been found with the timestamp. ",
            "- \tCERT_TRUST_STATUS.dwErrorStatus: 0x00000020",
            "- \tCERT_TRUST_STATUS.dwInfoStatus: 0x00000020",
        ),
    ),
    "help-sign": Difference(_HELP, None),
    "help-verify": Difference(_HELP, None),
    "help-timestamp": Difference(_HELP, None),
}
