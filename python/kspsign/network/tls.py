"""The one TLS context: the system's roots and those of the CA file; nothing switches verification off."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from kspsign.model.errors import ConfigurationError, is_out_of_memory
from kspsign.model.network_options import CaFile, NetworkOptions
from kspsign.network.deadline import TimedTLSSocket


def shared_context(ca_file: CaFile | None, bundle: Path | None) -> ssl.SSLContext:
    """The same for all who add nothing to it: the system's roots take a tenth of a second to read. Raises likewise."""
    return _shared(ca_file, bundle, ssl.get_default_verify_paths())


@lru_cache(maxsize=8)
def _shared(
    ca_file: CaFile | None,
    bundle: Path | None,
    _system: ssl.DefaultVerifyPaths,  # the environment may name others
) -> ssl.SSLContext:
    return _context(ca_file, bundle)


def client_context(options: NetworkOptions) -> ssl.SSLContext:
    """A context for TLS 1.2 and later whose sockets know deadlines (`deadline`), for one caller.

    The CA file adds to the system's roots: behind a proxy that inspects TLS some hosts are exempt,
    and those still show their public certificate. Raises ConfigurationError when it can't be read or holds no
    certificate.
    """
    return _context(options.ca_file, None)


def _context(ca_file: CaFile | None, bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = TimedTLSSocket
    if bundle is not None:
        context.load_verify_locations(bundle)
    if ca_file is not None:
        _trust(context, ca_file)
    return context


def _trust(context: ssl.SSLContext, file: CaFile) -> None:
    try:
        content = file.path.read_bytes()
    except (OSError, ValueError) as unreadable:
        reason = (unreadable.strerror if isinstance(unreadable, OSError) else None) or "no such path"
        raise _unusable(file, f"can't be read: {reason}") from unreadable
    try:
        context.load_verify_locations(cadata=content.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError) as broken:
        if is_out_of_memory(broken):
            raise
        raise _unusable(file, "holds no certificate in PEM form") from broken


def _unusable(file: CaFile, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the CA file that {file.setting} names {reason}",
        code="CA_FILE_UNUSABLE",
        remedy=f"Correct {file.setting}: a PEM file with the certificates of the CAs to trust besides the system's.",
        file=str(file.path),
    )
