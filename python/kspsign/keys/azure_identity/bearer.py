"""The bearer token for one service of Azure's, asked for when needed and kept until shortly before its end."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError

from kspsign.keys.azure_identity.errors import no_connection, no_sign_in
from kspsign.model.errors import PrerequisiteError

RENEWED_SECONDS = 300.0


class BearerToken:
    """A token of `credential` for `scope` (https://RESOURCE/.default); safe to share between threads."""

    def __init__(self, credential: Any, scope: str) -> None:
        for name in ("azure", "msal"):
            logging.getLogger(name).addHandler(logging.NullHandler())  # what they warn of becomes an error of ours
        self._credential, self._scope = credential, scope
        self._lock = threading.Lock()
        self._token, self._end = "", 0.0

    def get(self) -> str:
        """The token. Raises PrerequisiteError when the sign-in is refused or not possible, CancelledError."""
        with self._lock:
            if self._end - time.time() < RENEWED_SECONDS:
                try:
                    given = self._credential.get_token(self._scope)
                except ClientAuthenticationError as refused:
                    raise no_sign_in(refused, PrerequisiteError) from refused
                except AzureError as broken:
                    raise no_connection(broken, PrerequisiteError) from broken
                self._token, self._end = given.token, float(given.expires_on)
            return self._token
