"""The embedded key store: throw-away keys in a private folder of the thumbprint store, for test signing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from kspsign.embedded.authority import EmbeddedAuthority, load_authority, load_or_create
from kspsign.keys.embedded.options import EmbeddedOptions
from kspsign.keys.in_memory import IN_MEMORY, examine_test_signature, sign_digest
from kspsign.keys.prerequisites import (
    CERTIFICATE,
    CREDENTIALS,
    KEY,
    TEST_SIGNATURE,
    Prerequisite,
    completed,
    examine_certificate,
    failed,
    passed,
)
from kspsign.keys.protocol import KeyStore, Surroundings, reference_part
from kspsign.model.errors import PrerequisiteError
from kspsign.model.values import DigestAlgorithm, RawSignature

_LATER = "the first run creates key and certificate"


class EmbeddedKeyStore(KeyStore):
    """The leaf of an `EmbeddedAuthority` kept in `folder`; the whole `authority` is there for its timestamps."""

    name: Final = "embedded"
    test_signing: Final = True
    capabilities: Final = IN_MEMORY

    def __init__(self, folder: Path, authority: EmbeddedAuthority) -> None:
        self._folder = folder
        self.authority = authority

    @classmethod
    def open(cls, _options: EmbeddedOptions, surroundings: Surroundings) -> Self:
        """The one in the thumbprint store, its keys made on the first use; raises PrerequisiteError."""
        folder = _folder(surroundings)
        return cls(folder, load_or_create(folder))

    @classmethod
    def reopen(cls, reference: Mapping[str, str], _options: EmbeddedOptions, _surroundings: Surroundings) -> Self:
        """The one that `reference` names; raises PrerequisiteError when it is not there any more."""
        folder = Path(reference_part(reference, "folder"))
        return cls(folder, load_authority(folder))

    @classmethod
    def examine(cls, _options: EmbeddedOptions, surroundings: Surroundings) -> Iterator[Prerequisite]:
        """Whether the test keys are usable; none are made."""
        yield passed(CREDENTIALS, "not needed: test signing uses throw-away keys")
        yield from completed((KEY, CERTIFICATE, TEST_SIGNATURE), _examined(_folder(surroundings)), _LATER)

    def certificate_chain(self) -> tuple[bytes, ...]:
        """Leaf, intermediate and root as DER."""
        return self.authority.signing_chain

    def key_reference(self) -> dict[str, str]:
        """The folder, absolute."""
        return {"folder": str(self._folder.absolute())}

    def sign(self, digest: bytes, algorithm: DigestAlgorithm) -> RawSignature:
        """Sign a digest with the leaf's key; costs nothing. Raises SigningError."""
        return sign_digest(self.authority.leaf.key, digest, algorithm)


def _examined(folder: Path) -> Iterator[Prerequisite]:
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        authority = load_authority(folder)
    except PrerequisiteError as error:
        expired = error.code == "EMBEDDED_EXPIRED"
        if expired:
            yield passed(KEY, f"is in {folder}")
        yield failed(CERTIFICATE if expired else KEY, error)
        return
    yield passed(KEY, f"is in {folder}")
    yield examine_test_signature(authority.leaf.key, authority.signing_chain[0])
    yield examine_certificate(authority.signing_chain)


def _folder(surroundings: Surroundings) -> Path:
    return surroundings.store_folder / "embedded"
