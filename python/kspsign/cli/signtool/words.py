"""SignTool's sentences (signtool.exe 10.0.26100), and how certificates and times look in them.

A sentence is what follows "SignTool Error: "; its further lines begin with a tab.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509

from kspsign.certificates.parse import common_name, thumbprint_of, to_der
from kspsign.model.hresults import Hresult
from kspsign.model.values import ErrorFacts
from kspsign.publishing.sanitize import visible

NO_FD: Final = (
    "No file digest algorithm specified. Please specify the digest algorithm with the /fd flag. Using /fd SHA256 is "
    "recommended and more secure than SHA1. Calling signtool with /fd sha1 is equivalent to the previous behavior. In "
    "order to select the hash algorithm used in the signing certificate's signature, use the /fd certHash option. "
)
NO_TD: Final = (
    "No file timestamp algorithm specified. Please specify the timestamp algorithm with the /td flag. Using /td SHA256 "
    "is recommended and more secure than SHA1. Calling signtool with /td sha1 is equivalent to the previous behavior.\n"
    "In order to select the hash algorithm used in the signing certificate's signature, use the /td certHash option. "
)
NO_CERTIFICATES: Final = "No certificates were found that met all the given criteria."
SEVERAL_CERTIFICATES: Final = (
    "Multiple certificates were found that meet all the given\n\tcriteria. Use the /a option to allow SignTool to "
    "choose the best\n\tcertificate automatically or use the /sha1 option with the hash of the\n\tdesired certificate."
    "\nThe following certificates meet all given criteria:"
)
NO_PRIVATE_KEY: Final = "No private key is available."
OTHER_KEY: Final = "The specified private key does not match the public key of the\n\tselected certificate."
WRONG_PASSWORD: Final = "The specified PFX password is not correct."  # noqa: S105 - a sentence
NOT_IN_CHAIN: Final = "The provided cross certificate would not be present in the certificate chain."
UNEXPECTED: Final = "An unexpected internal error has occurred."
NO_TIMESTAMP: Final = "The specified timestamp server either could not be reached or\nreturned an invalid response."
NO_FILES: Final = "No files were processed."

_REFUSALS: Final = {
    Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN: "This file format cannot be signed because it is not recognized.",
    Hresult.ERROR_SHARING_VIOLATION: "The file is being used by another process.",
    Hresult.ERROR_ACCESS_DENIED: "Access is denied.",
    Hresult.ERROR_BAD_FORMAT: (
        "SignedCode::Sign returned error: 0x800700C1\n\tFor more information, please see https://aka.ms/badexeformat"
    ),
}
_OF_KSPSIGN: Final = frozenset({"BUDGET_SPENT"})
"""Errors that SignTool has no sentence for, and that are nothing unexpected: kspsign's own says it."""
_NOT_STAMPED: Final = {
    Hresult.TRUST_E_NOSIGNATURE: "No signature was found. The file must be signed before it can\n\tbe timestamped.",
}
_VERDICTS: Final = {
    Hresult.TRUST_E_SUBJECT_FORM_UNKNOWN: "This file format cannot be verified because it is not\n\trecognized.",
    Hresult.TRUST_E_NOSIGNATURE: "No signature found.",
    Hresult.CERT_E_UNTRUSTEDROOT: (
        "A certificate chain processed, but terminated in a root\n\tcertificate which is not trusted by the trust "
        "provider."
    ),
    Hresult.CERT_E_WRONG_USAGE: "The signing certificate is not valid for the requested usage.",
}
_WINDOWS_TEXTS: Final = {
    Hresult.TRUST_E_BAD_DIGEST: "The digital signature of the object did not verify.",
    Hresult.CERT_E_EXPIRED: (
        "A required certificate is not within its validity period when verifying against the current system clock or "
        "the timestamp in the signed file."
    ),
    Hresult.CERT_E_CHAINING: "A certificate chain could not be built to a trusted root authority.",
}
"""What Windows says of a code (FormatMessage); of others kspsign's own words follow."""


class CertificateWords(NamedTuple):
    """A certificate as SignTool shows it: the simple names of subject and issuer, its end, its thumbprint."""

    subject: str
    issuer: str
    not_after: datetime
    thumbprint: str

    @classmethod
    def of(cls, parsed: x509.Certificate) -> CertificateWords:
        """A certificate as SignTool shows it."""
        subject, issuer = common_name(parsed.subject), common_name(parsed.issuer)
        return cls(subject, issuer, parsed.not_valid_after_utc, thumbprint_of(to_der(parsed)))

    def lines(self, depth: int = 1) -> Iterator[str]:
        """Four lines, indented by four blanks a level, and an empty one."""
        indent = " " * 4 * depth
        yield f"{indent}Issued to: {visible(self.subject)}"
        yield f"{indent}Issued by: {visible(self.issuer)}"
        yield f"{indent}Expires:   {local_time(self.not_after)}"
        yield f"{indent}SHA1 hash: {self.thumbprint}"
        yield ""


def local_time(moment: datetime) -> str:
    """A time of this machine's zone as C's asctime writes it, which SignTool prints."""
    return moment.astimezone().strftime("%a %b %d %H:%M:%S %Y")


def file_sentence(command: str, error: ErrorFacts, *, size: int) -> str:
    """Why a file was not signed or stamped; `size` is the file's, in bytes."""
    hresult = hresult_of(error)
    if size == 0:
        return "The file cannot be mapped into memory. It may be zero size."
    if error.code.startswith("TIMESTAMP_"):
        return NO_TIMESTAMP
    if hresult is None:
        return error.message if error.code in _OF_KSPSIGN else UNEXPECTED
    sentences = {**_REFUSALS, **(_NOT_STAMPED if command == "timestamp" else {})}
    return sentences.get(hresult, f"SignedCode::Sign returned error: {hresult.hex}")


def verdict_sentence(error: ErrorFacts) -> str:
    """Why a file does not verify."""
    hresult = hresult_of(error)
    if hresult is None:
        return UNEXPECTED
    if hresult in _VERDICTS:
        return _VERDICTS[hresult]
    text = _WINDOWS_TEXTS.get(hresult, hresult.meaning)
    return f"WinVerifyTrust returned error: {hresult.hex}\n\t{text}"


def hresult_of(error: ErrorFacts) -> Hresult | None:
    """The code of the error, None when Windows has none for it."""
    return next((hresult for hresult in Hresult if hresult.hex == error.hresult), None)
