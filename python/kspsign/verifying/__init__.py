"""Stage 3: strict verification. The exit code of a signing command proves nothing; this does."""

from kspsign.verifying.policy import open_policy, policy_schema
from kspsign.verifying.signatures import read_signatures
from kspsign.verifying.signtool_check import open_second_opinion
from kspsign.verifying.verifier import Observer, Verifier, open_verifier

__all__ = [
    "Observer",
    "Verifier",
    "open_policy",
    "open_second_opinion",
    "open_verifier",
    "policy_schema",
    "read_signatures",
]
