"""What is asked of a manifest before it is signed, and of its signature beyond what holds for every signature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from kspsign.authenticode.clickonce.identity import publisher_of, rsa_key_of
from kspsign.authenticode.clickonce.license import identity_of
from kspsign.authenticode.clickonce.manifest import ClickOnceManifest
from kspsign.authenticode.clickonce.signature import ManifestSignature
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Digest
from kspsign.model.errors import ArtifactError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding


def admit(manifest: ClickOnceManifest, terms: SigningTerms) -> None:
    """Raise ArtifactError when the manifest can't be signed on these terms."""
    if terms.append and manifest.signature is not None:
        _refuse("it is signed already, and a manifest has one signature", "Choose --replace.")
    if terms.algorithm is not DigestAlgorithm.SHA256:
        _refuse(
            f"Windows reads no ClickOnce signature of {terms.algorithm.value}",
            "Sign it with --digest sha256, in a run of its own where other files need another digest.",
        )
    rsa_key_of(terms.chain[0])
    publisher_of(terms.chain)
    if manifest.token is None:
        _refuse(
            "its assemblyIdentity has no publicKeyToken, where the token of the signing key belongs",
            'Create it with publicKeyToken="0000000000000000", as mage and MSBuild do.',
        )
    try:
        identity_of(manifest.identity)
    except ValueError as broken:
        _refuse(str(broken), "Declare namespaces at the root element, as mage and MSBuild do.")
    weak = next((entry.name for entry in manifest.entries if entry.algorithm is DigestAlgorithm.SHA1), None)
    if weak is not None:
        raise ArtifactError(
            Hresult.NTE_BAD_ALGID,
            f"it states the hash of {weak} by SHA-1, which proves nothing",
            remedy="Create the manifest with SHA-256: mage -Algorithm sha256RSA, or a target framework from 4.5 on.",
        )


def findings(manifest: ClickOnceManifest, digest: Digest, signature: ManifestSignature) -> Iterator[Finding]:
    """The checks "strong-name" and "manifest-license"."""
    fault = _strong_name_fault(manifest, digest, signature)
    if fault is None:
        yield Finding("strong-name", f"made with the publisher's key, whose token is {manifest.token}")
    else:
        yield Finding("strong-name", *fault)
    mismatch = _license_fault(manifest, signature)
    if mismatch is None:
        yield Finding("manifest-license", "grants this manifest, by its hash and identity")
    else:
        yield Finding("manifest-license", mismatch, Hresult.TRUST_E_BAD_DIGEST)


def _strong_name_fault(
    manifest: ClickOnceManifest, digest: Digest, signature: ManifestSignature
) -> tuple[str, Hresult] | None:
    actual, stated = digest.values[signature.algorithm], signature.strong_reference.digest
    if actual != stated:
        return f"signed {stated.hex()}, the manifest has {actual.hex()}", Hresult.TRUST_E_BAD_DIGEST
    fault = signature.strong_name_fault()
    if fault is not None:
        return fault, Hresult.TRUST_E_CERT_SIGNATURE
    token = signature.token()
    if manifest.token is None or manifest.token.lower() != token:
        return f"the identity has the token {manifest.token}, the key {token}", Hresult.TRUST_E_CERT_SIGNATURE
    return None


def _license_fault(manifest: ClickOnceManifest, signature: ManifestSignature) -> str | None:
    grant = signature.license.grant
    if grant.digest != signature.strong_reference.digest:
        return "licence and strong name are of two manifests"
    try:
        identity = identity_of(manifest.identity)
    except ValueError as broken:
        return str(broken)
    if grant.identity != identity:
        return "the licence is for another identity than the manifest's"
    return None


def _refuse(what: str, remedy: str) -> NoReturn:
    raise ArtifactError(Hresult.ERROR_NOT_SUPPORTED, what, remedy=remedy)
