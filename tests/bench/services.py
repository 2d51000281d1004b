"""The services of the benchmarks, each a process of its own: `services.py KIND JSON`.

Prints what its clients need as one line of JSON, and on each line of standard input what it counted so far.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.quick_stamps import QuickStamps
from kspsign.embedded.authority import load_authority
from support.digicert_one.fixture import running
from support.key_contract.azure import VAULT, KeyVault, Profile
from support.key_contract.local import Token
from support.key_vault.answers import Request, Response, answer
from support.timestamping.server import Stamping, Trouble, every_other

TROUBLE: dict[str, Callable[[int], Trouble | None]] = {"none": lambda _number: None, "every other": every_other}


@contextmanager
def quick_stamps(authority: str, latency: float) -> Iterator[tuple[Any, Callable[[], Any]]]:
    """A timestamp server of the embedded authority in the folder `authority`, as cheap as can be."""
    server = QuickStamps(load_authority(Path(authority)), latency)
    yield {"url": server.url}, lambda: {"stamped": server.stamped}


@contextmanager
def stamping(authority: str, latency: float = 0.0, trouble: str = "none") -> Iterator[tuple[Any, Callable[[], Any]]]:
    """A timestamp server of the embedded authority in the folder `authority`."""
    with Stamping(load_authority(Path(authority)), latency=latency, trouble=TROUBLE[trouble]) as server:
        yield {"url": server.url}, lambda: {"asked": server.asked, "stamped": server.stamped}


@contextmanager
def keylocker(latency: float = 0.0, most: int | None = None) -> Iterator[tuple[Any, Callable[[], Any]]]:
    """A KeyLocker host with one key pair, "release", that signs without end."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), latency=latency) as host:
        pair = host.world.add_keypair("release")
        pair.quota = sys.maxsize
        host.world.add_certificate(pair, "code")
        host.service.most = most

        told = {"environment": host.environment, "root": host.world.root.pem.decode()}
        yield told, lambda: {"spent": host.world.spent, "throttled": host.service.throttled}


@contextmanager
def key_store(store: str, authority: str, latency: float) -> Iterator[tuple[Any, Callable[[], Any]]]:
    """A key store of the contract whose signatures take so many seconds; a token has no latency and does not count."""
    stores = {"key vault": KeyVault, "artifact signing": Profile, "token": Token}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        opened = stores[store](Path(folder), stack, load_authority(Path(authority)))
        if isinstance(opened, KeyVault):
            _slow(opened, latency)
        elif isinstance(opened, Profile):
            opened.server.signing.seconds = latency
        told = {"options": [str(option) for option in opened.options], "environment": dict(opened.environment)}
        roots = opened.trust.read_text(encoding="ascii")
        yield {**told, "roots": roots}, lambda: {} if isinstance(opened, Token) else {"spent": opened.spent}


def _slow(store: KeyVault, seconds: float) -> None:
    """Signatures take so long, side by side."""
    server = store.server

    def respond(request: Request) -> Response:
        if store.is_sign(request):
            time.sleep(seconds)
        with server.lock:
            return answer(server.world, request)

    server.services[VAULT] = respond


def main() -> None:
    """Serve until standard input ends."""
    threading.stack_size(256 * 1024)
    kind, options = sys.argv[1], json.loads(sys.argv[2])
    services: dict[str, Callable[..., Any]] = {
        "quick stamps": quick_stamps,
        "stamping": stamping,
        "keylocker": keylocker,
        "key store": key_store,
    }
    with services[kind](**options) as (told, counted):
        print(json.dumps(told), flush=True)
        for _line in sys.stdin:
            print(json.dumps(counted()), flush=True)


if __name__ == "__main__":
    main()
