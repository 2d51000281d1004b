"""Missing issuers of a certificate, fetched from the addresses it names (RFC 5280 §4.2.2.1, caIssuers) and cached."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.file import parse_certificates
from kspsign.certificates.parse import display_name, extension, parse_certificate
from kspsign.concurrency.atomic_write import write_atomically
from kspsign.model.errors import PrerequisiteError
from kspsign.model.network_options import NetworkOptions
from kspsign.network.address import shown_url
from kspsign.network.fetch import fetch, open_fetching
from kspsign.network.pool import Pool

MAX_REPLY = 1 << 18
MAX_DEPTH = 8


def with_issuers(chain: tuple[bytes, ...], store: Path, network: NetworkOptions) -> tuple[bytes, ...]:
    """`chain` with the issuers that it lacks, as far as certificates say where to get them; cached in `store`.

    Raises PrerequisiteError when the leaf's own issuer is missing and could not be obtained: verification would fail
    later, after a signature was spent.
    """
    with contextlib.closing(open_fetching(network)) as pool:
        return _extended(chain, store / "issuers", pool)


def _extended(chain: tuple[bytes, ...], folder: Path, pool: Pool) -> tuple[bytes, ...]:
    while len(chain) <= MAX_DEPTH:
        last = parse_certificate(chain[-1])
        urls = () if last.issuer == last.subject else _addresses(last)
        if not urls:
            break
        found, faults = _first_issuer(chain, urls, folder, pool)
        if found is None:
            if len(chain) == 1:
                raise _unavailable(last, faults)
            break  # what is missing now may be the root, which verifiers hold themselves
        chain = found
    return chain


def _first_issuer(
    chain: tuple[bytes, ...], urls: tuple[str, ...], folder: Path, pool: Pool
) -> tuple[tuple[bytes, ...] | None, list[str]]:
    """The longer chain, or what each address did wrong."""
    faults: list[str] = []
    for url in urls:
        cached = folder / f"{hashlib.sha256(url.encode()).hexdigest()}.cer"
        kept = cached.read_bytes() if cached.is_file() else None
        for content in dict.fromkeys((kept, None)):
            answer = content or fetch(pool, url, MAX_REPLY)
            if isinstance(answer, str):
                faults.append(f"{shown_url(url)}: {answer}")
                continue
            longer = ordered_chain(chain[0], [*map(parse_certificate, chain[1:]), *parse_certificates(answer)])
            if len(longer) > len(chain):
                _keep(cached, answer)
                return longer, faults
            faults.append(f"{shown_url(url)}: no certificate that issued this one")
    return None, faults


def _addresses(of: x509.Certificate) -> tuple[str, ...]:
    found = extension(of, x509.AuthorityInformationAccess)
    if found is None:
        return ()
    return tuple(
        description.access_location.value
        for description in found.value
        if description.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        and isinstance(description.access_location, x509.UniformResourceIdentifier)
        and description.access_location.value.lower().startswith(("http://", "https://"))
    )


def _keep(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, (content,))
    except OSError as refused:
        raise PrerequisiteError(
            f"the thumbprint store's cache {path.parent} can't be written: {refused}",
            code="STORE_NOT_WRITABLE",
            remedy="Name a folder that this user may write with --store.",
        ) from refused


def _unavailable(leaf: x509.Certificate, faults: list[str]) -> PrerequisiteError:
    return PrerequisiteError(
        f"the issuer of {display_name(leaf)} is missing and could not be fetched: {'; '.join(faults)}",
        code="ISSUER_UNAVAILABLE",
        remedy="Allow plain HTTP to the CA from this agent, import the whole chain with the certificate, or switch the "
        "fetching off with --no-aia where every machine holds the issuer.",
    )
