"""`signtool sign`: kspsign's path from certificate to verified file, in SignTool's words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from kspsign.batch.work_list import take
from kspsign.cli.signtool import words
from kspsign.cli.signtool.console import FileConsole
from kspsign.cli.signtool.errors import SignToolError
from kspsign.cli.signtool.files import NamedFiles, find_targets
from kspsign.cli.signtool.grammar import Call, check_combinations, check_digest, check_timestamp
from kspsign.cli.signtool.key_choice import KeyChoice, KeyPlace, additional_certificates, choose_key, show_selected
from kspsign.cli.signtool.run import configured, perform, settings_of
from kspsign.cli.signtool.speech import Speech
from kspsign.model.report import FileOutcome
from kspsign.model.signing_facts import CertificateFacts
from kspsign.model.values import ErrorFacts
from kspsign.path import run
from kspsign.publishing.wording import short_name

_ADDED = "Done Adding Additional Store"


def sign(call: Call, environment: Mapping[str, str], speech: Speech) -> None:
    """Sign the files of `call`. Raises KspSignError for what is refused before any file is looked at."""
    check_combinations(call)
    if not call.has("fd"):
        raise SignToolError(words.NO_FD)
    check_timestamp(call)
    digests = {name: check_digest(name, call.value(name) or "") for name in ("fd", "td") if _is_stated(call, name)}
    key = choose_key(call, configured(environment), speech)
    given = {**_signature_settings(call), "digest": digests.get("fd") or _of_certificate(key), **key.settings}
    settings = settings_of("sign", given, environment, speech, key.variables)
    if call.has("td"):
        settings = settings.model_copy(update={"timestamp_digest": digests.get("td") or _of_certificate(key)})
    if call.has("ac"):
        settings = settings.model_copy(update={"issuers": additional_certificates(call)})
    targets = find_targets(call.files)
    console = SignConsole(speech, targets, key)
    if targets.artifacts:
        perform(settings, environment, console, partial(run, chosen=partial(take, artifacts=targets.artifacts)))
    else:
        console.without_files()
    if not console.without_key:
        speech.totals("files successfully Signed")


def _is_stated(call: Call, option: str) -> bool:
    return call.has(option) and (call.value(option) or "").lower() != "certhash"


def _of_certificate(key: KeyChoice) -> str:
    """The digest of the certificate's own signature (/fd certHash)."""
    found = None if key.certificate is None else key.certificate.signature_hash_algorithm
    if found is None:
        raise SignToolError(
            "The specified algorithm cannot be used or is invalid.",
            "Name the digest: /fd SHA256.",
            cause="certHash needs a certificate that is known before its key is opened",
        )
    return check_digest("fd", found.name)


def _signature_settings(call: Call) -> Mapping[str, Any]:
    """What the signature says and holds, and what becomes of those that a file has."""
    url = call.value("tr")
    stated = {"description": call.value("d"), "description_url": call.value("du")}
    return {
        **{name: value for name, value in stated.items() if value is not None},
        "append" if call.has("as") else "replace": True,
        "page_hashes": call.has("ph"),
        **({"no_timestamp": True} if url is None else {"timestamp_url": (url,)}),
    }


class SignConsole(FileConsole):
    """Which certificate signs, then a line a file."""

    def __init__(self, speech: Speech, targets: NamedFiles, key: KeyChoice) -> None:
        super().__init__(speech, targets, "sign")
        self._key, self._opened = key, False

    @property
    def without_key(self) -> bool:
        """Whether no file was tried since there was no key to sign with."""
        return self.stopped and not self._opened

    def certificate(self, facts: CertificateFacts, *, key_store: str, test_signing: bool) -> None:
        """See Console: the key store is open."""
        end = datetime.fromisoformat(facts.not_after)
        self._select(words.CertificateWords(short_name(facts.subject), short_name(facts.issuer), end, facts.thumbprint))
        self.notice(f"key store {key_store}{', test signing' if test_signing else ''}")

    def without_files(self) -> None:
        """No file is there: SignTool has found its certificate by then."""
        if self._key.certificate is not None:
            self._select(words.CertificateWords.of(self._key.certificate))
        self.name_missing()

    def speak(self, shown: str, outcome: FileOutcome) -> None:
        """One signed file, or why it was not."""
        if outcome.error is None:
            self.speech.succeed(f"Successfully signed: {shown}")
        else:
            self.fail_file(shown, outcome.error, outcome.size)

    def stop(self, error: ErrorFacts) -> None:
        """Without a key SignTool says so in the words of where it looked."""
        if self._opened:
            super().stop(error)
            return
        if error.code == "ISSUER_NOT_IN_CHAIN":
            self.speech.fail(words.NOT_IN_CHAIN, error=error)
            return
        if self._key.place is KeyPlace.STORE:
            self.speech.trace("After Private Key filter, 0 certs were left.")
            self.speech.fail(words.NO_CERTIFICATES, error=error)
        elif self._key.place is KeyPlace.PROVIDER:
            other = error.code in {"WRONG_THUMBPRINT", "KEY_MISMATCH"}
            self.speech.fail(words.OTHER_KEY if other else words.NO_PRIVATE_KEY, error=error)
        elif error.code in {"WRONG_PASSWORD", "PASSWORD_MISSING"}:
            self.speech.fail(words.WRONG_PASSWORD, error=error)
        else:
            self.speech.fail(words.NO_PRIVATE_KEY, error=error)

    def _select(self, certificate: words.CertificateWords) -> None:
        self._opened = True
        if self._key.place is KeyPlace.STORE:
            self.speech.trace("After Private Key filter, 1 certs were left.")
        if self._key.place is not KeyPlace.PROVIDER or self._key.certificate is None:
            show_selected(certificate, self.speech)
        self.speech.say(_ADDED)
