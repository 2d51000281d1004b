"""Artifact Signing beside Entra and the agent's identities, behind one loopback proxy as by their real names.

Clients that take an http endpoint reach the same account at `endpoint`, without the proxy.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import EmbeddedAuthority
from kspsign.embedded.timestamp_reply import respond as stamp
from support.artifact_signing.answers import respond
from support.artifact_signing.world import ACCOUNT, ENDPOINT, HOST, PROFILE, SigningWorld
from support.key_vault.answers import MACHINE, Request, Response
from support.key_vault.server import Azure
from support.key_vault.world import CLIENT, TENANT, World

TIMESTAMPS = "timestamp.acs.microsoft.com"
PROFILE_OPTIONS = (
    *("--signing-endpoint", ENDPOINT, "--signing-account", ACCOUNT, "--certificate-profile", PROFILE),
)  # fmt: skip


class ArtifactSigning(Azure):
    """Serves `signing` inside its `with` block, and timestamps of `authority` in Microsoft's name."""

    def __init__(self, folder: Path, authority: EmbeddedAuthority) -> None:
        world = World({})
        self.signing = SigningWorld(tokens=world.tokens)
        self.stamped = 0
        self._authority = authority
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(self.signing.root.pem + authority.root.certificate.public_bytes(Encoding.PEM))
        super().__init__(world, folder)
        self.services |= {
            "codesigning.azure.net": self._region,
            MACHINE: lambda request: respond(self.signing, request, endpoint=self.endpoint),
            TIMESTAMPS: self._stamp,
        }

    @property
    def endpoint(self) -> str:
        """Where a client reaches the account without TLS."""
        return self.url

    @property
    def options(self) -> tuple[str, ...]:
        """What makes kspsign sign with the profile."""
        who = ("--azure-tenant-id", TENANT, "--azure-client-id", CLIENT)
        return ("--key-store", "azure-artifact-signing", *PROFILE_OPTIONS, *who, "--trust-root", str(self.roots))

    def of_profile(self, method: str, what: str = "") -> list[Request]:
        """Requests of the profile, with `what` in their path."""
        return [
            request
            for request in self.record.of("", "/codesigningaccounts/")
            if request.method == method and what in request.path
        ]

    def _region(self, request: Request) -> Response:
        if request.host != HOST:
            return Response(403, b"")
        return respond(self.signing, request, endpoint=ENDPOINT)

    def _stamp(self, request: Request) -> Response:
        self.stamped += 1
        reply = stamp(request.body, self._authority, datetime.now(UTC))
        return Response(200, reply, {"Content-Type": "application/timestamp-reply"})
