"""The policy file: requirements on signatures beyond being valid, and the judge that applies them.

Nothing of it is loaded unless a policy is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kspsign.settings.model import Settings

if TYPE_CHECKING:
    from kspsign.verifying.policy.judge import Judge

__all__ = ["open_policy", "policy_schema"]


def open_policy(settings: Settings) -> Judge | None:
    """What judges files by --policy; None without.

    Raises ConfigurationError naming file, line and key when the file is wrong, or when other settings contradict it.
    """
    if settings.policy is None:
        return None
    from kspsign.verifying.policy.read import read_policy  # noqa: PLC0415 - only runs with a policy need it

    return read_policy(settings.policy, settings)


def policy_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a policy file."""
    from kspsign.verifying.policy.model import Policy  # noqa: PLC0415 - only `kspsign schema` needs it

    schema = Policy.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "kspsign policy"}
