"""The embedded key store: throw-away keys in a private folder of the thumbprint store, for test signing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from kspsign.embedded.authority import EmbeddedAuthority, load_authority, load_or_create
from kspsign.keys.local.sign import IN_MEMORY, sign_digest
from kspsign.keys.protocol import reference_part
from kspsign.model.values import DigestAlgorithm, RawSignature
from kspsign.settings.model import Settings


class EmbeddedKeyStore:
    """The leaf of an `EmbeddedAuthority` kept in `folder`; satisfies `KeyStore`."""

    name: Final = "embedded"
    test_signing: Final = True
    capabilities: Final = IN_MEMORY

    def __init__(self, folder: Path, authority: EmbeddedAuthority) -> None:
        self._folder = folder
        self._authority = authority

    @classmethod
    def open(cls, settings: Settings, _cancelled: threading.Event) -> Self:
        """The one in the thumbprint store, its keys made on the first use; raises PrerequisiteError."""
        folder = settings.store_folder / "embedded"
        return cls(folder, load_or_create(folder))

    @classmethod
    def reopen(cls, reference: Mapping[str, str], _settings: Settings, _cancelled: threading.Event) -> Self:
        """The one that `reference` tells; raises PrerequisiteError when it is not there any more."""
        folder = Path(reference_part(reference, "folder"))
        return cls(folder, load_authority(folder))

    def remarks(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def certificate_chain(self) -> tuple[bytes, ...]:
        """Leaf, intermediate and root as DER."""
        return self._authority.signing_chain

    def key_reference(self) -> dict[str, str]:
        """The folder, absolute."""
        return {"folder": str(self._folder.absolute())}

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest with the leaf's key; costs nothing. Raises SigningError."""
        return sign_digest(self._authority.leaf.key, digest, algorithm)

    def close(self) -> None:
        """Do nothing: no session is held."""
