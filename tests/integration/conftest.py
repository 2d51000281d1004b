"""What integration tests share: one store and one set of signed files per test process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.embedded.authority import EmbeddedAuthority, load_or_create
from kspsign.embedded.timestamp_server import TimestampServer
from support.azure_devops.server import AzureServer
from support.azure_devops.uploads import Upload, step_variables, uploads
from support.certificates import PASSWORD, PASSWORD_VARIABLE, rsa_key, signing_file
from support.formats.peimages import build_pe
from support.samples import Run, Store, copy_launcher, kspsign
from support.signing import Publisher


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store to which the embedded authority's certificate was synchronised."""
    folder = tmp_path_factory.mktemp("store")
    authority = load_or_create(folder / "embedded")
    root = folder / "root.pem"
    root.write_bytes(authority.root.certificate.public_bytes(Encoding.PEM))
    run = kspsign("run", copy_launcher(folder), "--key-store", "embedded", "--store", folder, folder=folder)
    assert run.code == 0
    return Store(folder, str(run.report["certificate"]["thumbprint"]), root)


@pytest.fixture(scope="session")
def signed_launcher(store: Store, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real launcher, signed and stamped."""
    folder = tmp_path_factory.mktemp("launcher")
    path = copy_launcher(folder, "cli-32.exe")
    assert sign(path, store).code == 0
    return path.read_bytes()


@pytest.fixture(scope="session")
def signed_image(store: Store, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An image of ours with two sections and data behind them, signed and stamped."""
    path = tmp_path_factory.mktemp("image") / "image.exe"
    path.write_bytes(build_pe(overlay=b"payload of an installer" * 11))
    assert sign(path, store).code == 0
    return path.read_bytes()


@pytest.fixture
def azure() -> Iterator[AzureServer]:
    """Azure DevOps on loopback, with nothing in it."""
    with AzureServer() as server:
        yield server


@pytest.fixture(scope="session")
def proof(store: Store, signed_launcher: bytes, tmp_path_factory: pytest.TempPathFactory) -> tuple[Upload, ...]:
    """What a real `kspsign verify` of one signed file attached to build 4711."""
    folder = tmp_path_factory.mktemp("proof")
    (folder / "app.exe").write_bytes(signed_launcher)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in step_variables("https://example.org/Contoso", folder / "temp").items():
            environment.setenv(name, value)
        run = kspsign("verify", folder / "app.exe", "--trust-root", store.root, folder=folder)
    assert run.code == 0
    return tuple(uploads(run.text))


def sign(path: Path, store: Store) -> Run:
    """Sign one file with the embedded key."""
    return kspsign("sign", path, "--thumbprint", store.thumbprint, "--store", store.folder, folder=path.parent)


@pytest.fixture
def authority_root(authority: EmbeddedAuthority, tmp_path: Path) -> Path:
    """The root of `authority`, to which the `timestamp_server` belongs, as PEM."""
    path = tmp_path / "authority-root.pem"
    path.write_bytes(authority.root.certificate.public_bytes(Encoding.PEM))
    return path


@pytest.fixture(scope="session")
def publisher(
    authority: EmbeddedAuthority, timestamp_server: TimestampServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Publisher]:
    """CN=Test publisher with RSA keys all the way up, and everything it takes to sign in its name."""
    folder = tmp_path_factory.mktemp("publisher")
    file, roots = signing_file(folder, key=rsa_key(2048), root_key=rsa_key(2048)), folder / "roots.pem"
    roots.write_bytes(file.root.read_bytes() + authority.root.certificate.public_bytes(Encoding.PEM))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(PASSWORD_VARIABLE, PASSWORD)
        yield Publisher(file, timestamp_server.url, roots)
