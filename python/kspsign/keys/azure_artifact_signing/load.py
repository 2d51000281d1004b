"""The store, loaded with Microsoft's sign-in: which is an extra, and runs `uname` with the whole environment."""

from __future__ import annotations

from kspsign.keys.azure_identity.installed import azure_clients

with azure_clients("azure-artifact-signing"):
    from kspsign.keys.azure_artifact_signing.store import ArtifactSigningStore

__all__ = ["ArtifactSigningStore"]
