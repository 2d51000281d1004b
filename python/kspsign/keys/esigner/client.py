"""eSigner's API: signing costs, everything else is free.

    POST /csc/v0/credentials/list        the account's credentials
    POST /csc/v0/credentials/info        one of them: its certificates, its key, what an authorisation needs
    POST /scan/settings, /scan/hash      whether files are looked at for malware, and which file a hash is of
    POST /csc/v0/credentials/authorize   an authorisation (SAD) for some hashes, for a one-time password
    POST /csc/v0/signatures/signHash     their signatures, asked for once

CSC API 0.1.7.9, https://cloudsignatureconsortium.org; the scans are SSL.com's own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kspsign.keys.attempts import FIRST_PAUSE, Attempts
from kspsign.keys.esigner.environment import ESignerLogin
from kspsign.keys.esigner.errors import ERRORS, MALWARE, OTP, SIGN_IN, UNREACHABLE, meaning_of, refused
from kspsign.keys.esigner.sign_in import ESignerToken
from kspsign.keys.esigner.totp import OneTimePasswords
from kspsign.keys.protocol import Surroundings
from kspsign.keys.rest import USER_AGENT, Silence, is_header_token, one_line, read_object, retry_after, send
from kspsign.model.errors import LostSignatureError, PrerequisiteError, SigningError, ThrottledError
from kspsign.model.plurals import count
from kspsign.model.text import decode_base64
from kspsign.network.exchange import HttpAnswer, Question
from kspsign.network.pool import Pool
from kspsign.network.retry import pause_before

_EXCHANGE_SECONDS = 90.0
_MOST_PAGES = 20
_BUSY = frozenset({429, 503})
_GATEWAY = frozenset({502, 504})
_LOST = _GATEWAY | {500}
_SAME_SAD = 5
"""How often signatures are asked for with one authorisation while the service is too busy."""
_LIST, _INFO = "csc/v0/credentials/list", "csc/v0/credentials/info"
_AUTHORIZE, _SIGN = "csc/v0/credentials/authorize", "csc/v0/signatures/signHash"


class ESignerClient:
    """One account; safe to share between threads."""

    def __init__(self, login: ESignerLogin, surroundings: Surroundings) -> None:
        """Nothing is sent yet."""
        self.login = login
        self._pool = Pool(surroundings.network, deadline=_EXCHANGE_SECONDS, connections=surroundings.jobs)
        self._attempts = Attempts.of(surroundings, ERRORS)
        self.token = ESignerToken(login, self._pool, surroundings.cancelled.wait)

    def credentials(self) -> tuple[str, ...]:
        """The ids of the account's credentials for code signing. Raises PrerequisiteError, CancelledError."""
        asked = "the account's credentials"
        found: list[str] = []
        page: dict[str, str] = {}
        for _page in range(_MOST_PAGES):
            said = self._read(_LIST, {"clientData": "EVCS", **page}, asked)
            listed = said.get("credentialIDs")
            if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
                raise ERRORS.unusable(asked, "it is not a list of credentials")
            found += listed
            following = said.get("nextPageToken")
            if not isinstance(following, str) or not following:
                break
            page = {"pageToken": following}
        else:
            raise ERRORS.unusable(asked, f"it has more than {_MOST_PAGES} pages")
        return tuple(dict.fromkeys(found))

    def info(self, credential: str) -> Mapping[str, Any]:
        """What the service says of a credential. Raises PrerequisiteError, CancelledError."""
        wanted = {"credentialID": credential, "certificates": "chain", "certInfo": True, "authInfo": True}
        return self._read(_INFO, wanted, f"credential {credential}")

    def scans(self, credential: str) -> bool:
        """Whether every file must be scanned before it is signed. Raises PrerequisiteError, CancelledError."""
        asked = f"whether malware scan is on for credential {credential}"
        enabled = self._read("scan/settings", {"credential_id": credential}, asked).get("malware_scan_enabled", False)
        if not isinstance(enabled, bool):
            raise ERRORS.unusable(asked, "it does not say")
        return enabled

    def scan(self, credential: str, digest: bytes, file_sha256: bytes) -> None:
        """Have the file looked up by its hash; `digest` is what will be signed of it.

        Raises SigningError (ESIGNER_MALWARE) when the service finds something, or refuses; CancelledError.
        """
        asked = f"the malware scan of the file with SHA-256 {file_sha256.hex()}"
        wanted = {
            "credential_id": credential,
            "hash_to_scan": _base64(file_sha256),
            "hash_to_sign": _base64(digest),
        }
        try:
            said = self._read("scan/hash", wanted, asked)
        except PrerequisiteError as refusal:
            raise SigningError.of(refusal) from refusal
        if error := said.get("error"):
            raise SigningError(
                f"eSigner found in {asked}: {one_line(str(error))}", code=MALWARE.code, remedy=MALWARE.remedy
            )

    def authorize(
        self, credential: str, digests: Sequence[bytes], passwords: OneTimePasswords | None, asked: str
    ) -> str:
        """The authorisation (SAD) to sign these digests, which is kept in memory only. Free, but for the password.

        A password whose time is over before a connection came about is replaced: a refused one is a step to a lock-out.

        Raises ThrottledError when it was not given and may be asked for again, SigningError for a refusal;
        CancelledError.
        """
        wanted: dict[str, Any] = {
            "credentialID": credential,
            "numSignatures": len(digests),
            "hash": [_base64(digest) for digest in digests],
        }

        def post(attempt: int) -> HttpAnswer | Silence:
            if passwords is None:
                return self._post(_AUTHORIZE, wanted, attempt)
            self.token.get()  # a sign-in takes time, a password has little
            otp = (passwords.current() if attempt > 1 else None) or passwords.next()
            return self._post(_AUTHORIZE, {**wanted, "OTP": otp}, attempt, otp)

        try:
            answer = self._attempts.once(post, asked)
        except LostSignatureError as lost:
            raise ThrottledError(
                f"the answer to {asked} was lost; nothing was signed", code=UNREACHABLE.code, remedy=UNREACHABLE.remedy
            ) from lost
        if answer.status != 200:
            hint = self.token.clock() if meaning_of(answer) == OTP else ""
            raise _not_now(answer, asked) or refused(answer, asked, SigningError, hint)
        try:
            sad = read_object(answer.body, asked, ERRORS).get("SAD")
            if not isinstance(sad, str) or not is_header_token(sad):
                raise ERRORS.unusable(asked, "it holds no SAD")
        except PrerequisiteError as wrong:
            raise SigningError.of(wrong) from wrong
        return sad

    def sign(self, credential: str, digests: Sequence[bytes], sad: str, algorithm: str, asked: str) -> list[bytes]:
        """One signature of each digest, in their order; COSTS AS MANY. `algorithm` is the OID of the signature's.

        Raises ThrottledError when the service is too busy, LostSignatureError when it is unknown whether it signed,
        SigningError for a refusal; CancelledError.
        """
        encoded = [_base64(digest) for digest in digests]
        wanted = {"credentialID": credential, "SAD": sad, "hash": encoded, "signAlgo": algorithm}
        for again in range(1, _SAME_SAD + 1):
            answer = self._attempts.once(lambda attempt: self._post(_SIGN, wanted, attempt, sad), asked)
            if answer.status == 200:
                return _signatures(answer.body, len(digests), asked)
            if answer.status in _LOST:
                reason = refused(answer, asked, SigningError).message
                raise ERRORS.maybe_spent(asked, reason, timed_out=answer.status == 504)
            busy = _not_now(answer, asked)
            if busy is None:
                raise refused(answer, asked, SigningError)
            wait = pause_before(again, FIRST_PAUSE, busy.retry_after)
            if again == _SAME_SAD or wait is None:
                raise busy
            self._attempts.wait(wait)
        raise AssertionError  # the last attempt returns or raises

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _read(self, path: str, wanted: Mapping[str, Any], asked: str) -> Mapping[str, Any]:
        """The answer to a free request, asked for again while that may help. Raises PrerequisiteError."""
        answer = self._attempts.free(lambda attempt: self._post(path, wanted, attempt), asked, _is_passing)
        if answer.status != 200:
            raise refused(answer, asked, PrerequisiteError)
        return read_object(answer.body, asked, ERRORS)

    def _post(self, path: str, wanted: Mapping[str, Any], attempt: int, *secrets: str) -> HttpAnswer | Silence:
        """One request; where the token has ended (401, invalid_token) once more with a new one."""
        answer, token = self._once(path, wanted, attempt, secrets)
        if isinstance(answer, HttpAnswer) and answer.status == 401 and meaning_of(answer) == SIGN_IN:
            self.token.drop(token)
            answer, _token = self._once(path, wanted, attempt, secrets)
        return answer

    def _once(
        self, path: str, wanted: Mapping[str, Any], attempt: int, secrets: Sequence[str]
    ) -> tuple[HttpAnswer | Silence, str]:
        token = self.token.get()
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
        }
        question = Question("POST", f"{self.login.environment.api}/{path}", json.dumps(wanted).encode(), headers)
        return send(self._pool, question, attempt=attempt, secrets=(token, *secrets)), token


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _not_now(answer: HttpAnswer, asked: str) -> ThrottledError | None:
    """The error for an answer that says that nothing was done, and may be in time."""
    if answer.status not in _BUSY | _GATEWAY:
        return None
    return ThrottledError.of(refused(answer, asked, SigningError), retry_after(answer))


def _is_passing(answer: HttpAnswer) -> bool:
    return answer.status in _BUSY | _LOST


def _signatures(body: bytes, digests: int, asked: str) -> list[bytes]:
    """As many as hashes, all of them base64. Raises LostSignatureError."""
    try:
        listed = json.loads(body)["signatures"]
        values = [decode_base64(text) for text in listed]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as broken:
        raise ERRORS.maybe_spent(asked, "what came is not eSigner's") from broken
    if not isinstance(listed, list) or len(values) != digests or not all(values):
        raise ERRORS.maybe_spent(asked, f"it holds {count(len(values), 'signature')} for {count(digests, 'digest')}")
    return values
