"""The commands of smctl that kspsign has, with their flags; of the others, what to use instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kspsign.cli.smctl.grammar import Flag
from kspsign.model.errors import ConfigurationError
from kspsign.model.suggest import did_you_mean

EXIT_FAILED: Final = 1
"""smctl has one code for every failure."""
_ACCOUNT: Final = Flag("account-id", "DigiCert ONE account, where there are several")
_ALIAS: Final = Flag("keypair-alias", "alias of the key pair (case-sensitive)")


@dataclass(frozen=True, slots=True)
class Verb:
    """A command: what it does, its flags, and the function that runs it (`module:function`).

    The function takes the flags, the environment and standard output, and returns 0 or EXIT_FAILED. `argument` names
    the further argument that the command may have, "" for none.
    """

    summary: str
    runner: str
    flags: tuple[Flag, ...] = ()
    argument: str = ""


VERBS: Final[Mapping[tuple[str, ...], Verb]] = {
    ("healthcheck",): Verb(
        "check credentials, privileges and signing tools",
        "kspsign.cli.smctl.healthcheck:healthcheck",
        (
            Flag("all", "credentials and tools (default)", switch=True),
            Flag("tools", "signing tools only", switch=True),
            Flag("user", "credentials and privileges only", switch=True),
        ),
    ),
    ("windows", "certsync"): Verb(
        "synchronise certificates to this machine",
        "kspsign.cli.smctl.certsync:certsync",
        (
            _ALIAS,
            Flag("keypair-type", "only key pairs of this type", values=("PRODUCTION", "TEST")),
            Flag("store", "Windows: whose certificate store (default user)", values=("user", "system")),
            _ACCOUNT,
        ),
    ),
    ("windows", "ksp", "list"): Verb("list the KSP names of `signtool /csp`", "kspsign.cli.smctl.ksp:list_ksps"),
    ("keypair", "ls"): Verb(
        "list key pairs",
        "kspsign.cli.smctl.keypair:keypair_ls",
        (Flag("filter", "FIELD=VALUE with alias, key_alg, key_size, curve or key_status", "f"), _ACCOUNT),
    ),
    ("certificate", "ls"): Verb("list certificates", "kspsign.cli.smctl.certificate:certificate_ls", (_ACCOUNT,)),
    ("certificate", "download"): Verb(
        "save a certificate, without its private key",
        "kspsign.cli.smctl.certificate:download",
        (
            _ALIAS,
            Flag("keypair-id", "id of the key pair"),
            Flag("chain", "also its issuers", "c", switch=True),
            Flag("issuer-first", "with --chain: the root first", switch=True),
            Flag("format", "pem (default) or der", "f", values=("pem", "der")),
            Flag("name", "name of the file (default: alias of the certificate)", "n"),
            Flag("out", "folder (default: the working folder)", "o"),
            _ACCOUNT,
        ),
        argument="certificate id",
    ),
    ("sign",): Verb(
        "sign files, verify each signature, and say which failed; exit code 1 if one did",
        "kspsign.cli.smctl.sign:sign",
        (
            replace(_ALIAS, letter="k"),
            Flag("fingerprint", "SHA-1 thumbprint of a synchronised certificate", "f"),
            Flag("input", "file, folder or pattern", "i"),
            Flag("certificate", "certificate file that the key pair's certificate must equal"),
            Flag("digalg", "digest (default SHA-256)", "d"),
            Flag("sigalg", "signature algorithm; must fit key and digest"),
            Flag("timestamp", "--timestamp=false signs without timestamp", switch=True),
            Flag("description", "program name that Windows shows"),
            Flag("description-url", "URL that Windows shows"),
            Flag("unsigned", "only files that are not signed yet", switch=True),
            Flag("failfast", "stop at the first file that fails", switch=True),
            Flag("verbose", "print every check of every file", "v", switch=True),
            Flag("quiet", "print failures only", "q", switch=True),
            Flag("exit-non-zero-on-fail", "always so here", switch=True),
            Flag("simple", "always so here: no other tool is started", switch=True),
            Flag("tool", "not used: kspsign signs every format itself", "t"),
            Flag("config-file", "not used: no PKCS#11 library is loaded"),
            _ACCOUNT,
        ),
        argument="keypair alias",
    ),
    ("sign", "verify"): Verb(
        "verify the signatures of files strictly; exit code 1 if one does not verify",
        "kspsign.cli.smctl.verify:verify",
        (
            Flag("input", "file, folder or pattern", "i"),
            Flag("fingerprint", "SHA-1 thumbprint of the certificate that must have signed", "f"),
            Flag("verbose", "print every check of every file", "v", switch=True),
            Flag("quiet", "print failures only", "q", switch=True),
            Flag("tool", "not used: kspsign verifies every format itself", "t"),
        ),
    ),
    ("credentials", "save"): Verb(
        "accepted where SM_API_KEY and SM_CLIENT_CERT_PASSWORD hold the same: nothing is saved",
        "kspsign.cli.smctl.credentials:save",
        argument="API key and password",
    ),
}
_SYNONYMS: Final = {
    "cert": "certificate",
    "creds": "credentials",
    "kp": "keypair",
    "signature": "sign",
    "list": "ls",
    "save": "download",
}
_ELSEWHERE: Final[Mapping[tuple[str, ...], str]] = {
    ("windows", "ksp", "register"): "Nothing is to be registered: `kspsign signtool` takes the KSP's name as it is.",
    ("windows", "ksp", "unregister"): "kspsign registers no KSP; use DigiCert's smctl for its own.",
    ("windows", "certdesync"): "Delete the folder of the thumbprint in kspsign's store, or use DigiCert's smctl.",
    ("sign", "remove"): "Use `kspsign signtool remove /s FILE`.",
    ("credentials",): "kspsign saves no credentials: SM_API_KEY and SM_CLIENT_CERT_PASSWORD hold them for each call.",
}
"""Commands of smctl that kspsign leaves out, and what does their work."""
_OTHERS: Final = "kspsign has the commands of smctl that signing needs; use DigiCert's smctl for the others."


def find_verb(arguments: Sequence[str]) -> tuple[tuple[str, ...], Verb, Sequence[str]]:
    """The words, the command that they name, and the arguments after them. Raises ConfigurationError."""
    words = _words(arguments)
    found = max((path for path in VERBS if words[: len(path)] == path), key=len, default=None)
    elsewhere = next((path for path in _ELSEWHERE if words[: len(path)] == path), None)
    if elsewhere is not None and len(elsewhere) > len(found or ()):
        raise ConfigurationError(
            f"smctl {' '.join(elsewhere)} is not a command of kspsign", remedy=_ELSEWHERE[elsewhere]
        )
    if found is None:
        near = did_you_mean(" ".join(words[:2]), map(" ".join, VERBS))
        raise ConfigurationError('unknown command for "smctl"', remedy=f"{near}{_OTHERS}")
    return found, VERBS[found], arguments[len(found) :]


def _words(arguments: Sequence[str]) -> tuple[str, ...]:
    """The words at the beginning, each by its full name."""
    words: list[str] = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        words.append(_SYNONYMS.get(argument, argument))
    if words[:2] == ["windows", "ksp"] and words[2:3] == ["ls"]:
        words[2] = "list"
    if words[:2] == ["credentials", "download"]:
        words[1] = "save"
    return tuple(words)
