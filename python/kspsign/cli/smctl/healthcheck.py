"""`smctl healthcheck`: credentials, privileges and the signing tool, in smctl's sections.

Unlike smctl it prints no part of a secret: half-masked, secrets slip through the filters of build logs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TextIO

from kspsign.certificates.parse import display_name
from kspsign.cli.smctl.grammar import ParsedFlags
from kspsign.cli.smctl.session import service
from kspsign.cli.smctl.verbs import EXIT_FAILED
from kspsign.keys.keylocker.client import KeyLockerClient
from kspsign.keys.keylocker.lookup import list_keypairs
from kspsign.keys.keylocker.records import KeypairRecord
from kspsign.model.errors import KspSignError
from kspsign.model.version import VERSION
from kspsign.publishing.sanitize import log_line

_PULLED: Final = "(Pulled from environment variable)"


def healthcheck(given: ParsedFlags, environment: Mapping[str, str], out: TextIO) -> int:
    """Print what is found; 1 when the service does not accept the credentials or no key pair can be signed with."""
    healthy = True
    if not given.is_on("tools") or given.is_on("all") or given.is_on("user"):
        healthy = _credentials(environment, out)
    if not given.is_on("user") or given.is_on("all") or given.is_on("tools"):
        out.writelines(f"{line}\n" for line in _tools())
    return 0 if healthy else EXIT_FAILED


def _credentials(environment: Mapping[str, str], out: TextIO) -> bool:
    out.write("---------- User credentials ------\n\n")
    try:
        with service(environment, None) as (client, options):
            pairs = list_keypairs(client, options)
    except KspSignError as error:
        out.write("\tStatus: Not connected\n\n")
        out.write(f"\tError: {log_line(str(error))}\n\tRemedy: {log_line(error.remedy)}\n\n")
        return False
    out.write("\tStatus: Connected\n\n")
    out.writelines(f"\t{line}\n" for line in _facts(client, pairs))
    out.write("\n")
    return _can_sign(pairs) != "No"


def _facts(client: KeyLockerClient, pairs: Sequence[KeypairRecord]) -> Iterator[str]:
    """What the service accepted, and what this user may do; what its API does not say is left out."""
    accounts = dict.fromkeys(str(pair.account.get("name") or pair.account.get("id")) for pair in pairs if pair.account)
    if accounts:
        yield f"Accounts: {log_line(', '.join(accounts))}"
    yield "Authentication: 2FA"
    yield "Credentials:"
    yield f"\tHost: {client.host}"
    yield f"\tAPI key: *** {_PULLED}"
    yield f"\tClient certificate password: *** {_PULLED}"
    yield "Client certificates:"
    certificate = client.client_certificate
    ends = f"{certificate.end:%a, %d %b %Y %H:%M:%S} UTC"
    yield f"\tName: {log_line(display_name(certificate.chain[0]))} (expires on {ends})"
    yield "Privileges:"
    yield f"\tCan sign: {_can_sign(pairs)}"


def _can_sign(pairs: Sequence[KeypairRecord]) -> str:
    """Yes when one key pair is this user's to sign with, No when none is, Unknown where the service does not say."""
    said = {pair.is_signable_by_me for pair in pairs}
    if True in said:
        return "Yes"
    return "Unknown" if None in said else "No"


def _tools() -> Iterator[str]:
    """kspsign is the signing tool, for each of its formats."""
    yield "---------- Signing tools ------"
    yield ""
    yield "\tSigntool:"
    yield "\t\tMapped: Yes"
    yield f"\t\tPath: kspsign signtool (kspsign {VERSION})"
