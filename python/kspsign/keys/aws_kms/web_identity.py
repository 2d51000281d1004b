"""AssumeRoleWithWebIdentity of AWS STS: a temporary credential of a role for a token that the role trusts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self
from urllib.parse import urlencode

from kspsign.keys.attempts import Attempts
from kspsign.keys.aws_kms.address import KeyAddress
from kspsign.keys.aws_kms.errors import ERRORS, is_passing, refused
from kspsign.keys.aws_kms.sigv4 import AwsKeys
from kspsign.keys.rest import USER_AGENT, send
from kspsign.model.errors import ConfigurationError, PrerequisiteError
from kspsign.network.exchange import Question
from kspsign.network.pool import Pool

_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,600}", re.ASCII)
_SESSION: Final = re.compile(r"[^\w+=,.@-]", re.ASCII)
_ATTEMPTS: Final = 4
_FIELDS: Final = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")


@dataclass(frozen=True, slots=True)
class Role:
    """An IAM role and what CloudTrail calls this session of it."""

    arn: str
    session: str

    @classmethod
    def parse(cls, arn: str, session: str | None) -> Self:
        """Raises ConfigurationError for what is not the ARN of a role."""
        if not _ARN.fullmatch(arn):
            raise ConfigurationError(
                f"{arn!r} is not an IAM role",
                remedy="Copy its ARN from the IAM console to --aws-role-arn: arn:aws:iam::ACCOUNT:role/NAME.",
            )
        return cls(arn, (_SESSION.sub("-", session or "") or "kspsign")[:64])


def assume(
    role: Role, token: str, address: KeyAddress, pool: Pool, pause: Callable[[float], bool]
) -> tuple[AwsKeys, datetime]:
    """A credential of `role` and its end. Raises PrerequisiteError when STS gives none, CancelledError."""
    asked = f"to assume role {role.arn}"
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role.arn,
        "RoleSessionName": role.session,
        "WebIdentityToken": token,
    }
    headers = {
        "Accept": "text/xml",
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "User-Agent": USER_AGENT,
    }
    question = Question("POST", f"{address.sts}/", urlencode(form).encode(), headers)
    answer = Attempts(pause, ERRORS, _ATTEMPTS).free(
        lambda attempt: send(pool, question, attempt=attempt, secrets=(token,)), f"a request {asked}", is_passing
    )
    if answer.status != 200:
        raise refused(answer, asked, PrerequisiteError, role=True)
    return _credential(answer.body.decode("utf-8", "replace"), asked)


def _credential(text: str, asked: str) -> tuple[AwsKeys, datetime]:
    """The fields of the XML answer, whose values need no escapes (base64, letters and a date)."""
    found = {name: re.search(rf"<{name}>\s*([^<&\s]{{1,4096}})\s*</{name}>", text) for name in _FIELDS}
    values = [match[1] for match in found.values() if match is not None]
    if len(values) < len(_FIELDS):
        raise ERRORS.unusable(f"the request {asked}", "it holds no credential")
    try:
        end = datetime.fromisoformat(values[3])
    except ValueError as broken:
        raise ERRORS.unusable(f"the request {asked}", "the credential's end is not a date") from broken
    return AwsKeys(*values[:3]), end if end.tzinfo else end.replace(tzinfo=UTC)
