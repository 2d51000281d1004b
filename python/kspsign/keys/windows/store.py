"""Key store windows: `smctl windows certsync`, then the thumbprint from the Windows store itself.

What smctl prints is for people. The store has the facts: the friendly name (the alias), the key's provider
and container, and the certificate, whose newest valid one is taken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Self

from cryptography import x509

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.file import read_certificate_file
from kspsign.certificates.parse import parse_certificate
from kspsign.diagnosis import diagnose
from kspsign.keys.prerequisites import Prerequisite
from kspsign.keys.protocol import OpenStore, Surroundings, notice_choice
from kspsign.keys.windows.candidates import Candidate, candidates_of, choice, matching, near_miss, newest_candidate
from kspsign.keys.windows.certificate_store import read_store
from kspsign.keys.windows.options import WindowsOptions
from kspsign.model.errors import ConfigurationError, PrerequisiteError, TrustError
from kspsign.programs.client_tools import install_client_tools
from kspsign.programs.locate import find_smctl
from kspsign.programs.run import call_tool

CERTSYNC_TIMEOUT = 180.0
_CHECK = (
    "`kspsign doctor` checks the credentials (SM_HOST, SM_API_KEY, SM_CLIENT_CERT_FILE, SM_CLIENT_CERT_PASSWORD); "
    "`smctl keypair ls` lists the aliases, which are case-sensitive."
)


class WindowsStore(OpenStore):
    """A certificate whose key SignTool reaches through its KSP. Nothing stays open."""

    name: Final = "windows"
    test_signing: Final = False

    def __init__(self, chain: tuple[bytes, ...], alias: str | None, reference: Mapping[str, str]) -> None:
        self.alias = alias
        self._chain = chain
        self._reference = dict(reference)

    @classmethod
    def open(cls, options: WindowsOptions, surroundings: Surroundings) -> Self:
        """The certificate that SignTool finds by thumbprint, or the one in --certificate; costs no signature.

        Raises ConfigurationError when neither alias nor thumbprint is given, PrerequisiteError when --tools-msi can't
        be installed, when certsync fails and no valid certificate is there, or when none, or none that is valid,
        matches.
        """
        check_named(options)
        if options.tools_msi is not None and options.tools_msi_sha256 is not None:
            install_client_tools(options.tools_msi, options.tools_msi_sha256, surroundings, surroundings.notice)
        if options.certificate is not None:
            return cls._of_file(options)
        before = _present(options)
        present = newest_candidate(matching(before, options), datetime.now(UTC))
        if options.keypair_alias is not None:
            _certsync(options, surroundings, before, present)
        elif present is not None:
            surroundings.notice(
                f"certificate {present.thumbprint} is in the store already and valid until {present.until}"
            )
        after = _present(options)
        chosen = _chosen(options, after)
        made = choice(chosen, after, options, datetime.now(UTC))
        notice_choice(surroundings.notice, made.remarks, superseded=made.superseded)
        return cls._of_candidate(chosen, options)

    @classmethod
    def examine(cls, options: WindowsOptions, surroundings: Surroundings) -> Iterable[Prerequisite]:
        """Windows, the vendor's programs, their credentials and service, KSP, alias and certificate."""
        from kspsign.keys.windows.examine import examine_windows  # noqa: PLC0415 - for the doctor alone

        return examine_windows(options, surroundings)

    def certificate_chain(self) -> tuple[bytes, ...]:
        """The certificate, and what the machine knows of its issuers."""
        return self._chain

    def key_reference(self) -> dict[str, str]:
        """Provider and container of the key, and where its certificate is: a Windows store or a file."""
        return dict(self._reference)

    @classmethod
    def _of_candidate(cls, chosen: Candidate, options: WindowsOptions) -> Self:
        if chosen.provider is None or chosen.container is None:
            raise PrerequisiteError(
                f"certificate {chosen.thumbprint} is in the store, but has no private key",
                code="NO_PRIVATE_KEY",
                remedy="Run certsync (it links the certificate with the KSP's key); importing the file alone does not.",
            )
        return cls(
            ordered_chain(chosen.der, known_issuers(chosen.der)),
            options.keypair_alias or chosen.friendly_name,
            {"store": options.certificate_store, "provider": chosen.provider, "container": chosen.container},
        )

    @classmethod
    def _of_file(cls, options: WindowsOptions) -> Self:
        """Method 1: the certificate from its file, the key by KSP and alias; no store, no certsync."""
        if options.certificate is None or options.keypair_alias is None:
            raise ConfigurationError("--certificate needs --keypair-alias", remedy="Name it with --keypair-alias.")
        leaf, others = read_certificate_file(options.certificate)
        issuers = known_issuers(leaf) if sys.platform == "win32" else ()
        return cls(
            ordered_chain(leaf, (*others, *issuers)),
            options.keypair_alias,
            {
                "certificate": str(options.certificate.absolute()),
                "provider": options.csp,
                "container": options.keypair_alias,
            },
        )


def check_named(options: WindowsOptions) -> None:
    """Raise ConfigurationError when neither key pair nor certificate is named."""
    if options.certificate is None and options.keypair_alias is None and options.thumbprint is None:
        raise ConfigurationError(
            "key store windows needs the key pair's alias or the certificate's thumbprint",
            remedy="Name it with --keypair-alias (case-sensitive; `smctl keypair ls` lists them) or --thumbprint.",
        )


def _certsync(
    options: WindowsOptions, surroundings: Surroundings, before: Sequence[Candidate], present: Candidate | None
) -> None:
    """Run it once; its failure counts only while no valid certificate is there."""
    try:
        _run_certsync(options, surroundings, before)
    except PrerequisiteError as failed:
        if present is None:
            raise
        surroundings.notice(
            f"certificate {present.thumbprint} is synchronised already and valid until {present.until}; "
            f"certsync itself failed: {failed.message}"
        )


def _run_certsync(options: WindowsOptions, surroundings: Surroundings, before: Sequence[Candidate]) -> None:
    smctl = find_smctl(surroundings)
    surroundings.notice(f"certsync by {smctl}")
    arguments = ["windows", "certsync", f"--keypair-alias={options.keypair_alias}"]
    if options.certificate_store == "system":
        arguments += ["--store", "system"]
    if options.account_id is not None:
        arguments += ["--account-id", options.account_id]
    ran = call_tool(surroundings, smctl.path, arguments, timeout=CERTSYNC_TIMEOUT, with_credentials=True)
    if ran.exit_code == 0:
        return
    ended = "did not finish in time" if ran.exit_code is None else f"ended with exit code {ran.exit_code}"
    near = near_miss(options.keypair_alias or "", before)
    hint = f"Did you mean the alias {near}? It is case-sensitive. " if near else ""
    known = next((diagnosis for diagnosis in diagnose(ran.text) if diagnosis.exact), None)
    raise PrerequisiteError(
        f"smctl windows certsync {ended}: {ran.text or 'it printed nothing'}" + (f" {known.cause}" if known else ""),
        code="CERTSYNC_FAILED",
        remedy=hint + (known.remedy if known else _CHECK),
    )


def _chosen(options: WindowsOptions, present: Sequence[Candidate]) -> Candidate:
    found = matching(present, options)
    chosen = newest_candidate(found, datetime.now(UTC))
    wanted = options.thumbprint or options.keypair_alias or ""
    if chosen is None:
        listed = "; ".join(map(str, found or present)) or "none"
        near = near_miss(wanted, present)
        why = "none that is valid now matches" if found else "no certificate matches"
        raise PrerequisiteError(
            f"{why} {wanted} in the certificate store My of the {options.certificate_store}; available: {listed}",
            code="CERTIFICATE_NOT_VALID" if found else "CERTIFICATE_NOT_FOUND",
            remedy="Renew the certificate and run certsync again."
            if found
            else (f"Did you mean {near}? " if near else "")
            + "certsync fills the store of the user that runs it: run it in the same job, under the same account.",
        )
    return chosen


def _present(options: WindowsOptions) -> tuple[Candidate, ...]:
    return candidates_of(read_store(options.certificate_store, "MY"))


def known_issuers(leaf: bytes) -> tuple[x509.Certificate, ...]:
    """The CAs above `leaf` that this machine knows: intermediates that certsync or a policy installed, and roots.

    Only certificates that hold an issuer's name are parsed: stores contain many unrelated and malformed ones.
    """
    stores = [read_store(location, name) for location in ("user", "system") for name in ("CA", "ROOT")]
    pool = {certificate.der for store in stores for certificate in store}
    found: list[x509.Certificate] = []
    names = [parse_certificate(leaf).issuer]
    while names:
        wanted = names.pop().public_bytes()
        for der in [candidate for candidate in pool if wanted in candidate]:
            pool.remove(der)
            parsed = _parsed(der)
            if parsed is not None:
                found.append(parsed)
                names.append(parsed.issuer)
    return tuple(found)


def _parsed(der: bytes) -> x509.Certificate | None:
    try:
        return parse_certificate(der)
    except TrustError:
        return None  # what can't be read is not an issuer of ours
