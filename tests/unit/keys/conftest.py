"""The roots of the system where TLS clients are tested: one, since reading those of a real system takes longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.pki import ca


@pytest.fixture(scope="session")
def system_roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that signed nothing, in the place of the hundred and more of a system."""
    path = tmp_path_factory.mktemp("system") / "roots.pem"
    path.write_bytes(ca("Root of the system").pem)
    return path


@pytest.fixture(autouse=True)
def few_system_roots(system_roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL reads them from here; each client reads all of them. The integration tests have the system's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(system_roots))
