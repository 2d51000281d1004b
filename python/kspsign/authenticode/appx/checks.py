"""The rules for a package's signature: checked before one is requested, and again when one is verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kspsign.authenticode.appx.digests import MAGIC
from kspsign.authenticode.appx.manifest import identity_difference
from kspsign.authenticode.appx.names import BUNDLE_MANIFEST, CONTENT_TYPES, MANIFEST
from kspsign.authenticode.appx.package import Package
from kspsign.authenticode.cms.file_signature import CmsSignature
from kspsign.authenticode.cms.profile import AUTHENTICODE
from kspsign.authenticode.cms.signature import content_fault, signer_fault
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Digest, nth
from kspsign.certificates.parse import parse_certificate
from kspsign.certificates.windows_name import difference, windows_name
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.plurals import count
from kspsign.model.values import Finding

_INSIDE_OUT = (
    "Sign the packages first, bundle them afterwards (MakeAppx bundle), then sign the bundle; or let the native engine "
    "sign packages and bundle in one run."
)
_BUNDLE_AGAIN = "Bundle the packages again (MakeAppx bundle); change nothing in a bundle after that."
_PACKAGE_SUFFIXES = (".appx", ".msix")
_REMEDIES = {"inner-packages": _INSIDE_OUT, "bundle-manifest": _BUNDLE_AGAIN}


def admit(package: Package, terms: SigningTerms) -> None:
    """Raise ArtifactError for whatever would make Windows refuse the package once it is signed on these terms."""
    if terms.append and package.signatures:
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            "it is signed already, and Windows reads one signature of a package",
            remedy="Choose --replace, or leave the file as it is (--skip-signed).",
        )
    if terms.algorithm is not package.block_map.algorithm:
        needed = package.block_map.algorithm
        raise ArtifactError(
            Hresult.ERROR_NOT_SUPPORTED,
            f"its block map is made with {needed}, so Windows accepts no signature with {terms.algorithm}",
            remedy=f"Sign it with --digest {needed}, or pack it with MakeAppx /h {terms.algorithm.upper()}.",
        )
    subject = parse_certificate(terms.chain[0]).subject
    if differs := difference(package.manifest.publisher, subject):
        manifest = BUNDLE_MANIFEST if package.bundle else MANIFEST
        raise ArtifactError(
            Hresult.APPX_E_INVALID_MANIFEST,
            differs,
            remedy=f'Pack it again with Identity Publisher="{windows_name(subject)}" in {manifest} '
            "(&quot; for a quotation mark), or sign with the publisher's certificate.",
        )
    if fault := package.block_map_fault:
        raise ArtifactError(Hresult.APPX_E_INVALID_BLOCKMAP, fault)
    for finding in _package_findings(package, inside_out=True):
        if finding.hresult is not None:
            raise ArtifactError(finding.hresult, finding.detail, remedy=_REMEDIES.get(finding.check))
    for stated, inner in zip(package.manifest.packages, package.inner, strict=True):
        if not inner.signatures:
            _admit_inner(stated.name, inner, terms)


def _admit_inner(name: str, inner: Package, terms: SigningTerms) -> None:
    """The same for a package in a bundle, which is signed first."""
    try:
        admit(inner, terms)
    except ArtifactError as refused:
        hresult = refused.hresult or Hresult.ERROR_BAD_FORMAT
        raise ArtifactError(
            hresult, f"the package {name} in the bundle: {refused.message}", remedy=refused.remedy
        ) from refused


def findings(package: Package, digest: Digest, signatures: Sequence[CmsSignature]) -> Iterator[Finding]:
    """The checks "package-parts", "hash-method", "publisher" of each signature, then those of the package."""
    for index, signature in enumerate(signatures):
        yield nth(index, _parts_finding(digest.values[signature.algorithm], signature))
        yield nth(index, _method_finding(package, signature))
        yield nth(index, _publisher_finding(package, signature))
    yield from _package_findings(package)


def _package_findings(package: Package, *, inside_out: bool = False) -> Iterator[Finding]:
    """The checks "content-types", "bundle-manifest" and "inner-packages", which read nothing more. With `inside_out`
    packages without a signature are to get one."""
    if package.signatures and not package.content_types.name_signature:
        yield Finding("content-types", "the signature has no content type", Hresult.TRUST_E_MALFORMED_SIGNATURE)
    elif fault := package.content_types.fault(entry.name for entry in package.archive.entries):
        yield Finding("content-types", fault, Hresult.APPX_E_CORRUPT_CONTENT)
    else:
        yield Finding("content-types", "every part has one")
    if package.bundle:
        yield _bundle_finding(package)
        yield _inner_finding(package, inside_out=inside_out)


def _parts_finding(actual: bytes, signature: CmsSignature) -> Finding:
    """Which of the digests differ, in words: the check "digest" has them as one value."""
    signed, held = _by_tag(signature.file_digest), _by_tag(actual)
    meaning = {
        b"AXPC": "the package's bytes", b"AXCD": "the ZIP directory", b"AXCT": CONTENT_TYPES, b"AXBM": "the block map",
        b"AXCI": "CodeIntegrity.cat",
    }  # fmt: skip
    if signed is None or held is None:
        return Finding("package-parts", "its digests are not those of a package", Hresult.TRUST_E_MALFORMED_SIGNATURE)
    changed = [words for tag, words in meaning.items() if signed.get(tag) != held.get(tag)]
    if changed or signature.file_digest != actual:
        changed_words = " and ".join(changed) or "the order of the digests"
        return Finding("package-parts", f"changed after signing: {changed_words}", Hresult.TRUST_E_BAD_DIGEST)
    return Finding("package-parts", "each as it was signed")


def _by_tag(value: bytes) -> dict[bytes, bytes] | None:
    """Digests by tag; None when the value is not a list of equally long digests, each after its tag."""
    for entries in (5, 4):
        size, rest = divmod(len(value) - len(MAGIC), entries)
        if value[:4] == MAGIC and not rest and size in {36, 52, 68}:
            return {value[at : at + 4]: value[at + 4 : at + size] for at in range(4, len(value), size)}
    return None


def _method_finding(package: Package, signature: CmsSignature) -> Finding:
    method = package.block_map.algorithm
    if signature.algorithm is method:
        return Finding("hash-method", f"{method} in block map and signature")
    detail = f"the block map is made with {method}, the signature with {signature.algorithm}"
    remedy = f"Sign it with --digest {method}, which is the block map's."
    return Finding("hash-method", detail, Hresult.ERROR_NOT_SUPPORTED, remedy)


def _publisher_finding(package: Package, signature: CmsSignature) -> Finding:
    if fault := _publisher_fault(package.manifest.publisher, signature):
        return Finding("publisher", fault, Hresult.APPX_E_INVALID_MANIFEST)
    return Finding("publisher", package.manifest.publisher)


def _publisher_fault(publisher: str, signature: CmsSignature) -> str | None:
    if signature.certificate is None:
        return "there is no certificate to compare it with"
    try:
        return difference(publisher, parse_certificate(signature.certificate).subject)
    except TrustError as broken:
        return broken.message


def _bundle_finding(package: Package) -> Finding:
    """The check "bundle-manifest": what it says of the packages is what these say of themselves."""
    if not package.manifest.applications:
        return _bad_bundle("the bundle has no application package, which Windows requires")
    for stated, inner in zip(package.manifest.packages, package.inner, strict=True):
        if not stated.name.lower().endswith(_PACKAGE_SUFFIXES):
            return _bad_bundle(f"{stated.name} in the bundle has a name that does not end in .appx or .msix")
        if difference := identity_difference(stated, inner.manifest):
            return _bad_bundle(f"{stated.name} in the bundle {difference}")
    return Finding("bundle-manifest", f"agrees with the manifests of {count(len(package.inner), 'package')}")


def _bad_bundle(detail: str) -> Finding:
    return Finding("bundle-manifest", detail, Hresult.APPX_E_INVALID_MANIFEST, _BUNDLE_AGAIN)


def _inner_finding(package: Package, *, inside_out: bool) -> Finding:
    for stated, inner in zip(package.manifest.packages, package.inner, strict=True):
        if inside_out and not inner.signatures:
            continue
        if fault := _inner_fault(package, inner):
            detail, hresult = fault
            return Finding("inner-packages", f"{stated.name} in the bundle {detail}", hresult)
    return Finding("inner-packages", f"{len(package.inner)}, each signed by the bundle's publisher")


def _inner_fault(package: Package, inner: Package) -> tuple[str, Hresult] | None:
    """Why the package in a bundle is not one that this bundle's publisher signed, None when it is."""
    if not inner.signatures:
        return "is not signed", Hresult.TRUST_E_NOSIGNATURE
    try:
        signature = AUTHENTICODE.read(inner.signatures[0])
    except TrustError as broken:
        return f"has a malformed signature: {broken.message}", Hresult.TRUST_E_MALFORMED_SIGNATURE
    if fault := content_fault(signature.message) or signer_fault(signature.message.signer, signature.certificate):
        return f"has a broken signature: {fault}", Hresult.TRUST_E_CERT_SIGNATURE
    for publisher in (inner.manifest.publisher, package.manifest.publisher):
        if differs := _publisher_fault(publisher, signature):
            return f"belongs to another publisher: {differs}", Hresult.APPX_E_INVALID_MANIFEST
    if faulty := next((finding for finding in _package_findings(inner) if finding.hresult), None):
        return f"is damaged: {faulty.detail}", Hresult.APPX_E_CORRUPT_CONTENT
    return None
