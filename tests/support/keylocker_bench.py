"""Many files, a paid key store and timestamp servers of every mood: what tests of throughput and faults start from."""

from __future__ import annotations

import contextlib
import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import EmbeddedAuthority
from support.digicert_one.answers import Request
from support.digicert_one.fixture import Host, running
from support.digicert_one.world import SigningKey
from support.formats.peimages import build_pe

PLENTY = 1_000_000


def of_another_digest(request: Request) -> Request:
    """A request for a signature, changed to one of another digest."""
    other = b64encode(bytes(32)).decode()
    return replace(request, body=json.dumps({**json.loads(request.body), "hash": other}).encode())


@dataclass(frozen=True)
class Bench:
    """A KeyLocker host whose every signature counts, and a folder of files to sign with it."""

    host: Host
    folder: Path
    roots: Path

    @property
    def dist(self) -> Path:
        """Where the files are."""
        return self.folder / "dist"

    @property
    def store(self) -> Path:
        """The thumbprint store, with the journal in it."""
        return self.folder / "store"

    @property
    def spent(self) -> int:
        """Signatures that the key store made."""
        return self.host.world.spent

    @property
    def kept(self) -> set[bytes]:
        """The digests of the signatures that runs wrote down in the journal, in whole lines."""
        found: set[bytes] = set()
        for line in [line for path in (self.store / "journal").glob("*") for line in path.read_bytes().splitlines()]:
            with contextlib.suppress(ValueError):  # cut off by a kill
                entry = json.loads(line)
                if "signature" in entry:
                    found.add(bytes.fromhex(entry["digest"]))
        return found

    def files(self, count: int) -> dict[Path, bytes]:
        """Fresh images that all differ, with their content."""
        self.dist.mkdir(exist_ok=True)
        made = {self.dist / f"{number:04}.dll": build_pe(overlay=b"file %d" % number) for number in range(count)}
        for path, content in made.items():
            path.write_bytes(content)
        return made

    def arguments(self, *urls: str) -> list[str]:
        """What makes kspsign sign all of them."""
        servers = [part for url in urls for part in ("--timestamp-url", url)] if urls else ["--no-timestamp"]
        return ["sign", "*.dll", "--folder", str(self.dist), *self.key, *servers]

    @property
    def key(self) -> list[str]:
        """The key that signs, and what is trusted."""
        named = ("--key-store", "keylocker", "--keypair-alias", "release")
        return [*named, "--trust-root", str(self.roots), "--store", str(self.store)]


@contextlib.contextmanager
def open_bench(
    folder: Path, authority: EmbeddedAuthority, *, latency: float = 0.0, key: SigningKey | None = None
) -> Iterator[Bench]:
    """A bench in `folder`; timestamps of `authority` are trusted. Without a `key` it is one of ECDSA."""
    files = folder / "host"
    files.mkdir()
    with running(files, latency=latency) as host:
        pair = host.world.add_keypair("release", key)
        pair.quota = PLENTY
        host.world.add_certificate(pair, "code")
        roots = files / "roots.pem"
        roots.write_bytes(host.world.root.pem + authority.root.certificate.public_bytes(Encoding.PEM))
        yield Bench(host, folder, roots)
