"""The options of key store keylocker; its credentials are SM_* variables."""

from __future__ import annotations

from typing import ClassVar

from kspsign.keys.options import AccountId


class KeyLockerOptions(AccountId):
    """The key pair, certificate and account to use."""

    program_credentials: ClassVar[bool] = True
