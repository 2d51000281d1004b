"""Google Cloud behind the loopback proxy, by its hosts' real names; and without TLS at `endpoint`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.certificates import rsa_key
from support.google import kms, sign_in
from support.google.world import ACCOUNT, KEY_ID, PROJECT, PROVIDER, GoogleWorld, KeyVersion, SigningKey
from support.key_vault.answers import MACHINE, Request, Response
from support.key_vault.server import Azure
from support.key_vault.world import World
from support.pki import BEGIN, END, ca, signer

GITHUB, GITHUB_TOKEN = "/github/token", "github-request-token-planted-71f3"


class Google(Azure):
    """Serves `google` inside its `with` block."""

    def __init__(self, folder: Path) -> None:
        self.google = GoogleWorld()
        super().__init__(World({}), folder)
        self.google.oidc_tokens = self.world.oidc_tokens  # the issuer that the provider trusts
        self.services |= {
            "cloudkms.googleapis.com": lambda request: kms.respond(self.google, request),
            "sts.googleapis.com": lambda request: sign_in.sts(self.google, request),
            "iamcredentials.googleapis.com": lambda request: sign_in.impersonate(self.google, request),
            "oauth2.googleapis.com": lambda request: sign_in.oauth(self.google, request),
        }

    @property
    def endpoint(self) -> str:
        """Where everything is reached without TLS."""
        return self.url

    @property
    def machine(self) -> dict[str, str]:
        """What leads to the metadata server, which is at `endpoint`."""
        return {"GCE_METADATA_HOST": self.url.removeprefix("http://")}

    @property
    def github(self) -> dict[str, str]:
        """What a job of GitHub Actions with `id-token: write` has."""
        url = f"{self.url}{GITHUB}?api-version=2.0"
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": GITHUB_TOKEN}

    def service_account(self, path: Path, key: rsa.RSAPrivateKey | None = None) -> Path:
        """The key file of ACCOUNT, as the console makes it; its tokens come from `endpoint`."""
        own = key or rsa_key(2048)
        self.google.account_key = own.public_key() if key is None else self.google.account_key
        pem = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        content = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": KEY_ID,
            "private_key": pem,
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": f"{self.endpoint}{sign_in.OAUTH}",
        }
        path.write_text(json.dumps(content))
        return path

    def external_account(self, path: Path, source: dict[str, Any], *, impersonating: bool = True) -> Path:
        """A credential configuration as gcloud writes it."""
        account = {"service_account_impersonation_url": f"{self.endpoint}{sign_in.IMPERSONATION}"}
        content = {
            "type": "external_account",
            "audience": f"//iam.googleapis.com/{PROVIDER}",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.endpoint}{sign_in.STS}",
            "credential_source": source,
            **(account if impersonating else {}),
        }
        path.write_text(json.dumps(content))
        return path

    def of_kms(self, what: str) -> list[Request]:
        """Requests of KMS with `what` in their target."""
        return [
            request for request in self.record.requests if "/cryptoKeys/" in request.target and what in request.target
        ]

    def publish(self, folder: Path, key: SigningKey, **sides: Any) -> tuple[KeyVersion, Path, Path]:
        """A version of the key, its certificate (with the root) in a file, and the root in another."""
        root = ca("Google root", begin=sides.get("begin", BEGIN), end=END)
        version = self.google.add(key)
        leaf = signer("Cloud publisher", root, key=key, **sides)
        (folder / "code.pem").write_bytes(leaf.pem + root.pem)
        (folder / "root.pem").write_bytes(root.pem)
        return version, folder / "code.pem", folder / "root.pem"

    def _github(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {GITHUB_TOKEN}":
            return Response(401, b"")
        fits = request.query.get("audience") == [f"https://iam.googleapis.com/{PROVIDER}"]
        token = f"github-job-token-{len(self.google.oidc_tokens)}-{'right' if fits else 'wrong'}"
        if fits:
            self.google.oidc_tokens.add(token)
        return Response(200, {"value": token})

    def _service(self, request: Request) -> Callable[[Request], Response] | None:
        if request.host != MACHINE:
            return super()._service(request)
        found: dict[str, Callable[[Request], Response]] = {
            sign_in.OAUTH: lambda request: sign_in.oauth(self.google, request),
            sign_in.STS: lambda request: sign_in.sts(self.google, request),
            sign_in.IMPERSONATION: lambda request: sign_in.impersonate(self.google, request),
            GITHUB: self._github,
        }
        if request.path in found:
            return found[request.path]
        if request.path.startswith("/computeMetadata") or "metadata-flavor" in request.headers:
            return lambda request: sign_in.metadata(self.google, request)
        return lambda request: kms.respond(self.google, request)
