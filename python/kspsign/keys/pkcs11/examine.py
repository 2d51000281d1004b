"""What the doctor asks of a PKCS#11 module: from the library to the certificate, each check by itself, no signature."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.parse import to_der
from kspsign.keys.issuers import examine_chain
from kspsign.keys.pkcs11 import cryptoki
from kspsign.keys.pkcs11.certificates import certificates_for
from kspsign.keys.pkcs11.cryptoki import Token
from kspsign.keys.pkcs11.errors import CryptokiError, at_opening
from kspsign.keys.pkcs11.isolated import IsolatedModule
from kspsign.keys.pkcs11.options import Pkcs11Options
from kspsign.keys.pkcs11.sessions import Login
from kspsign.keys.pkcs11.store import check_named, open_module
from kspsign.keys.pkcs11.token import Address, check_key, find_key, find_token
from kspsign.keys.prerequisites import (
    CERTIFICATE,
    COSTS_A_SIGNATURE,
    CREDENTIALS,
    KEY,
    NEWER,
    OPTIONS,
    PERMISSION,
    SIGN_IN,
    TEST_SIGNATURE,
    Prerequisite,
    completed,
    examine_newer,
    failed,
    not_checked,
    passed,
)
from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import ConfigurationError, KspSignError, PrerequisiteError

_MODULE, _TOKEN = "module", "token"
_CHECKS: Final = (CREDENTIALS, _MODULE, _TOKEN, SIGN_IN, KEY, PERMISSION, CERTIFICATE, NEWER)
_OF_CERTIFICATE: Final = frozenset({"PKCS11_NO_CERTIFICATE", "CERTIFICATE_NOT_VALID"})


def examine_pkcs11(options: Pkcs11Options, surroundings: Surroundings) -> Iterator[Prerequisite]:
    """Every prerequisite of signing with a token; the PIN is tried once."""
    yield from completed(_CHECKS, _examined(options, surroundings))
    yield not_checked(TEST_SIGNATURE, COSTS_A_SIGNATURE)


def _examined(options: Pkcs11Options, surroundings: Surroundings) -> Iterator[Prerequisite]:
    try:
        address = Address.of_options(options)
        check_named(options)
    except ConfigurationError as error:
        yield failed(OPTIONS, error)
        return
    pin = None if options.pkcs11_pin is None else options.pkcs11_pin.get_secret_value()
    wrong = _malformed(pin)
    if wrong is not None:
        yield failed(CREDENTIALS, wrong)
        return
    with contextlib.ExitStack() as undone:
        try:
            module = undone.enter_context(open_module(options, address, surroundings))
        except KspSignError as error:
            yield failed(_MODULE, error)
            return
        yield passed(_MODULE, f"{address.module} is loaded")
        yield from _Examination(module, address, pin, options, surroundings).run()


def _malformed(pin: str | None) -> ConfigurationError | None:
    """What can be seen of a PIN without trying it."""
    if pin is None or (pin and pin == pin.strip() and pin.isprintable()):
        return None
    what = "is empty" if not pin else "begins or ends with a blank or a line break, or holds a control character"
    return ConfigurationError(
        f"the PIN {what}", code="PKCS11_PIN", remedy="Set the secret that --pkcs11-pin-env names again, without it."
    )


@dataclass(frozen=True, slots=True)
class _Examination:
    """One module and what is looked for in it."""

    module: IsolatedModule
    address: Address
    pin: str | None
    options: Pkcs11Options
    surroundings: Surroundings

    def run(self) -> Iterator[Prerequisite]:
        """Token, login, key, certificate."""
        try:
            token = find_token(self.module, self.address)
        except KspSignError as error:
            yield self._failed(_TOKEN, error)
            return
        yield passed(_TOKEN, f"{token.label!r} is in slot {token.slot}")
        try:
            login = Login.of(token, self.pin)
        except PrerequisiteError as locked:
            yield failed(CREDENTIALS, locked)
            return
        wanted = bool(token.flags & cryptoki.CKF_LOGIN_REQUIRED)
        if self.pin is not None:
            yield passed(CREDENTIALS, "a PIN is given")
        elif login.at_pad:
            yield not_checked(CREDENTIALS, "the token asks for its PIN at its reader's PIN pad")
        elif wanted:
            yield not_checked(CREDENTIALS, "no PIN is given, although the token says that it wants a login")
        else:
            yield passed(CREDENTIALS, "none are needed: the token wants no login")
        try:
            session = self.module.open_session(token.slot)
            if self.pin is not None:
                self.module.login(session, self.pin)
        except KspSignError as error:
            yield self._failed(SIGN_IN, error)
            return
        if self.pin is not None:
            yield passed(SIGN_IN, "the token accepts the PIN")
        else:
            yield not_checked(SIGN_IN, "there is no PIN to log in with")
        yield from self._key(token, session)

    def _key(self, token: Token, session: int) -> Iterator[Prerequisite]:
        try:
            key = find_key(self.module, session, self.address)
            check_key(self.module, token, session, key, self.address)
            may_sign = self.module.attribute(session, key, cryptoki.CKA_SIGN)
        except KspSignError as error:
            yield self._failed(KEY, error)
            return
        yield passed(KEY, f"{self.address.key} is there, and the token supports its mechanism")
        if may_sign is None:
            yield not_checked(PERMISSION, "the token does not report whether the key may sign (CKA_SIGN)")
        elif may_sign == b"\0":
            yield failed(PERMISSION, _may_not_sign(self.address.key))
        else:
            yield passed(PERMISSION, "the key may sign (CKA_SIGN)")
        yield from self._certificate(session, key)

    def _certificate(self, session: int, key: int) -> Iterator[Prerequisite]:
        file = self.options.certificate.absolute() if self.options.certificate else None
        try:
            leaf, remarks, others = certificates_for(
                self.module, session, key, self.address, file=file, sha256=None, now=datetime.now(UTC)
            )
        except KspSignError as error:
            yield self._failed(CERTIFICATE, error)
            return
        yield from examine_chain(ordered_chain(to_der(leaf), others), self.options, self.surroundings)
        if file is not None:
            yield not_checked(NEWER, "the certificate is from a file")
        else:
            yield examine_newer(remarks, superseded=False)

    def _failed(self, name: str, error: KspSignError) -> Prerequisite:
        return failed(name, at_opening(error, self.address.module) if isinstance(error, CryptokiError) else error)


def _may_not_sign(key: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"{key} may not sign (CKA_SIGN is false)",
        code="PKCS11_REFUSED",
        remedy="Use a key pair that was made for signing, or have an administrator of the token set CKA_SIGN.",
    )
