"""A host's TLS side and a user's credentials: authorities, the server's certificate, client certificates as PKCS#12."""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID

from support.digicert_one.world import DAY, NOW
from support.pki import Issued, ca, extended, issue, key_usage

PASSWORD = "p12-Secret with blank"  # noqa: S105 - of files made in the test


@dataclass(frozen=True)
class Access:
    """The authorities of one host, and a folder for its files."""

    folder: Path
    server_root: Issued
    client_root: Issued

    @classmethod
    def create(cls, folder: Path) -> Access:
        end = NOW + 1000 * DAY
        access = cls(folder, ca("Stand-in TLS root", end=end), ca("Stand-in client root", end=end))
        access.ca_file.write_bytes(access.server_root.pem)
        return access

    @property
    def ca_file(self) -> Path:
        return self.folder / "tls-root.pem"

    def context(self) -> ssl.SSLContext:
        """The server's side: asks for a client certificate; whether there is one the service itself judges."""
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        usage = (extended(ExtendedKeyUsageOID.SERVER_AUTH), key_usage("digital_signature"), (names, False))
        own = issue("localhost", self.server_root, extensions=usage, end=NOW + 300 * DAY)
        pem = self.folder / "server.pem"
        pem.write_bytes(own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + own.pem)
        roots = self.folder / "client-root.pem"
        roots.write_bytes(self.client_root.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(pem)
        context.load_verify_locations(roots)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def client_p12(
        self, user: str, *, end: datetime = NOW + 300 * DAY, root: Issued | None = None, legacy: bool = False
    ) -> Path:
        """A client certificate for `user`; `legacy` encrypts as old exporters do (RC2 and 3DES, SHA-1)."""
        usage = (extended(ExtendedKeyUsageOID.CLIENT_AUTH), key_usage("digital_signature"))
        own = issue(user, root or self.client_root, extensions=usage, end=end)
        path = self.folder / "client.p12"
        if legacy:
            key = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            command = ["openssl", "pkcs12", "-export", "-legacy", "-passout", f"pass:{PASSWORD}", "-out", str(path)]
            subprocess.run(command, input=key + own.pem, check=True, capture_output=True)
        else:
            encryption = BestAvailableEncryption(PASSWORD.encode())
            path.write_bytes(serialize_key_and_certificates(b"client", own.key, own.certificate, None, encryption))
        return path
