"""Sign-in by Azure CLI: a token from `az account get-access-token`, run with only the variables az needs.

azure-identity's class of that purpose hands the whole environment to az, the PIN and secrets of this step with it.
"""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any, Final

from azure.core.credentials import AccessToken

from kspsign.keys.protocol import Surroundings
from kspsign.model.errors import PrerequisiteError
from kspsign.programs.locate import find_az
from kspsign.programs.run import Ran, run_tool, tool_environment

TIMEOUT = 60.0
"""Seconds; az on Windows takes ten and more to start when the machine is busy."""
_VARIABLES: Final[tuple[str, ...]] = ("AZURE_CONFIG_DIR", "REQUESTS_CA_BUNDLE")
"""The folder of az's sign-in (AzureCLI@2 sets it), and the CA of a proxy that inspects TLS."""
_PLAIN: Final[dict[str, str]] = {"AZURE_CORE_NO_COLOR": "true", "AZURE_CORE_ONLY_SHOW_ERRORS": "true"}
_WORD = re.compile(r"[0-9A-Za-z./:_-]+")
_RENEWED_SECONDS = 300
_NOT_SIGNED_IN = re.compile(r"az login|az account set", re.IGNORECASE)


class AzureCli:
    """A TokenCredential of the Azure clients; a token is kept until five minutes before it ends.

    Safe to share between threads.
    """

    def __init__(self, surroundings: Surroundings, tenant: str | None) -> None:
        self._surroundings = surroundings
        self._tenant = tenant
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str | None], AccessToken] = {}

    def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **_options: Any
    ) -> AccessToken:
        """A token for the one scope (https://RESOURCE/.default); `tenant_id` is the vault's, if none was given.

        Raises PrerequisiteError when az is missing, not signed in, or returns no token; CancelledError.
        """
        (scope,) = scopes
        wanted = scope.removesuffix("/.default"), self._tenant or tenant_id
        if claims is not None:
            raise _no_token("Azure requires a new sign-in (claims challenge)", signed_in=False)
        with self._lock:
            kept = self._kept.get(wanted)
            if kept is None or kept.expires_on - time.time() < _RENEWED_SECONDS:
                kept = self._kept[wanted] = self._ask(*wanted)
            return kept

    def _ask(self, resource: str, tenant: str | None) -> AccessToken:
        arguments = ["account", "get-access-token", "--output", "json", "--resource", resource]
        arguments += ["--tenant", tenant] if tenant else []
        # az.cmd is read by cmd.exe, to which some characters mean more than themselves.
        odd = [argument for argument in arguments if not _WORD.fullmatch(argument)]
        if odd:
            raise _no_token(f"{odd[0]!r} is not a tenant or resource", signed_in=True)
        az = find_az(self._surroundings).path
        variables = self._surroundings.environment
        environment = {
            **tool_environment(self._surroundings),
            **{name: variables[name].get_secret_value() for name in _VARIABLES if name in variables},
            **_PLAIN,
        }
        # Its own folder: what was checked out into the working folder must not be loaded as a part of az.
        ran = run_tool(
            az,
            arguments,
            environment=environment,
            timeout=TIMEOUT,
            folder=az.parent,
            cancelled=self._surroundings.cancelled,
        )
        return _token(ran)


def _token(ran: Ran) -> AccessToken:
    """The token az printed: accessToken, and expires_on in seconds since 1970 (az 2.54 and later). Never logged."""
    if ran.exit_code is None:
        raise _no_token(f"az did not answer within {TIMEOUT:.0f} s", signed_in=True)
    if ran.exit_code != 0:
        said = " ".join(ran.errors.split())[:400] or f"exit code {ran.exit_code}"
        raise _no_token(f"az reported: {said}", signed_in=not _NOT_SIGNED_IN.search(said))
    try:
        answer = json.loads(ran.output)
        return AccessToken(str(answer["accessToken"]), int(answer["expires_on"]))
    except (ValueError, TypeError, KeyError, RecursionError) as unusable:
        raise _no_token("az answered without accessToken and expires_on", signed_in=True) from unusable


def _no_token(detail: str, *, signed_in: bool) -> PrerequisiteError:
    if not signed_in:
        return PrerequisiteError(
            f"Azure CLI returned no token: {detail}",
            code="AZURE_CLI_NOT_SIGNED_IN",
            remedy="Run `az login` on the agent as this user, or run kspsign inside AzureCLI@2, or choose another "
            "--azure-credential.",
        )
    return PrerequisiteError(
        f"Azure CLI returned no token: {detail}",
        code="AZURE_CLI_FAILED",
        remedy="Run `az account get-access-token` on the agent to see the reason, update Azure CLI "
        "(2.54 or later), or choose another --azure-credential.",
    )
