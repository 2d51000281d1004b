"""Key store windows: `smctl windows certsync`, then the thumbprint from the Windows store itself.

What smctl prints is for people. The store tells what is there: the friendly name (the alias), the key's provider
and container, and the certificate, whose newest valid one is taken.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cryptography import x509

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.file import read_certificate_file
from kspsign.certificates.parse import parse_certificate
from kspsign.certsync.candidates import Candidate, candidates_of, matching, near_miss, newest_valid
from kspsign.certsync.windows_certificates import read_store
from kspsign.diagnosis import diagnose
from kspsign.model.errors import ConfigurationError, PrerequisiteError, TrustError
from kspsign.model.values import SyncedCertificate
from kspsign.programs import call_tool, find_smctl
from kspsign.programs.client_tools import install_client_tools
from kspsign.settings.model import Settings

CERTSYNC_TIMEOUT = 180.0
_CHECK = (
    "`kspsign doctor` checks the credentials (SM_HOST, SM_API_KEY, SM_CLIENT_CERT_FILE, SM_CLIENT_CERT_PASSWORD); "
    "`smctl keypair ls` lists the aliases, which are case-sensitive."
)


def synchronise_windows(settings: Settings, notice: Callable[[str], object]) -> SyncedCertificate:
    """The certificate that SignTool finds by thumbprint, or the one in --certificate; costs no signature.

    Raises ConfigurationError when neither alias nor thumbprint is given, PrerequisiteError when --tools-msi can't be
    installed, when certsync fails and no valid certificate is there, or when none, or none that is valid, matches.
    """
    if settings.certificate is None and settings.keypair_alias is None and settings.thumbprint is None:
        raise ConfigurationError(
            "key store windows needs the key pair's alias or the certificate's thumbprint",
            remedy="Name it with --keypair-alias (case-sensitive; `smctl keypair ls` lists them) or --thumbprint.",
        )
    install_client_tools(settings, notice)
    if settings.certificate is not None:
        return _from_file(settings)
    before = _present(settings)
    present = newest_valid(matching(before, settings), datetime.now(UTC))
    if settings.keypair_alias is not None:
        _certsync(settings, before, present, notice)
    elif present is not None:
        notice(f"certificate {present.thumbprint} is in the store already and valid until {present.until}")
    return _chosen(settings, _present(settings))


def _certsync(
    settings: Settings, before: Sequence[Candidate], present: Candidate | None, notice: Callable[[str], object]
) -> None:
    """Run it once; its failure counts only while no valid certificate is there."""
    try:
        _run_certsync(settings, before, notice)
    except PrerequisiteError as failed:
        if present is None:
            raise
        notice(
            f"certificate {present.thumbprint} is synchronised already and valid until {present.until}; "
            f"certsync itself failed: {failed.message}"
        )


def _run_certsync(settings: Settings, before: Sequence[Candidate], notice: Callable[[str], object]) -> None:
    smctl = find_smctl(settings)
    notice(f"certsync by {smctl}")
    arguments = ["windows", "certsync", f"--keypair-alias={settings.keypair_alias}"]
    if settings.certificate_store == "system":
        arguments += ["--store", "system"]
    if settings.account_id is not None:
        arguments += ["--account-id", settings.account_id]
    ran = call_tool(settings, smctl.path, arguments, timeout=CERTSYNC_TIMEOUT, with_credentials=True)
    if ran.exit_code == 0:
        return
    ended = "did not end in time" if ran.exit_code is None else f"ended with exit code {ran.exit_code}"
    near = near_miss(settings.keypair_alias or "", before)
    hint = f"Did you mean the alias {near}? It is case-sensitive. " if near else ""
    known = next((diagnosis for diagnosis in diagnose(ran.text) if diagnosis.exact), None)
    raise PrerequisiteError(
        f"smctl windows certsync {ended}: {ran.text or 'it printed nothing'}" + (f" {known.cause}" if known else ""),
        code="CERTSYNC_FAILED",
        remedy=hint + (known.remedy if known else _CHECK),
    )


def _chosen(settings: Settings, present: Sequence[Candidate]) -> SyncedCertificate:
    found = matching(present, settings)
    chosen = newest_valid(found, datetime.now(UTC))
    wanted = settings.thumbprint or settings.keypair_alias or ""
    if chosen is None:
        listed = "; ".join(map(str, found or present)) or "none"
        near = near_miss(wanted, present)
        why = "none that is valid now matches" if found else "no certificate matches"
        raise PrerequisiteError(
            f"{why} {wanted} in the certificate store My of the {settings.certificate_store}; there: {listed}",
            code="CERTIFICATE_NOT_VALID" if found else "CERTIFICATE_NOT_FOUND",
            remedy="Renew the certificate and run certsync again."
            if found
            else (f"Did you mean {near}? " if near else "")
            + "certsync fills the store of the user that runs it: run it in the same job, as the same user.",
        )
    return _synced(chosen, settings)


def _synced(chosen: Candidate, settings: Settings) -> SyncedCertificate:
    if chosen.provider is None or chosen.container is None:
        raise PrerequisiteError(
            f"certificate {chosen.thumbprint} is in the store, but no private key hangs on it",
            code="NO_PRIVATE_KEY",
            remedy="Run certsync (it links the certificate with the KSP's key); importing the file alone does not.",
        )
    return SyncedCertificate(
        thumbprint=chosen.thumbprint,
        chain=ordered_chain(chosen.der, _known_issuers(chosen.der)),
        alias=settings.keypair_alias or chosen.friendly_name,
        key_store="windows",
        key_reference={
            "store": settings.certificate_store,
            "provider": chosen.provider,
            "container": chosen.container,
        },
        test_signing=False,
    )


def _from_file(settings: Settings) -> SyncedCertificate:
    """Method 1: the certificate from its file, the key by KSP and alias; no store, no certsync."""
    if settings.certificate is None or settings.keypair_alias is None:
        raise ConfigurationError("certificate needs keypair_alias", remedy="Name it with --keypair-alias.")
    leaf, others = read_certificate_file(settings.certificate)
    return SyncedCertificate(
        thumbprint=hashlib.sha1(leaf, usedforsecurity=False).hexdigest().upper(),
        chain=ordered_chain(leaf, (*others, *(_known_issuers(leaf) if sys.platform == "win32" else ()))),
        alias=settings.keypair_alias,
        key_store="windows",
        key_reference={
            "certificate": str(settings.certificate.absolute()),
            "provider": settings.csp,
            "container": settings.keypair_alias,
        },
        test_signing=False,
    )


def _present(settings: Settings) -> tuple[Candidate, ...]:
    return candidates_of(read_store(settings.certificate_store, "MY"))


def _known_issuers(leaf: bytes) -> tuple[x509.Certificate, ...]:
    """What the machine knows of the CAs above `leaf`: intermediates that certsync or a policy put there, and roots.

    Only certificates that hold the name of an issuer are parsed: a store is full of odd strangers.
    """
    stores = [read_store(location, name) for location in ("user", "system") for name in ("CA", "ROOT")]
    pool = {each.der for store in stores for each in store}
    found: list[x509.Certificate] = []
    names = [parse_certificate(leaf).issuer]
    while names:
        wanted = names.pop().public_bytes()
        for der in [each for each in pool if wanted in each]:
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
        return None  # what can't be read is no issuer of ours
