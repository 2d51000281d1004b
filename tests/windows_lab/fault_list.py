"""The rows of the fault matrix: what is broken, and what has to come of it."""

from __future__ import annotations

from typing import Any

from windows_lab.fault_bench import Fault
from windows_lab.faults import (
    in_use,
    kill_signtool,
    linked,
    navision,
    old_smctl,
    read_only,
    self_signed,
    signed_elsewhere,
    synchronised,
    tampered,
    text,
    truncated,
    unregistered,
    without_key,
    without_signtool,
    without_smctl,
)

BY_THUMBPRINT: dict[str, Any] = {"alias": None, "more": ("--thumbprint", "{Contoso-Release.thumbprint}")}
BY_FILE = ("--certificate", "{Contoso-Release.certificate}")
INLINE = ("--timestamp-mode", "inline")
VERIFY: dict[str, Any] = {"command": "verify", "more": ("--signtool-verify",)}
NO_CREDENTIALS = dict.fromkeys(("SM_HOST", "SM_API_KEY", "SM_CLIENT_CERT_FILE", "SM_CLIENT_CERT_PASSWORD"), "")
DEEP = "/".join(["a folder of fifty characters, with spaces in its name"] * 5)
AWKWARD = ("with space.exe", "it's (1) & [2] ^ %TEMP%.exe", "Ünïcødé 部品.dll", f"{DEEP}/long.exe")
TWO = ("bad.exe", "good.exe")
SIX = tuple(f"app{number}.exe" for number in range(1, 7))
MANY = tuple(f"{number % 10}/app{number}.exe" for number in range(1000))

NOT_REACHED = "either could not be reached or returned an invalid response"
OTHER_SERVERS = "name others with --timestamp-url"
NO_SERVER: dict[str, Any] = {
    "exit_code": 6,
    "code": "TIMESTAMP_UNAVAILABLE",
    "cause": NOT_REACHED,
    "remedy": OTHER_SERVERS,
    "paid": 1,
}


def _passes(name: str, files: int = 1, **more: Any) -> Fault:
    """A fault that the run gets over: everything is signed, and paid for once."""
    return Fault(name, 0, **{"paid": files, "signed": files, "untouched": 0, **more})


def _one_of_two(name: str, code: str, **more: Any) -> Fault:
    """A fault of one file, which costs nothing and stops no other."""
    return Fault(name, 1, code, **{"paid": 1, "signed": 1, "programs": TWO, "patterns": ("in/*",), **more})


CERTIFICATE = (
    Fault(
        *("signing by thumbprint without certsync", 5, "CERTIFICATE_NOT_FOUND"),
        cause="in the certificate store My of the user; available: none",
        remedy="certsync fills the store of the user that runs it",
        **BY_THUMBPRINT,
    ),
    Fault(
        *("alias in another case", 5, "CERTSYNC_FAILED"),
        cause="No keypair that this user may see has exactly this alias; capitals count",
        remedy="Copy the alias from `smctl keypair ls`",
        alias="contoso-release",
    ),
    Fault(
        *("alias in another case, right one synchronised before", 5, "CERTSYNC_FAILED"),
        cause="No keypair that this user may see has exactly this alias; capitals count",
        remedy="Did you mean the alias Contoso-Release?",
        alias="contoso-release",
        prepare=synchronised,
    ),
    Fault(
        *("DigiCert ONE answers certsync with 503", 5, "CERTSYNC_FAILED"),
        cause="status_code=503",
        remedy="status.digicert.com",
        faults={"smctl.certsync": "fail=503*"},
    ),
    _passes(
        "the same, certificate synchronised before",
        cause="is synchronised already and valid until 2046-12-31T23:59:59Z",
        prepare=synchronised,
        faults={"smctl.certsync": "fail=503*"},
    ),
    Fault(
        *("wrong API key", 5, "CERTSYNC_FAILED"),
        cause="SM_API_KEY is misspelt, expired or revoked",
        remedy="create a new one in DigiCert ONE",
        environment={"SM_API_KEY": "wrong"},
    ),
    Fault(
        *("no credentials", 5, "CERTSYNC_FAILED"),
        cause="SM_HOST is not set",
        remedy="Map the secret into the step's `env:`",
        environment=NO_CREDENTIALS,
    ),
    Fault(
        *("client certificate file missing", 5, "CERTSYNC_FAILED"),
        cause=r"open C:\nowhere\client.p12: The system cannot find the file specified",
        remedy="SM_CLIENT_CERT_FILE",
        environment={"SM_CLIENT_CERT_FILE": r"C:\nowhere\client.p12"},
    ),
    Fault(
        *("certificate expired", 5, "CERTIFICATE_NOT_VALID"),
        cause="until 2024-01-01T00:00:00Z",
        remedy="Renew the certificate",
        alias="Contoso-Expired",
    ),
    Fault(
        *("certificate not for code signing", 5, "CERT_E_WRONG_USAGE"),
        cause="doesn't include code signing (1.3.6.1.5.5.7.3.3)",
        remedy="Use a code-signing certificate",
        alias="Contoso-Server",
    ),
    Fault(
        *("root not trusted", 5, "CERT_E_UNTRUSTEDROOT"),
        cause="self-signed and not a trusted root",
        remedy="Pass the root with --trust-root if it is yours",
        alias="Contoso-SelfSigned",
    ),
    Fault(
        *("root trusted by --trust-root, not by Windows", 2, "CERT_E_UNTRUSTEDROOT"),
        cause="terminated in a root certificate which is not trusted by the trust provider",
        remedy="sign with a publicly trusted certificate",
        paid=1,
        alias="Contoso-SelfSigned",
        more=("--trust-root", "{Contoso-SelfSigned.certificate}"),
    ),
    Fault(
        *("certificate imported from a file, without private key", 5, "NO_PRIVATE_KEY"),
        cause="has no private key",
        remedy="Run certsync (it links the certificate with the KSP's key)",
        prepare=without_key,
        **BY_THUMBPRINT,
    ),
)

KEY = (
    Fault(
        *("wrong KSP name (method 1: /csp, /kc)", 6, "NO_PRIVATE_KEY"),
        cause="the name after /csp is not the KSP's",
        remedy="the provider with `smctl windows ksp list` exactly",
        more=(*BY_FILE, "--csp", "DigiCert Signing Mgr KSP"),
    ),
    Fault(
        *("alias in another case (method 1)", 6, "NO_PRIVATE_KEY"),
        cause="differs from the keypair alias (capitals count)",
        remedy="Compare the alias with `smctl keypair ls`",
        alias="contoso-release",
        more=BY_FILE,
    ),
    Fault(
        *("certificate of another key (method 1)", 6, "KEY_MISMATCH"),
        cause="does not match the public key of the selected certificate",
        remedy="Use the certificate and the alias of the same key pair",
        alias="Contoso-EC",
        more=BY_FILE,
    ),
    Fault(
        *("KSP unregistered after certsync", 6, "NO_PRIVATE_KEY"),
        cause="(the Private Key filter left none)",
        remedy="check `smctl healthcheck`, `smctl windows ksp list`",
        prepare=unregistered,
        **BY_THUMBPRINT,
    ),
    Fault(
        *("credentials in the certsync step only", 6, "NO_PRIVATE_KEY"),
        cause="is missing in SignTool's own environment",
        remedy="into the `env:` of the signing step itself, not only of the certsync step",
        prepare=synchronised,
        environment=NO_CREDENTIALS,
        **BY_THUMBPRINT,
    ),
    _passes("KSP refuses once", faults={"ksp.sign": "fail=0x80090030"}),
    _passes("KSP refuses twice in a batch", 6, programs=SIX, faults={"ksp.sign": "ok ok fail=0x80090030 ok fail"}),
    Fault(
        *("KSP refuses always", 6, "SIGNTOOL_FAILED"),
        cause="SignerSign() failed. (0x80090030)",
        remedy="`smctl healthcheck`",
        faults={"ksp.sign": "fail=0x80090030*"},
    ),
)

TOOLS = (
    Fault(
        *("smctl not installed", 5, "SMCTL_MISSING"),
        cause=r"neither on PATH nor below C:\Program Files\DigiCert",
        remedy="Install DigiCert's KeyLocker tools",
        prepare=without_smctl,
    ),
    Fault(
        *("SignTool not installed", 5, "SIGNTOOL_MISSING"),
        cause="neither on PATH nor among the Windows SDKs",
        remedy="Install the Windows SDK's signing tools",
        prepare=without_signtool,
    ),
    Fault(
        *("--engine smctl: it can't sign", 6, "SIGNTOOL_FAILED"),
        cause="Signing FAILED",
        remedy="Read the lines before this one for the cause",
        more=("--engine", "smctl"),
        faults={"smctl.sign": "fail*"},
    ),
    Fault(
        *("--engine smctl, an old build: it can't sign and exits with 0", 6, "SIGNTOOL_FAILED"),
        cause="Signing FAILED `smctl sign` exits 0 although signing failed",
        remedy="verifies every file whatever the tool says",
        prepare=old_smctl,
        more=("--engine", "smctl", "--smctl", "smctl.bat"),
        faults={"smctl.sign": "fail*"},
    ),
    _passes(
        *("SignTool killed in the middle of a batch", 6),
        programs=SIX,
        faults={"ksp.sign": "ok slow=30000"},
        meanwhile=kill_signtool,
    ),
)

TIMESTAMPS = (
    Fault("timestamp server down", **{**NO_SERVER, "urls": ("{nobody}",)}),
    Fault("timestamp server answers 500", **NO_SERVER, faults={"tsa": "fail=500*"}),
    Fault("timestamp server answers garbage", **NO_SERVER, faults={"tsa": "garbage*"}),
    Fault("timestamp server rejects the request", **NO_SERVER, faults={"tsa": "reject*"}),
    Fault("timestamp server hangs up", **NO_SERVER, faults={"tsa": "drop*"}),
    _passes("timestamp server slow", faults={"tsa": "slow=3000"}),
    _passes("timestamp server answers 503 once", faults={"tsa": "fail=503"}),
    _passes("first timestamp server down, second up", 2, programs=TWO, urls=("{nobody}", "{tsa}")),
    _passes("--timestamp-mode inline: answers 500 once", more=INLINE, faults={"tsa": "fail=500"}),
    Fault(
        "--timestamp-mode inline: answers 500 always",
        **{**NO_SERVER, "paid": 3, "more": INLINE, "faults": {"tsa": "fail=500*"}},
    ),
)

FILES = (
    _passes("spaces, quotes, other alphabets and more than 260 characters in names", 4, programs=AWKWARD),
    _one_of_two(
        *("read-only file", "ERROR_ACCESS_DENIED"),
        cause="the file is read-only",
        remedy="Clear the read-only attribute",
        prepare=read_only,
    ),
    _one_of_two(
        *("file in use by another program", "ERROR_SHARING_VIOLATION"),
        cause="Sharing violation",
        remedy="Close the program",
        prepare=in_use,
    ),
    _one_of_two(
        *("truncated program", "ERROR_BAD_FORMAT"),
        cause="the file is truncated",
        remedy="Rebuild or download the file again",
        prepare=truncated,
    ),
    _one_of_two(
        *("text file among the programs", "TRUST_E_SUBJECT_FORM_UNKNOWN"),
        cause="of no type that can be signed",
        remedy="Take the file out of the patterns (!pattern excludes)",
        programs=("good.exe",),
        prepare=text,
    ),
    _one_of_two(
        *("Business Central .app, NavSip not registered", "NAVSIP_MISSING"),
        cause="no SIP for Business Central .app packages (NAVX) is registered",
        remedy="Name the x64 NavSip.dll with --navsip",
        programs=("good.exe",),
        prepare=navision,
    ),
    _passes("one file by three patterns and a link", prepare=linked, patterns=("in/*.exe", "IN/APP.EXE", "in")),
    Fault(
        *("signed by another publisher before", 6, "ALREADY_SIGNED"),
        cause="it is signed already, by",
        remedy="Choose --append (second signature), --replace, or --skip-signed",
        programs=(),
        prepare=signed_elsewhere,
    ),
    Fault(
        *("patterns that match nothing", 4, "NO_FILES_MATCHED"),
        cause="no file matches out/*.exe",
        remedy="Check the patterns",
        patterns=("out/*.exe",),
    ),
    _passes("1,000 files in one run", 1000, programs=MANY, more=("--jobs", "2", "--quiet")),
)

VERIFICATION = (
    Fault(
        *("verify: changed after signing", 2, "TRUST_E_BAD_DIGEST"),
        cause="it was changed after signing",
        remedy="Find the build step that writes to the file after signing",
        programs=(),
        prepare=tampered,
        **VERIFY,
    ),
    Fault(
        *("verify: not signed", 2, "TRUST_E_NOSIGNATURE"),
        cause="The file carries no signature",
        remedy="Sign the file;",
        **VERIFY,
    ),
    Fault(
        *("verify: no timestamp", 2, "TRUST_E_TIME_STAMP"),
        cause="The timestamp is missing",
        remedy="kspsign timestamp",
        programs=(),
        prepare=signed_elsewhere,
        **VERIFY,
    ),
    Fault(
        *("verify: root not trusted", 2, "CERT_E_UNTRUSTEDROOT"),
        cause="The chain ends in a root that is not trusted",
        remedy="Pass the root with --trust-root if it is yours",
        programs=(),
        prepare=self_signed,
        **VERIFY,
    ),
    Fault(
        *("verify: a text file", 2, "TRUST_E_SUBJECT_FORM_UNKNOWN"),
        cause="No SIP (subject interface package) recognises the file's content",
        remedy="Take the file out of the patterns (!pattern excludes)",
        patterns=("in/notes.txt",),
        prepare=text,
        **VERIFY,
    ),
)

GROUPS = {
    "The certificate": CERTIFICATE,
    "The key and its provider": KEY,
    "The tools": TOOLS,
    "Timestamps": TIMESTAMPS,
    "The files": FILES,
    "Verification": VERIFICATION,
}
FAULTS = tuple(fault for group in GROUPS.values() for fault in group)
