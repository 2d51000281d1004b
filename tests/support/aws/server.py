"""AWS behind the loopback proxy, by its hosts' real names; and without TLS at `endpoint`, as private endpoints are.

At `endpoint` are KMS, STS, a container's credentials and an instance's metadata: which one follows from the request.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.aws import kms, sign_in
from support.aws.world import ACCESS_KEY, CONTAINER_TOKEN, REGION, SECRET_KEY, AwsWorld, SigningKey
from support.key_vault.answers import MACHINE, Request, Response
from support.key_vault.server import Azure
from support.key_vault.world import World
from support.pki import BEGIN, END, ca, signer

ALIAS = "alias/release"


class Aws(Azure):
    """Serves `aws` inside its `with` block."""

    def __init__(self, folder: Path) -> None:
        self.aws = AwsWorld()
        super().__init__(World({}), folder)
        self.aws.oidc_tokens = self.world.oidc_tokens  # the provider that AWS trusts
        self.services |= {
            f"kms.{REGION}.amazonaws.com": lambda request: kms.respond(self.aws, request),
            f"sts.{REGION}.amazonaws.com": lambda request: sign_in.sts(self.aws, request),
        }

    @property
    def endpoint(self) -> str:
        """Where everything is reached without TLS."""
        return self.url

    @property
    def keys(self) -> dict[str, str]:
        """A user's access key, as a step maps it."""
        return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION}

    @property
    def container(self) -> dict[str, str]:
        """What a container has."""
        uri = f"{self.url}{sign_in.CONTAINER}"
        token = {"AWS_CONTAINER_AUTHORIZATION_TOKEN": CONTAINER_TOKEN}
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, **token, "AWS_REGION": REGION}

    @property
    def github(self) -> dict[str, str]:
        """What a job of GitHub Actions with `id-token: write` has."""
        url = f"{self.url}{sign_in.GITHUB}?api-version=2.0"
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": sign_in.GITHUB_TOKEN}

    def of_kms(self, operation: str) -> list[Request]:
        """Requests of KMS for this operation."""
        wanted = f"TrentService.{operation}"
        return [request for request in self.record.requests if request.headers.get("x-amz-target") == wanted]

    def publish(self, folder: Path, key: SigningKey, **sides: Any) -> tuple[Path, Path]:
        """A key with alias ALIAS, its certificate (with the root) in a file, and the root in another."""
        root = ca("AWS root", begin=sides.get("begin", BEGIN), end=END)
        self.aws.add(key, ALIAS.removeprefix("alias/"))
        leaf = signer("Cloud publisher", root, key=key, **sides)
        (folder / "code.pem").write_bytes(leaf.pem + root.pem)
        (folder / "root.pem").write_bytes(root.pem)
        return folder / "code.pem", folder / "root.pem"

    def _service(self, request: Request) -> Callable[[Request], Response] | None:
        if request.host != MACHINE:
            return super()._service(request)
        if "x-amz-target" in request.headers:
            return lambda request: kms.respond(self.aws, request)
        if request.method == "POST" and request.path == "/":
            return lambda request: sign_in.sts(self.aws, request)
        return lambda request: sign_in.machine(self.aws, request)
