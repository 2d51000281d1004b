"""HRESULTs: the result codes of Authenticode verification and file access on Windows.

Each member holds the HRESULT, what it means and what to do. Names and numbers are those of winerror.h.
"""

from __future__ import annotations

from enum import Enum


class Hresult(Enum):
    """A Windows result code with its meaning and remedy; `value` is (number, meaning, remedy)."""

    TRUST_E_SUBJECT_FORM_UNKNOWN = (
        0x800B0003,
        "No SIP (subject interface package) recognises the file's content.",
        "Check that the file's type carries Authenticode signatures; for .app packages SignTool needs NavSip.dll.",
    )
    TRUST_E_NOSIGNATURE = (
        0x800B0100,
        "The file carries no signature: it was never signed, signing did not complete, or the signature was removed.",
        "Sign the file; if it should be signed already, read the signing step's log (SignTool: add /debug).",
    )
    SPAPI_E_FILE_HASH_NOT_IN_CATALOG = (
        0x800F024B,
        "No member of the catalogue has the file's digest: it was not listed, or was changed since.",
        "Create the catalogue after the last step that changes a file (kspsign catalog), or exclude the file.",
    )
    TRUST_E_BAD_DIGEST = (
        0x80096010,
        "The file's content is not what was signed: it was changed after signing.",
        "Find the build step that writes to the file after signing, move signing after it and sign again.",
    )
    TRUST_E_CERT_SIGNATURE = (
        0x80096004,
        "A signature inside the certificate chain or the signed attributes is wrong.",
        "The signature was damaged or forged: sign the file again from the original build output.",
    )
    TRUST_E_NO_SIGNER_CERT = (
        0x80096002,
        "The signer's certificate is not in the signature.",
        "Sign again with a tool that embeds the certificate and its intermediates.",
    )
    TRUST_E_COUNTER_SIGNER = (
        0x80096003,
        "The timestamp (counter-signature) is invalid.",
        "Timestamp the file again, from another RFC 3161 server if it recurs (--timestamp-url).",
    )
    TRUST_E_TIME_STAMP = (
        0x80096005,
        "The timestamp is missing, or its signature or certificate could not be verified.",
        (
            "Add a missing one with kspsign timestamp, which costs no signature; where one is wrong, sign again with "
            "another server (--timestamp-url URL) whose root is trusted."
        ),
    )
    TRUST_E_BASIC_CONSTRAINTS = (
        0x80096019,
        "A certificate in the chain acts as a CA without being one.",
        "The chain is not to be trusted: sign with a certificate issued by a real CA.",
    )
    TRUST_E_MALFORMED_SIGNATURE = (
        0x80096011,
        "The signature or the structure around it is malformed, or unsigned data hides in it.",
        "Do not release the file: sign the original build output again.",
    )
    CERT_E_EXPIRED = (
        0x800B0101,
        "A certificate was not valid at the relevant time (the timestamp's, or now without one).",
        "Sign again with a valid certificate and a timestamp (--timestamp-url).",
    )
    CERT_E_CHAINING = (
        0x800B010A,
        "No chain leads to a trusted root: the root is not among the trusted ones, or an intermediate is missing.",
        (
            "Pass the certificate that is missing with --trust-root, a root of yours or an intermediate that the "
            "signature does not bring; the signature itself is whole."
        ),
    )
    CERT_E_UNTRUSTEDROOT = (
        0x800B0109,
        "The chain ends in a root that is not trusted; expected with test and self-signed certificates.",
        "Pass the root with --trust-root if it is yours; otherwise sign with a publicly trusted certificate.",
    )
    CERT_E_WRONG_USAGE = (
        0x800B0110,
        "The certificate may not be used for this: the extended key usage or the key usage forbids it.",
        "Use a code-signing certificate (EKU 1.3.6.1.5.5.7.3.3, key usage digitalSignature).",
    )
    CERT_E_REVOKED = (
        0x800B010C,
        "A certificate of the chain was revoked by its issuer.",
        "Sign with a new certificate; ask the CA for the old one's revocation date.",
    )
    CERT_E_INVALID_NAME = (
        0x800B0114,
        "A name constraint of a CA in the chain excludes the certificate's name.",
        "Use a certificate whose subject the CA may issue.",
    )
    CERT_E_CRITICAL = (
        0x800B0105,
        "A certificate has a critical extension that is not understood, so it may not be used.",
        "Use a certificate for code signing; ask the CA what the extension is for.",
    )
    TRUST_E_EXPLICIT_DISTRUST = (
        0x800B0111,
        "A certificate of the chain is distrusted by name: by the root program, the Disallowed store or a policy.",
        "Sign with a certificate of a trusted CA; if it is blocked by mistake, the administrator can unblock it.",
    )
    CERT_E_INVALID_POLICY = (
        0x800B0113,
        "A rule of the policy is broken.",
        "Sign again so that the named rule holds, or have its owner change the policy.",
    )
    CRYPT_E_REVOCATION_OFFLINE = (
        0x80092013,
        "The revocation status of a certificate could not be determined, and --revocation online requires it.",
        "Let the agent reach the CA's OCSP and CRL hosts (plain HTTP, proxy by HTTP_PROXY), or verify where it can.",
    )
    NTE_BAD_ALGID = (
        0x80090008,
        "The digest or signature algorithm is too weak or not supported.",
        "Sign with SHA-256 or stronger (--digest sha256) and a key of at least RSA 2048 or P-256.",
    )
    TRUST_E_FAIL = (
        0x800B010B,
        "The file is not trusted, and the verifier gives no specific reason.",
        "Read the verifier's output for it (--verbose lists every check).",
    )
    ERROR_SHARING_VIOLATION = (
        0x80070020,
        "Another process holds the file open.",
        "Close the program (virus scanner, debugger, build server) that uses the file, or sign later in the job.",
    )
    ERROR_FILE_NOT_FOUND = (
        0x80070002,
        "The path does not exist on this agent, as seen from the step's working directory.",
        (
            "Print the folder before signing, check the working directory, and download the artifact in this job: "
            "another job's files are not here."
        ),
    )
    ERROR_ACCESS_DENIED = (
        0x80070005,
        "Writing the file or its folder is not permitted.",
        "Clear the read-only attribute (chmod u+w, attrib -r) and check the folder's permissions.",
    )
    E_OUTOFMEMORY = (
        0x8007000E,
        (
            "There was not enough memory for the files that were being signed or verified; SignTool maps whole "
            "files into memory."
        ),
        "Use an agent with more memory, raise the process's limit (ulimit -v, the container's), or lower --jobs.",
    )
    ERROR_BAD_FORMAT = (
        0x8007000B,
        "The file's structure contradicts itself: it is truncated or damaged.",
        "Rebuild or download the file again and compare its hash with the original's.",
    )
    ERROR_NOT_SUPPORTED = (
        0x80070032,
        "Files of this format can't be signed in this way.",
        "Leave out the option that the message names, or exclude the file (!pattern).",
    )
    APPX_E_INVALID_MANIFEST = (
        0x80080204,
        "The package's manifest can't be read, or does not name the signing certificate's subject as its publisher.",
        "Set Identity's Publisher in the manifest to the certificate's subject, pack again and sign again.",
    )
    APPX_E_INVALID_BLOCKMAP = (
        0x80080205,
        "The package's block map does not match the package: files were added, removed or packed again.",
        "Pack the files again (MakeAppx pack) and sign last; change nothing in a package once it is packed.",
    )
    APPX_E_CORRUPT_CONTENT = (
        0x80080206,
        "The package's content can't be read: a part is damaged or has no content type.",
        "Pack the files again, or fetch the package again and compare its hash with the original's.",
    )
    APPX_E_BLOCK_HASH_INVALID = (
        0x80080207,
        "A file in the package does not match the package's block map.",
        "Pack the files again (MakeAppx pack) and sign last; change nothing in a package once it is packed.",
    )

    @property
    def number(self) -> int:
        """The 32-bit HRESULT."""
        return self.value[0]

    @property
    def hex(self) -> str:
        """The HRESULT as users see it, e.g. 0x800B0100."""
        return f"0x{self.value[0]:08X}"

    @property
    def meaning(self) -> str:
        """What happened, in one sentence."""
        return self.value[1]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.value[2]
