"""A running host with one user, ready to be asked: what tests of the client start from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.digicert_one.access import PASSWORD, Access
from support.digicert_one.server import DigicertOne
from support.digicert_one.world import World


@dataclass(frozen=True)
class Host:
    """The service, what it holds, and the files for its clients."""

    service: DigicertOne
    access: Access
    client: Path

    @property
    def world(self) -> World:
        return self.service.world

    @property
    def environment(self) -> dict[str, str]:
        """The credentials as DigiCert's own tools read them."""
        return {
            "SM_HOST": self.service.url,
            "SM_API_KEY": self.world.user.api_key,
            "SM_CLIENT_CERT_FILE": str(self.client),
            "SM_CLIENT_CERT_PASSWORD": PASSWORD,
            "SM_CA_FILE": str(self.access.ca_file),
        }

    @property
    def root(self) -> Path:
        """The root of its code-signing certificates."""
        path = self.access.folder / "code-root.pem"
        path.write_bytes(self.world.root.pem)
        return path


@contextlib.contextmanager
def running(folder: Path, *, latency: float = 0.0) -> Iterator[Host]:
    """A host with files in `folder`; its world holds nothing yet."""
    access, world = Access.create(folder), World()
    with DigicertOne(world, access.context(), latency=latency) as service:
        yield Host(service, access, access.client_p12(world.user.name))
