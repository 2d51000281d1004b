"""What AWS's refusals mean: the exception's name in a JSON body (`__type`) or an XML one, as errors with a remedy."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from kspsign.certificates.validity import CLOCK_SKEW
from kspsign.keys.rest import ServiceErrors, ServiceMeaning, one_line
from kspsign.model.errors import PrerequisiteError, SigningError
from kspsign.network.exchange import HttpAnswer
from kspsign.network.failures import status_text

_ErrorT = TypeVar("_ErrorT", PrerequisiteError, SigningError)
_XML_CODE, _XML_MESSAGE = re.compile(r"<Code>([\w.]{1,100})</Code>"), re.compile(r"<Message>([^<]{0,2000})</Message>")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The exception's name ("" where a body is not AWS's), what it says, and the id that AWS's support asks for."""

    name: str
    said: str
    request_id: str


_SIGN_IN: Final = ServiceMeaning(
    "AWS_SIGN_IN",
    "Check where the credential comes from (kspsign doctor names it): AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
    "AWS_SESSION_TOKEN must be of one sign-in, and the key's partition must be theirs.",
)
_EXPIRED: Final = ServiceMeaning(
    "AWS_SIGN_IN",
    "The temporary credential has expired: sign in again just before this step, or let kspsign do it with "
    "--aws-role-arn and the pipeline's OIDC token.",
)
_CLOCK: Final = ServiceMeaning(
    "AWS_CLOCK", "Correct the agent's clock: AWS refuses what is signed more than 5 minutes off its own."
)
_FORBIDDEN: Final = ServiceMeaning(
    "AWS_KMS_FORBIDDEN",
    "Allow kms:Sign, kms:GetPublicKey and kms:DescribeKey for this identity, in the key's policy and in IAM; look at "
    "the policies of the VPC endpoint and the organisation too.",
)
_ROLE: Final = ServiceMeaning(
    "AWS_ROLE",
    "Check the role's trust policy: its OIDC provider, audience (GitHub: sts.amazonaws.com; Azure Pipelines: "
    "api://AzureADTokenExchange) and subject must be those of the pipeline's token, and --aws-role-arn the role.",
)
_NOT_FOUND: Final = ServiceMeaning(
    "AWS_KMS_NOT_FOUND",
    "Correct --kms-key and --aws-region; a key of another account must be given as ARN.",
)
_DISABLED: Final = ServiceMeaning("AWS_KMS_DISABLED", "Enable the key in AWS KMS, or name another key.")
_STATE: Final = ServiceMeaning(
    "AWS_KMS_STATE",
    "Look at the key's state in the KMS console: cancel its deletion, import its key material again, or name another "
    "key.",
)
_USAGE: Final = ServiceMeaning(
    "AWS_KMS_USAGE", "Name an asymmetric key with usage SIGN_VERIFY, and a --digest that it signs."
)
_BUSY: Final = ServiceMeaning(
    "AWS_KMS_THROTTLED",
    "Lower --jobs, or have the account's request quota for asymmetric keys raised in Service Quotas.",
)
_UNAVAILABLE: Final = ServiceMeaning(
    "AWS_KMS_UNAVAILABLE",
    "Look at health.aws.amazon.com (for a key in CloudHSM: at the cluster) and run again: files that are signed "
    "already are skipped.",
)
_REFUSED: Final = ServiceMeaning("AWS_KMS_REFUSED", "Look for the request id in AWS CloudTrail.")
_ELSEWHERE: Final = ServiceMeaning(
    "AWS_KMS_ANSWER",
    "Check --kms-endpoint and --aws-region, and that no proxy or firewall answers in the service's place.",
)
_UNREACHABLE: Final = ServiceMeaning(
    "AWS_KMS_UNREACHABLE",
    "Check --aws-region and --kms-endpoint, and that the agent's firewall and proxy (HTTPS_PROXY) let port 443 of it "
    "through; name the CA of a proxy that opens TLS with --ca-file.",
)
ERRORS: Final = ServiceErrors(
    "AWS",
    _UNREACHABLE,
    _ELSEWHERE,
    "Run again to sign the file; AWS CloudTrail shows whether the key signed before.",
)
BUSY: Final = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestLimitExceeded",
        "LimitExceededException",
        "TooManyRequestsException",
        "KeyUnavailableException",
        "KMSInternalException",
        "ServiceUnavailableException",
        "ServiceUnavailable",
        "IDPCommunicationError",
    }
)
"""Refused without acting on it; the service says itself that the request can be repeated."""
_MEANINGS: Final = {
    **dict.fromkeys(BUSY, _UNAVAILABLE),
    **dict.fromkeys(
        (
            "ThrottlingException",
            "Throttling",
            "ThrottledException",
            "RequestLimitExceeded",
            "LimitExceededException",
            "TooManyRequestsException",
        ),
        _BUSY,
    ),
    **dict.fromkeys(
        (
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "IncompleteSignatureException",
            "IncompleteSignature",
            "MissingAuthenticationTokenException",
            "MissingAuthenticationToken",
            "OptInRequired",
        ),
        _SIGN_IN,
    ),
    **dict.fromkeys(("ExpiredTokenException", "ExpiredToken"), _EXPIRED),
    **dict.fromkeys(("RequestExpired", "RequestTimeTooSkewed"), _CLOCK),
    **dict.fromkeys(("AccessDeniedException", "AccessDenied", "NotAuthorized", "KMSAccessDeniedException"), _FORBIDDEN),
    **dict.fromkeys(("InvalidIdentityToken", "ExpiredTokenForRole", "IDPRejectedClaim"), _ROLE),
    **dict.fromkeys(("NotFoundException", "InvalidArnException", "InvalidAliasNameException"), _NOT_FOUND),
    "DisabledException": _DISABLED,
    **dict.fromkeys(("KMSInvalidStateException", "InvalidStateException"), _STATE),
    **dict.fromkeys(
        ("InvalidKeyUsageException", "IncorrectKeyException", "UnsupportedOperationException", "ValidationException"),
        _USAGE,
    ),
    "DependencyTimeoutException": _UNAVAILABLE,
}
_SIGNATURES: Final = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch"})
_OUT_OF_TIME: Final = ("signature expired", "signature not yet current")


def read_refusal(answer: HttpAnswer) -> Refusal:
    """What an answer that is not a success says."""
    text = answer.body.decode("utf-8", "replace")
    request_id = one_line(answer.headers.get("x-amzn-requestid", ""))
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict):
        name = str(parsed.get("__type") or answer.headers.get("x-amzn-errortype", "")).partition(":")[0]
        said = parsed.get("message") or parsed.get("Message") or ""
        return Refusal(name.rpartition("#")[2], one_line(str(said)), request_id)
    code, message = _XML_CODE.search(text), _XML_MESSAGE.search(text)
    if code is not None:
        return Refusal(code[1], one_line(message[1]) if message else "", request_id)
    return Refusal("", one_line(text), request_id)


def is_passing(answer: HttpAnswer) -> bool:
    """Whether asking again may help, where it is free."""
    return answer.status >= 500 or read_refusal(answer).name in BUSY


def refused(
    answer: HttpAnswer, asked: str, error_class: type[_ErrorT], *, role: bool = False, detail: str = ""
) -> _ErrorT:
    """The error for a refusal of what was `asked`; `role` where it is of a role to be assumed."""
    refusal = read_refusal(answer)
    meaning = _meaning(answer, refusal, role=role)
    said = ": ".join(filter(None, (refusal.name, refusal.said)))
    message = f"AWS refused {asked}: {status_text(answer.status)}" + (f": {said}" if said else " (empty body)")
    if meaning is _CLOCK and (offset := clock_offset(answer)) is not None:
        message += f"; {offset}"
    if refusal.request_id:
        message += f" (request {refusal.request_id})"
    return error_class(message + detail, code=meaning.code, remedy=meaning.remedy)


def clock_offset(answer: HttpAnswer) -> str | None:
    """How far the agent's clock is off the service's, in words; None where it is not, or the answer has no date."""
    try:
        service = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    if service.tzinfo is None:
        return None
    offset = datetime.now(UTC) - service
    if abs(offset) < CLOCK_SKEW:
        return None
    minutes = round(abs(offset) / timedelta(minutes=1))
    return f"the agent's clock is {minutes} minutes {'fast' if offset > timedelta() else 'slow'} by the service's"


def _meaning(answer: HttpAnswer, refusal: Refusal, *, role: bool) -> ServiceMeaning:
    if not refusal.name:
        return _UNAVAILABLE if answer.status >= 500 else _ELSEWHERE
    said = refusal.said.casefold()
    if refusal.name in _SIGNATURES and any(words in said for words in _OUT_OF_TIME):
        return _CLOCK
    if refusal.name in _SIGNATURES and "should be scoped to" in said:
        return _ELSEWHERE
    found = _MEANINGS.get(refusal.name)
    if role and (found in {_FORBIDDEN, _EXPIRED, _USAGE} or found is None) and answer.status < 500:
        return _ROLE
    return found or (_UNAVAILABLE if answer.status >= 500 else _REFUSED)
