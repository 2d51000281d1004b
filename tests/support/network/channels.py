"""Everything that opens connections, each as one question: the production client, a real answer on loopback."""

from __future__ import annotations

import contextlib
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from azure.core.exceptions import AzureError
from azure.core.rest import HttpRequest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from pydantic import SecretStr

from kspsign.azure_devops import open_client
from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.keys.aia import with_issuers
from kspsign.keys.azure_identity.transport import AzureTransport
from kspsign.keys.keylocker.client import KeyLockerClient
from kspsign.keys.keylocker.credentials import read_credentials
from kspsign.model.errors import KspSignError
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import DigestAlgorithm, Finding
from kspsign.settings.timestamp_limits import TimestampLimits
from kspsign.timestamping.client import TimestampClient
from kspsign.verifying.revocation import Revocation
from kspsign.verifying.usage import CertificatePurpose
from support.azure_devops.server import TOKEN, AzureServer
from support.azure_devops.state import PROJECT
from support.digicert_one.fixture import running
from support.pki import Extension, Issued, ca, signer
from support.revocation.answers import Crl, Ocsp, asks
from support.revocation.server import RevocationServer
from support.timestamping.server import Stamping


class Said(NamedTuple):
    """How a question failed: the error's code, and everything that people would read."""

    code: str
    text: str


@dataclass(frozen=True)
class Channel:
    """`ask` puts one question to a server at a URL: None when the answer is good.

    `url` is where the real server answers, `port` the same for what stands before it. `context` is what a server in
    its place speaks TLS with, None for plain http. `code` is that of an answer that never comes.
    """

    url: str
    port: int
    code: str
    ask: Callable[[str, NetworkOptions], Said | None]
    context: ssl.SSLContext | None = None
    ca_file: Path | None = None


def _said(question: Callable[[], object]) -> Said | None:
    try:
        question()
    except KspSignError as error:
        return Said(error.code, f"{error} {error.remedy}")
    return None


@contextlib.contextmanager
def timestamp(authority: EmbeddedAuthority, _folder: Path) -> Iterator[Channel]:
    """A token of a timestamp server."""

    def ask(url: str, options: NetworkOptions) -> Said | None:
        def question() -> None:
            with contextlib.closing(TimestampClient((url,), TimestampLimits(4), threading.Event(), options)) as client:
                client.stamp(bytes(32), DigestAlgorithm.SHA256)

        return _said(question)

    with Stamping(authority) as server:
        yield Channel(server.url, _port(server.url), "TIMESTAMP_UNAVAILABLE", ask)


@contextlib.contextmanager
def aia(_authority: EmbeddedAuthority, folder: Path) -> Iterator[Channel]:
    """The issuer of a certificate, from where that says."""
    root = ca("Root")
    issuer = ca("Issuer", root)

    def ask(url: str, options: NetworkOptions) -> Said | None:
        leaf = signer("Leaf", issuer, _issuer_at(url.rstrip("/") + "/issuer.cer"))

        def question() -> None:
            with tempfile.TemporaryDirectory(dir=folder) as store:
                assert with_issuers((leaf.der,), Path(store), options)[1] == issuer.der

        return _said(question)

    with RevocationServer() as server:
        server.files["/issuer.cer"] = issuer.der
        yield Channel(server.url, _port(server.url), "ISSUER_UNAVAILABLE", ask)


@contextlib.contextmanager
def ocsp(_authority: EmbeddedAuthority, _folder: Path) -> Iterator[Channel]:
    """The answer of an OCSP responder."""
    root = ca("Root")

    def ask(url: str, options: NetworkOptions) -> Said | None:
        leaf = signer("Leaf", root, *asks(url.rstrip("/"), crl_at=""))
        server.responder = lambda request: Ocsp(root).responding(leaf.certificate, request)
        return _asked_about(leaf, root, options)

    with RevocationServer() as server:
        yield Channel(server.url, _port(server.url), "CRYPT_E_REVOCATION_OFFLINE", ask)


@contextlib.contextmanager
def crl(_authority: EmbeddedAuthority, _folder: Path) -> Iterator[Channel]:
    """A CRL."""
    root = ca("Root")

    def ask(url: str, options: NetworkOptions) -> Said | None:
        return _asked_about(signer("Leaf", root, *asks(url.rstrip("/"), ocsp_at="")), root, options)

    with RevocationServer() as server:
        server.files["/crl"] = Crl(root).signed()
        yield Channel(server.url, _port(server.url), "CRYPT_E_REVOCATION_OFFLINE", ask)


@contextlib.contextmanager
def keylocker(_authority: EmbeddedAuthority, folder: Path) -> Iterator[Channel]:
    """The list of key pairs of KeyLocker, which is reached by TLS with a client certificate."""
    with running(folder) as host:
        host.world.add_certificate(host.world.add_keypair("release"), "code")

        def ask(url: str, options: NetworkOptions) -> Said | None:
            given = {name: SecretStr(value) for name, value in host.environment.items() if name != "SM_CA_FILE"}

            def question() -> None:
                credentials = read_credentials({**given, "SM_HOST": SecretStr(url)})
                client = KeyLockerClient(credentials, lambda _seconds: False, network=options)
                with contextlib.closing(client):
                    client.get("keypairs", asked="the key pairs")

            return _said(question)

        url = host.service.url
        yield Channel(url, _port(url), "KEYLOCKER_UNREACHABLE", ask, host.access.context(), host.access.ca_file)


@contextlib.contextmanager
def gate(_authority: EmbeddedAuthority, folder: Path) -> Iterator[Channel]:
    """A build's state, as the gate and publishing ask Azure DevOps for it."""
    with AzureServer() as server:
        build = server.organisation.add_build()

        def ask(url: str, options: NetworkOptions) -> Said | None:
            collection, token = url.rstrip("/").removesuffix("/Contoso") + "/Contoso", SecretStr(TOKEN)

            def question() -> None:
                client = open_client(
                    collection, PROJECT, token, network=options, temp_folder=folder, pause=lambda _seconds: False
                )
                with contextlib.closing(client):
                    assert client.build(build.id).id == build.id

            return _said(question)

        yield Channel(server.url, _port(server.url), "AZURE_DEVOPS_UNREACHABLE", ask)


@contextlib.contextmanager
def azure_transport(_authority: EmbeddedAuthority, _folder: Path) -> Iterator[Channel]:
    """What Microsoft's clients for Key Vault and Entra send through; errors are theirs, by the names of their types."""

    def ask(url: str, options: NetworkOptions) -> Said | None:
        def question() -> None:
            with AzureTransport(options, 1, threading.Event()) as transport:
                response = transport.send(HttpRequest("GET", url.rstrip("/") + "/crl"))
                if response.status_code != 200 or response.body() != b"content":
                    raise AzureError(f"HTTP {response.status_code}")

        try:
            return _said(question)
        except AzureError as error:
            return Said("AzureError", str(error))

    with RevocationServer() as server:
        server.files["/crl"] = b"content"
        yield Channel(server.url, _port(server.url), "AzureError", ask)


Open = Callable[[EmbeddedAuthority, Path], contextlib.AbstractContextManager[Channel]]
CHANNELS: Mapping[str, Open] = MappingProxyType(
    {
        "timestamp": timestamp,
        "aia": aia,
        "ocsp": ocsp,
        "crl": crl,
        "keylocker": keylocker,
        "gate": gate,
        "azure": azure_transport,
    }
)
FOLLOWING = ("timestamp", "aia", "ocsp", "crl")
"""Those that follow redirects and use a login in the URL: no secret of theirs goes beyond that."""


def _asked_about(leaf: Issued, root: Issued, options: NetworkOptions) -> Said | None:
    found: list[Finding] = []

    def question() -> None:
        path = leaf.certificate, root.certificate
        found.append(Revocation(options).finding(path, CertificatePurpose.CODE_SIGNING, None))

    said = _said(question)
    if said is not None or found[0].hresult is None:
        return said
    return Said(found[0].hresult.name, found[0].detail)


def _issuer_at(url: str) -> Extension:
    place = x509.UniformResourceIdentifier(url)
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)]
    ), False


def _port(url: str) -> int:
    return int(url.split("/")[2].rpartition(":")[2])
