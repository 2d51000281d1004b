"""One signed file of each format, and how a changed message is put where its signature was.

All is made in this process with a throw-away authority: a signature costs a few milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from asn1crypto import cms
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding

from fuzz.samples import FILES, authority
from kspsign.authenticode.cms import oids
from kspsign.authenticode.cms.profile import AUTHENTICODE
from kspsign.authenticode.cms.timestamp import check_reply, make_query
from kspsign.authenticode.cms.write import add_nested, add_token
from kspsign.authenticode.formats import detect_format, open_signable
from kspsign.authenticode.profile import SigningTerms
from kspsign.authenticode.signable import Glimpse, SignableFile
from kspsign.certificates.windows_name import windows_name
from kspsign.embedded.timestamp_reply import respond
from kspsign.model.errors import KspSignError, TrustError
from kspsign.model.values import DigestAlgorithm, Format
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors, combined, default_anchors
from kspsign.verifying.verifier import Verifier
from support.formats.appx_samples import Package
from support.formats.cab_samples import build_cab
from support.formats.nuget_samples import countersigned, package
from support.formats.peimages import build_pe
from support.pki import Issued, ca, signer
from support.samples import CORPUS

ALGORITHM = DigestAlgorithm.SHA256
VENDOR = CORPUS / "debugpy" / "debugpy" / "_vendored" / "pydevd" / "pydevd_attach_to_process" / "attach_x86.dll"
"""Signed and stamped by Microsoft, whose tokens have the certificate of a clock."""


@dataclass(frozen=True)
class Sample:
    """A signed file that verifies, and its message. `put` gives the file with another message in its place, None where
    the message is refused before it is embedded."""

    format_: Format
    suffix: str
    data: bytes
    message: bytes
    put: Callable[[bytes], bytes | None]
    der_changes: bool = True


class Court:
    """The verdict on changed files, by the production verifier."""

    def __init__(self, folder: Path) -> None:
        own = TrustAnchors.from_certificates([authority().signing_chain[-1], repository()[0].der])
        anchors = combined(own, default_anchors())
        self._verifier = Verifier(Trust(anchors, anchors, timestamp_required=False))
        self._folder = folder

    def fault(self, sample: Sample, data: bytes) -> str | None:
        """Why a file of the sample's format with this content does not verify; None when it does."""
        path = self._folder / f"judged{sample.suffix}"
        path.write_bytes(data)
        format_ = detect_format(Glimpse(path, data[:4096], len(data)))
        error = self._verifier.verify(path, format_).error
        return None if error is None else f"{error.code}: {error.message}"


@cache
def repository() -> tuple[Issued, Issued]:
    """A package repository's root and its signer."""
    end = datetime.now(UTC) + timedelta(days=80)
    root = ca("Repository root", key=rsa.generate_private_key(65537, 2048), end=end)
    return root, signer("Repository", root, key=rsa.generate_private_key(65537, 2048), end=end)


def _message(file: SignableFile, *, stamped: str = "token") -> bytes:
    """A signature of the file by the throw-away authority, timestamped this way."""
    own = authority()
    terms = SigningTerms(ALGORITHM, own.signing_chain, moment=datetime.now(UTC), page_hashes=True)
    unsigned = file.profile.prepare(terms, file.content(terms, file.digest_to_sign(terms)))
    value = own.leaf.key.sign(unsigned.digest, PKCS1v15(), Prehashed(hashes.SHA256()))
    if stamped == "token":
        return bytes(unsigned.assemble(value, terms.chain, token=_token(value)))
    unit = own.timestamp.certificate.public_bytes(Encoding.DER)
    plain = unsigned.assemble(value, (*terms.chain, unit), token=None)
    rules = replace(AUTHENTICODE, token_attribute=oids.OID_COUNTER_SIGNATURE)
    return add_token(plain, _counter_signature(value), rules)


def _token(value: bytes) -> bytes:
    query = make_query(value, ALGORITHM)
    return check_reply(respond(query.der, authority(), datetime.now(UTC)), query, value)[0]


def _counter_signature(value: bytes) -> bytes:
    """A PKCS#9 counter-signature by the authority's timestamp unit, as timestamps were before RFC 3161."""
    own = authority()
    certificate = cms.Certificate.load(own.timestamp.certificate.public_bytes(Encoding.DER))
    values = {
        "content_type": "data",
        "signing_time": cms.Time({"utc_time": datetime.now(UTC)}),
        "message_digest": hashlib.sha256(value).digest(),
    }
    attributes = cms.CMSAttributes(
        [cms.CMSAttribute({"type": kind, "values": [value]}) for kind, value in values.items()]
    )
    sid = cms.IssuerAndSerialNumber({"issuer": certificate.issuer, "serial_number": certificate.serial_number})
    info = cms.SignerInfo(
        {
            "version": "v1",
            "sid": sid,
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
            "signature": own.timestamp.key.sign(attributes.dump(), PKCS1v15(), hashes.SHA256()),
        }
    )
    return bytes(info.dump())


def _publisher() -> str:
    return windows_name(authority().leaf.certificate.subject)


def _content(format_: Format) -> bytes:
    if format_ is Format.APPX:
        return Package(publisher=_publisher(), files={"App.exe": b"MZ" * 50}).build()
    return FILES[format_][1]()


def _sample(
    folder: Path, format_: Format, suffix: str, content: bytes, message: Callable[[SignableFile], tuple[bytes, ...]]
) -> Sample:
    """The content signed with the first of the messages that `message` makes, the others after it."""
    unsigned, signed = folder / f"unsigned{suffix}", folder / f"signed{suffix}"
    unsigned.write_bytes(content)
    file = open_signable(unsigned, format_, replacing=True)
    first, *others = message(file)
    digest = file.digest_to_sign(SigningTerms(ALGORITHM, authority().signing_chain, page_hashes=True))

    def put(changed: bytes) -> bytes | None:
        try:
            with signed.open("w+b") as out:
                file.embed(digest, (changed, *others), out)
        except TrustError:
            return None  # a package of Windows Installer is embedded by what its signature says
        return signed.read_bytes()

    data = put(first)
    assert data is not None
    return Sample(format_, suffix, data, first, put)


def _one(file: SignableFile) -> tuple[bytes, ...]:
    return (_message(file),)


def _nested(file: SignableFile) -> tuple[bytes, ...]:
    return (add_nested(_message(file), _message(file)),)


def _legacy(file: SignableFile) -> tuple[bytes, ...]:
    return (_message(file, stamped="counter-signature"),)


def _two(file: SignableFile) -> tuple[bytes, ...]:
    return _message(file), _message(file)


def _vendor(folder: Path) -> Sample:
    return _sample(folder, Format.PE, ".dll", VENDOR.read_bytes(), lambda file: file.signatures)


def _countersigned(folder: Path) -> Sample:
    author = _sample(folder, Format.NUGET, ".nupkg", package(), _one)
    path = folder / "author.nupkg"
    path.write_bytes(author.data)
    data = countersigned(path, repository()[1])
    path.write_bytes(data)
    message = open_signable(path, Format.NUGET).signatures[0]
    return Sample(Format.NUGET, ".nupkg", data, message, author.put)


def _bundle(folder: Path, *, inner: bool) -> Sample:
    """A bundle with one signed package; its message is the bundle's own, or the inner package's."""
    held = _sample(folder, Format.APPX, ".msix", _content(Format.APPX), _one)

    def bundle_of(packed: bytes) -> Sample:
        content = Package(publisher=_publisher()).bundle({"inner.msix": packed})
        return _sample(folder, Format.APPX_BUNDLE, ".msixbundle", content, _one)

    whole = bundle_of(held.data)
    if not inner:
        return whole

    def put(changed: bytes) -> bytes | None:
        packed = held.put(changed)
        try:
            return None if packed is None else bundle_of(packed).data
        except KspSignError:
            return None

    return Sample(Format.APPX_BUNDLE, ".msixbundle", whole.data, held.message, put)


def _of_set(folder: Path) -> Sample:
    """A cabinet in the middle of a set, with all that reserves and names may hold."""
    names = ((b"one.cab", b"Disk 1"), (b"three.cab", b"Disk 3"))
    content = build_cab(folders=2, previous=names[0], following=names[1], number=1, folder_reserve=4, data_reserve=4)
    return _sample(folder, Format.CAB, ".cab", content, _one)


def _plain(format_: Format) -> Callable[[Path], Sample]:
    return lambda folder: _sample(folder, format_, FILES[format_][0], _content(format_), _one)


_XML = frozenset({Format.VSIX, Format.CLICKONCE_APPLICATION, Format.CLICKONCE_DEPLOYMENT})
"""Formats whose message is XML: integration/formats/test_vsix_tampering.py and test_clickonce_tampering.py change it,
and what is around it."""
SAMPLES: dict[str, Callable[[Path], Sample]] = {
    **{str(format_): _plain(format_) for format_ in FILES if format_ not in {Format.APPX_BUNDLE, *_XML}},
    "bundle": lambda folder: _bundle(folder, inner=False),
    "bundle-inner": lambda folder: _bundle(folder, inner=True),
    "cab-set": _of_set,
    "efi": lambda folder: _sample(folder, Format.PE, ".efi", build_pe(subsystem=10), _two),
    "nested": lambda folder: _sample(folder, Format.PE, ".exe", _content(Format.PE), _nested),
    "counter-signature": lambda folder: _sample(folder, Format.PE, ".exe", _content(Format.PE), _legacy),
    "nuget-repository": _countersigned,
    "vendor": _vendor,
}
