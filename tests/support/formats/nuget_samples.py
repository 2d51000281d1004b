"""NuGet packages, and the repository's signatures that nuget.org would put into them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from asn1crypto import core
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from kspsign.authenticode.cms import oids
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.nuget.package import NugetFile
from kspsign.authenticode.nuget.profile import NUGET, signature_content
from kspsign.authenticode.profile import SigningTerms
from kspsign.certificates import der
from kspsign.model.values import DigestAlgorithm
from support.formats import cms_schema
from support.formats.zips import Part, build_zip
from support.pki import Issued

INDEX = "https://api.example.org/v3/index.json"
_COMMITMENT, _ORIGIN = "1.2.840.113549.1.9.16.2.16", "1.2.840.113549.1.9.16.6.1"
_RECEIPT = "1.2.840.113549.1.9.16.6.2"
_URL, _OWNERS = "1.3.6.1.4.1.311.84.2.1.1.1", "1.3.6.1.4.1.311.84.2.1.1.2"
PARTS = (
    Part("_rels/.rels", b"<Relationships/>", deflate=True),
    Part("Contoso.Tools.nuspec", b"<package/>", deflate=True),
    Part("lib/net8.0/Contoso.Tools.dll", b"MZ" + bytes(range(256)) * 4, deflate=True),
    Part("content/empty.txt", descriptor=True),
    Part("[Content_Types].xml", b"<Types/>"),
)


def package(*more: Part, zip64: bool = False) -> bytes:
    """An unsigned package."""
    return build_zip([*PARTS, *more], zip64=zip64)


def repository_signed(path: Path, issued: Issued, *, url: str = INDEX) -> bytes:
    """The unsigned package at `path` with a repository's signature, as nuget.org signs what has no author's."""
    file = NugetFile.open(Snapshot(path))
    digest = file.digest([DigestAlgorithm.SHA256])
    content = signature_content(DigestAlgorithm.SHA256, digest.values[DigestAlgorithm.SHA256])
    target = path.with_suffix(".repository")
    with target.open("wb") as out:
        file.embed(digest, (_sign(issued, content, url),), out)
    return target.read_bytes()


def author_signed(path: Path, issued: Issued) -> bytes:
    """The unsigned package at `path` with an author's signature, whatever NuGet says to the certificate."""
    file = NugetFile.open(Snapshot(path))
    digest = file.digest([DigestAlgorithm.SHA256])
    content = signature_content(DigestAlgorithm.SHA256, digest.values[DigestAlgorithm.SHA256])
    target = path.with_suffix(".author")
    with target.open("wb") as out:
        file.embed(digest, (_sign(issued, content, "", receipt=False),), out)
    return target.read_bytes()


def countersigned(path: Path, issued: Issued, *, times: int = 1, receipt: bool = True, over: bytes = b"") -> bytes:
    """The author-signed package at `path` with a repository's signature over the author's (or `over`)."""
    file = NugetFile.open(Snapshot(path))
    info = cms_schema.ContentInfo.load(file.signatures[0])
    signed = info["content"]
    signer = signed["signer_infos"][0]
    own = _sign(issued, der.octet_string(over or signer["signature"].native), INDEX, receipt=receipt)
    counter = cms_schema.ContentInfo.load(own)["content"]["signer_infos"][0]
    unsigned = [] if isinstance(signer["unsigned_attrs"], core.Void) else list(signer["unsigned_attrs"])
    values = [core.Any.load(counter.dump())] * times
    attribute = cms_schema.Attribute({"type": oids.OID_COUNTER_SIGNATURE, "values": values})
    fields = ("version", "sid", "digest_algorithm", "signed_attrs", "signature_algorithm", "signature")
    kept = {name: signer[name] for name in fields}
    signed["signer_infos"] = [cms_schema.SignerInfo({**kept, "unsigned_attrs": [*unsigned, attribute]})]
    signed["certificates"] = [*signed["certificates"], core.Any.load(issued.der)]
    target = path.with_suffix(".countersigned")
    with target.open("wb") as out:
        file.embed(file.digest([]), (info.dump(force=True),), out)
    return target.read_bytes()


def _sign(issued: Issued, content: bytes, url: str, *, receipt: bool = True) -> bytes:
    kind = _RECEIPT if receipt else _ORIGIN
    more = {
        _COMMITMENT: der.sequence(der.oid(kind)),
        _URL: der.element(0x16, url.encode()),
        _OWNERS: der.sequence(der.element(0x0C, b"contoso"), der.element(0x0C, b"fabrikam")),
    }
    profile = replace(NUGET, attributes=lambda terms: {**NUGET.attributes(terms), **(more if url else {})})
    terms = SigningTerms(DigestAlgorithm.SHA256, (issued.der,))
    unsigned = profile.prepare(terms, content)
    return unsigned.assemble(_raw(issued, unsigned.digest), terms.chain, token=None)


def _raw(issued: Issued, digest: bytes) -> bytes:
    if isinstance(issued.key, ec.EllipticCurvePrivateKey):
        return issued.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    assert isinstance(issued.key, rsa.RSAPrivateKey)
    return issued.key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
