"""An https server on loopback with a certificate of its own, which hands out one content."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from support.loopback import LoopbackServer, SilentHandler

REDIRECTS = {"/moved": "/tools.msi?sig=other", "/down": "http://127.0.0.1:9/tools.msi", "/round": "/round"}


@contextlib.contextmanager
def serve(pem: Path, content: bytes) -> Iterator[str]:
    """The address of a server with `content` at /tools.msi and redirects; its key and certificate go to `pem`."""

    class Handler(SilentHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            self.send_response(302 if path in REDIRECTS else 200 if path == "/tools.msi" else 404)
            if path in REDIRECTS:
                self.send_header("Location", REDIRECTS[path])
            body = content if path == "/tools.msi" else b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    pem.write_bytes(_key_and_certificate())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = LoopbackServer(Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with server:
        yield f"https://localhost:{server.port}"


def _key_and_certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    alternatives = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)
