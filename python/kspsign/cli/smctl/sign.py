"""`smctl sign`: the path certsync -> sign -> verify for what smctl's flags mean, with an exit code that says so."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from kspsign.certificates.file import read_certificate_file
from kspsign.certificates.parse import thumbprint_of
from kspsign.cli.commands import perform
from kspsign.cli.smctl.console import SmctlConsole
from kspsign.cli.smctl.grammar import ParsedFlags
from kspsign.cli.smctl.session import KEY_STORE, settings_for
from kspsign.cli.smctl.verbs import EXIT_FAILED
from kspsign.model.errors import CancelledError, ConfigurationError
from kspsign.publishing import prepared
from kspsign.settings.context import RunContext

_DIGESTS: Final = ("sha256", "sha384", "sha512")
_SIGALG: Final = re.compile(r"(sha-?(?:256|384|512))with(?:rsa|ecdsa)", re.IGNORECASE)
_OTHER_TOOLS: Final = {"jarsigner", "apksigner", "mage", "gpg", "cosign", "codesign"}


def sign(given: ParsedFlags, environment: Mapping[str, str], out: TextIO) -> int:
    """Sign what --input names; 0 when every file is signed and verified, else 1.

    As smctl does it, a signature that is there is replaced, unless --unsigned asks for unsigned files only. Raises
    ConfigurationError for what the flags leave open, and what the settings raise.
    """
    settings = settings_for("sign", environment, _settings(given))
    context = RunContext.from_environment(environment, is_tty=False)

    def opened() -> SmctlConsole:
        return SmctlConsole(
            prepared(out, context), prepared(sys.stderr, context), quiet=settings.quiet, verbose=settings.verbose
        )

    report = perform(settings, context, opened)
    if report.exit_code == CancelledError.exit_code:
        return CancelledError.exit_code
    return EXIT_FAILED if report.exit_code else 0


def _settings(given: ParsedFlags) -> dict[str, Any]:
    """The settings that the flags mean; None where a flag is missing, so that the configuration file decides."""
    pattern = input_pattern(given)
    _check_tool(given.text("tool"))
    return {
        **_key(given),
        "files": [pattern],
        "digest": _digest(given),
        "no_timestamp": True if not given.is_on("timestamp", default=True) else None,
        "description": given.text("description"),
        "description_url": given.text("description-url"),
        "skip_signed": given.is_on("unsigned") or None,
        "replace": None if given.is_on("unsigned") else True,
        "fail_fast": given.is_on("failfast") or None,
        "quiet": given.is_on("quiet") or None,
        "verbose": given.is_on("verbose") or None,
    }


def _key(given: ParsedFlags) -> dict[str, Any]:
    """The key pair by its alias, or a synchronised certificate by its thumbprint, or both, which must fit."""
    alias, thumbprint = given.text("keypair-alias"), given.text("fingerprint")
    if len(given.arguments) > (1 if alias is None else 0):
        raise ConfigurationError(
            f"{len(given.arguments)} further arguments are given", remedy="Name what to sign with --input."
        )
    alias = alias or next(iter(given.arguments), None)
    if alias is None and thumbprint is None:
        raise ConfigurationError(
            'required flag(s) "keypair-alias" not set',
            remedy="Name the key pair with --keypair-alias, or a synchronised certificate with --fingerprint.",
        )
    certificate = given.text("certificate")
    if certificate is not None:
        leaf = thumbprint_of(read_certificate_file(Path(certificate))[0])
        if thumbprint is not None and thumbprint.upper() != leaf:
            raise ConfigurationError(
                "--certificate and --fingerprint name different certificates", remedy="Leave one of them out."
            )
        thumbprint = leaf
    store = {} if alias is None else {"key_store": KEY_STORE, "keypair_alias": alias}
    return {**store, "thumbprint": thumbprint, "account_id": given.text("account-id")}


def input_pattern(given: ParsedFlags) -> str:
    """--input as one pattern: a name that begins like a list or an exclusion is a name. Raises ConfigurationError
    without one."""
    source = given.text("input")
    if source is None:
        raise ConfigurationError(
            'required flag(s) "input" not set', remedy="Name a file, a folder or a pattern: --input."
        )
    return f"./{source}" if source[:1] in {"@", "!", "#"} else source


def _digest(given: ParsedFlags) -> str | None:
    """--digalg, or the digest within --sigalg. Raises ConfigurationError where they differ or can't be."""
    named = [given.text("digalg")]
    if (algorithm := given.text("sigalg")) is not None:
        found = _SIGALG.fullmatch(algorithm)
        if found is None:
            raise ConfigurationError(
                "--sigalg is not a signature algorithm of Authenticode",
                remedy="SHA256withRSA or SHA256withECDSA, also with SHA384 or SHA512; or leave it out.",
            )
        named.append(found[1])
    digests = {name.lower().replace("-", "") for name in named if name is not None}
    if digests - {*_DIGESTS} or len(digests) > 1:
        raise ConfigurationError(
            "--digalg and --sigalg differ" if len(digests) > 1 else "--digalg is not a digest that may be signed",
            remedy="SHA-256, SHA-384 or SHA-512; SHA-1 is refused by Windows.",
        )
    return next(iter(digests), None)


def _check_tool(tool: str | None) -> None:
    if tool is not None and tool.lower() in _OTHER_TOOLS:
        raise ConfigurationError(
            f"--tool {tool.lower()} signs formats that kspsign does not",
            remedy="Use DigiCert's smctl for them; kspsign signs what its page of formats lists.",
        )
