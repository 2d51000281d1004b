"""Checks the certificates of a chain for revocation, by OCSP (RFC 6960) and CRL (RFC 5280 §5).

As Windows does: an answer must be current now, and what it says counts from its date on, so that a signature that
was stamped before holds. Stricter than Windows: a compromised key is good for no signature of any time, nor is a
timestamp authority that was revoked without a reason (RFC 3161 §4); and what can't be found out is a failure.
"""

from kspsign.verifying.revocation.judge import Revocation

__all__ = ["Revocation"]
