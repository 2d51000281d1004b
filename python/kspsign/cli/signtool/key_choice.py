"""Which key signs, from the options of `signtool sign` that choose certificate and private key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kspsign.certificates.parse import parse_certificate, thumbprint_of, to_der
from kspsign.cli.signtool import words
from kspsign.cli.signtool.errors import SignToolError
from kspsign.cli.signtool.grammar import Call
from kspsign.cli.signtool.key_providers import container_option, key_store_of, unknown_provider
from kspsign.cli.signtool.speech import Speech
from kspsign.keys.table import STORES
from kspsign.publishing.sanitize import visible
from kspsign.settings.model import default_store_folder
from kspsign.settings.store_options import options_of

if TYPE_CHECKING:
    from cryptography import x509

    from kspsign.cli.signtool.candidates import SigningCandidate

PASSWORD_VARIABLE = "/p"  # noqa: S105 - a name
"""What /p is called among the variables that settings are read from; no process gets it."""
_SYNCHRONISE = (
    "Fetch the certificate to this machine first, as this user: `kspsign smctl windows certsync --keypair-alias=ALIAS` "
    "(KeyLocker), or `kspsign certsync --key-store STORE ...`."
)
_NOT_THE_ALGORITHM = (
    "/sha1 picks the certificate by its thumbprint, 40 hex digits; the digest of the signature is chosen by /fd."
)
_DLIB = "azure.codesigning.dlib.dll"


class KeyPlace(Enum):
    """Where the call says that the key is, which decides how SignTool calls its absence."""

    STORE = "a certificate store"
    PROVIDER = "a key storage provider"
    FILE = "a PKCS#12 file"
    SERVICE = "a signing service (dlib)"


@dataclass(frozen=True, slots=True)
class KeyChoice:
    """The settings that name the key, with variables that they refer to; `certificate` is the one that signs, where it
    is known before the key store is opened."""

    place: KeyPlace
    settings: Mapping[str, Any]
    certificate: x509.Certificate | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


def choose_key(call: Call, configured: Mapping[str, object], speech: Speech) -> KeyChoice:
    """The key that `call` means; `configured` is the content of the configuration file that was named.

    Raises SignToolError in SignTool's words where none or several are meant.
    """
    thumbprint = _thumbprint(call)
    usage = call.value("u")
    if usage not in {None, "1.3.6.1.5.5.7.3.3", "Code Signing"}:
        raise SignToolError(f"Invalid Enhanced Key Usage: {visible(usage or '')}", "kspsign signs code: leave /u out.")
    if call.has("dlib"):
        return _of_dlib(call)
    if call.has("kc"):
        return _of_provider(call, configured, thumbprint, speech)
    if call.has("f"):
        return _of_file(call, thumbprint, speech)
    return _of_store(call, configured, thumbprint, speech)


def _thumbprint(call: Call) -> str | None:
    given = call.value("sha1")
    if given is None:
        return None
    # Windows' certificate dialog puts blanks and a hidden U+200E into what is copied from it.
    bare = "".join(char for char in given if char.isprintable() and char != " ").upper()
    if not re.fullmatch("[0-9A-F]{40}", bare):
        raise SignToolError(f"Invalid SHA1 hash format: {visible(given)}", _NOT_THE_ALGORITHM)
    return bare


def _of_dlib(call: Call) -> KeyChoice:
    """Azure Artifact Signing: its dlib's name counts, whatever folder it is said to be in."""
    name = visible(re.split(r"[\\/]", call.value("dlib") or "")[-1])
    if name.lower() != _DLIB:
        raise SignToolError(
            f"This version of signtool does not support the /dlib {name} functionality.",
            "Name its key store in the file of KSPSIGN_CONFIG, or sign with /csp, /kc and /f.",
            cause=f"kspsign loads no DLL into itself; it knows {_DLIB} as key store azure-artifact-signing",
        )
    return KeyChoice(
        KeyPlace.SERVICE, {"key_store": "azure-artifact-signing", "signing_metadata": _readable(call, "dmdf")}
    )


def _of_provider(call: Call, configured: Mapping[str, object], thumbprint: str | None, speech: Speech) -> KeyChoice:
    provider, container = call.value("csp") or "", call.value("kc") or ""
    certificate = None
    named: dict[str, Any] = {}
    if call.has("f"):
        from kspsign.certificates.file import read_certificate_file  # noqa: PLC0415 - it brings PKCS#7

        path = _readable(call, "f")
        leaf, _ = read_certificate_file(path)
        certificate, thumbprint = parse_certificate(leaf), _same(thumbprint, thumbprint_of(leaf))
        _check_criteria(call, certificate, leaf)
        show_selected(words.CertificateWords.of(certificate), speech)
        named["certificate"] = path
    key_store = key_store_of(provider, configured)
    if key_store is None:
        cause = f"no KSP that kspsign knows is named {provider}"
        raise SignToolError(words.NO_PRIVATE_KEY, unknown_provider(provider), cause=cause)
    options = options_of(STORES.find(key_store).load_options())
    settings = {"key_store": key_store, container_option(key_store): container}
    by_file = {name: value for name, value in named.items() if name in options}
    if not by_file and thumbprint is not None:
        by_file["thumbprint"] = thumbprint
    return KeyChoice(KeyPlace.PROVIDER, {**settings, **by_file}, certificate)


def _of_file(call: Call, thumbprint: str | None, speech: Speech) -> KeyChoice:
    path = _readable(call, "f")
    from kspsign.keys.pkcs12.store import is_pkcs12  # noqa: PLC0415 - only this choice needs it

    if not (call.has("p") or is_pkcs12(_content(path, "f"))):
        _show_certificates(path, speech)
        raise SignToolError(
            words.NO_PRIVATE_KEY,
            'Name KSP and key too (/csp "DigiCert Signing Manager KSP" /kc ALIAS), or a .pfx with its key.',
            cause=f"{path} holds no private key",
        )
    if any(call.has(name) for name in ("n", "i", "r")):
        raise SignToolError("The /f option is incompatible with the /n, /i and /r options.", "Leave them out.")
    settings: dict[str, Any] = {"key_store": "pkcs12", "pkcs12": path}
    if thumbprint is not None:
        settings["thumbprint"] = thumbprint
    password = call.value("p")
    if password is None:
        return KeyChoice(KeyPlace.FILE, settings)
    settings["password_env"] = PASSWORD_VARIABLE
    return KeyChoice(KeyPlace.FILE, settings, variables={PASSWORD_VARIABLE: password})


def _show_certificates(path: Path, speech: Speech) -> None:
    """The certificate that a file holds without its key, where it is one."""
    from kspsign.certificates.file import parse_certificates  # noqa: PLC0415 - it brings PKCS#7

    for certificate in parse_certificates(_content(path, "f"))[:1]:
        show_selected(words.CertificateWords.of(certificate), speech)


def _of_store(call: Call, configured: Mapping[str, object], thumbprint: str | None, speech: Speech) -> KeyChoice:
    store = call.value("s") or "MY"
    if store.upper() != "MY":
        raise SignToolError(
            f'The "{visible(store)}" certificate store was not found.',
            "Leave /s out.",
            cause="kspsign's thumbprint store has the place of the store MY, and no other",
        )
    if configured.get("key_store") is not None and not any(call.has(name) for name in ("sha1", "n", "i", "r")):
        return KeyChoice(KeyPlace.STORE, {})  # no certificate is named, and a key is
    from kspsign.cli.signtool.candidates import filtered, find_candidates  # noqa: PLC0415 - it brings the store

    folder = Path(str(configured["store"])) if configured.get("store") else default_store_folder()
    found = filtered(find_candidates(folder, machine=call.has("sm")), call, thumbprint)
    speech.trace("", "The following certificates were considered:")
    for candidate in found.considered:
        speech.trace(*candidate.words.lines())
    speech.trace(*(f"After {name} filter, {count} certs were left." for name, count in found.counts))
    if found.left:
        return _of_candidate(_only(found.left, call, speech), call)
    if configured.get("key_store") is not None:
        return KeyChoice(KeyPlace.STORE, {} if thumbprint is None else {"thumbprint": thumbprint})
    speech.trace("After Private Key filter, 0 certs were left.")
    dropped = next((name for name, count in found.counts if not count), "")
    cause = f"the {dropped} filter left none of {len(found.considered)} in {folder}"
    raise SignToolError(words.NO_CERTIFICATES, _SYNCHRONISE, cause=cause)


def _of_candidate(candidate: SigningCandidate, call: Call) -> KeyChoice:
    settings: dict[str, Any] = {"thumbprint": candidate.thumbprint, "key_store": None}
    if candidate.in_windows:
        location = "system" if call.has("sm") else "user"
        settings |= {"key_store": "windows", "certificate_store": location}
    return KeyChoice(KeyPlace.STORE, settings, candidate.parsed)


def _only(left: tuple[SigningCandidate, ...], call: Call, speech: Speech) -> SigningCandidate:
    """The one to sign with; the best under /a. Raises SignToolError for several."""
    if len(left) == 1 or call.has("a"):
        # The one that is valid for the longest time; of equals the one issued last.
        return max(left, key=lambda found: (found.parsed.not_valid_after_utc, found.parsed.not_valid_before_utc))
    speech.say("", "The following certificates have been found to be suitable for signing:")
    for candidate in (*left, *left):  # SignTool lists them twice, before its error and after it
        speech.say(*candidate.words.lines())
    raise SignToolError(words.SEVERAL_CERTIFICATES)


def additional_certificates(call: Call) -> tuple[bytes, ...]:
    """The certificates of /ac, DER. Raises SignToolError for a file that is missing or holds none."""
    from kspsign.certificates.file import parse_certificates  # noqa: PLC0415 - it brings PKCS#7

    found: list[bytes] = []
    for path in (_readable_path(name, "ac") for name in call.values("ac")):
        certificates = parse_certificates(_content(path, "ac"))
        if not certificates:
            raise SignToolError(
                f"An error occurred while attempting to load the signing\n\tcertificate from: {visible(str(path))}",
                "/ac takes a certificate in DER, PEM or PKCS#7.",
                cause="it holds no certificate",
            )
        found += map(to_der, certificates)
    return tuple(dict.fromkeys(found))


def show_selected(certificate: words.CertificateWords, speech: Speech) -> None:
    """The certificate that signs, under /v."""
    speech.detail("The following certificate was selected:", *certificate.lines())


def _check_criteria(call: Call, certificate: x509.Certificate, leaf: bytes) -> None:
    """Whether the certificate of /f meets the criteria for one; raises SignToolError."""
    from kspsign.cli.signtool.candidates import SigningCandidate, filtered  # noqa: PLC0415 - it brings the store

    if not filtered([SigningCandidate(certificate, (leaf,))], call, None).left:
        raise SignToolError(
            words.NO_CERTIFICATES,
            "Give the code-signing certificate itself, and renew it when it has expired.",
            cause="the certificate of /f is not for code signing, has expired, or another one is asked for",
        )


def _same(wanted: str | None, found: str) -> str:
    if wanted not in {None, found}:
        raise SignToolError(
            "No certificate was found with the specified SHA1 Hash.",
            "Leave /sha1 out, or give the file of that certificate.",
            cause=f"/f is certificate {found}",
        )
    return found


def _readable(call: Call, option: str) -> Path:
    """The file that an option names, backslashes as the system writes folders. Raises SignToolError."""
    return _readable_path(call.value(option) or "", option)


def _readable_path(name: str, option: str) -> Path:
    from kspsign.cli.signtool.files import native_path  # noqa: PLC0415 - it brings the formats

    path = native_path(name)
    if not path.is_file():
        raise SignToolError(f"File not found: {visible(name)}", f"Correct /{option}.")
    return path


def _content(path: Path, option: str) -> bytes:
    """The content of the file that an option names. Raises SignToolError when it can't be read."""
    try:
        return path.read_bytes()
    except OSError as unreadable:
        raise SignToolError(
            f"An error occurred while attempting to load the signing\n\tcertificate from: {visible(str(path))}",
            f"Let this user read the file, or correct /{option}.",
            cause=unreadable.strerror or "",
        ) from unreadable
