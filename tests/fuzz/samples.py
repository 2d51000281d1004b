"""Where fuzzing starts: one unsigned and one signed, stamped file of each format, and the messages inside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from fuzz.targets import (
    ALGORITHM,
    SIGNATURE,
    ContainerTarget,
    FileTarget,
    Target,
    certificate_target,
    payload_target,
    reply_target,
    signature_target,
)
from kspsign.authenticode.cms.timestamp import check_reply, make_query
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.profile import PairedSignature, SigningTerms
from kspsign.embedded.authority import EmbeddedAuthority, create_authority
from kspsign.embedded.timestamp_reply import respond
from kspsign.model.values import Format
from support.formats import vsix_samples
from support.formats.appx_samples import Package
from support.formats.cab_samples import build_cab
from support.formats.cat_samples import catalogue
from support.formats.clickonce_samples import application_manifest, deployment_manifest
from support.formats.msi_samples import msitools_package
from support.formats.navx_samples import build_navx
from support.formats.nuget_samples import package
from support.formats.peimages import build_pe
from support.formats.script_samples import script
from support.formats.zips import Part, build_zip

FILES: dict[Format, tuple[str, Callable[[], bytes]]] = {
    Format.PE: (".exe", lambda: build_pe(overlay=b"payload" * 9)),
    Format.MSI: (".msi", msitools_package),
    Format.CAB: (".cab", build_cab),
    Format.CAT: (".cat", catalogue),
    Format.APPX: (".msix", lambda: Package().build()),
    Format.APPX_BUNDLE: (".msixbundle", lambda: Package().bundle({"inner.msix": Package().build()})),
    Format.NUGET: (".nupkg", package),
    Format.VSIX: (".vsix", vsix_samples.package),
    Format.NAVX: (".app", build_navx),
    Format.CLICKONCE_APPLICATION: (".manifest", lambda: application_manifest({})),
    Format.CLICKONCE_DEPLOYMENT: (".application", lambda: deployment_manifest("App.exe.manifest", b"")),
    Format.POWERSHELL: (".ps1", lambda: script("ps1")),
    Format.POWERSHELL_XML: (".ps1xml", lambda: script("ps1xml")),
    Format.VBSCRIPT: (".vbs", lambda: script("vbs")),
    Format.JSCRIPT: (".js", lambda: script("js")),
    Format.WSF: (".wsf", lambda: script("wsf")),
}


@cache
def authority() -> EmbeddedAuthority:
    """The throw-away authority of this process."""
    return create_authority(_now())


def _signed(kind: Format, folder: Path) -> bytes:
    suffix, make = FILES[kind]
    path, target = folder / f"unsigned{suffix}", folder / f"signed{suffix}"
    path.write_bytes(make())
    file = open_signable(path, kind)
    terms = SigningTerms(ALGORITHM, authority().signing_chain, moment=_now())
    digest = file.digest_to_sign(terms)
    unsigned = file.profile.prepare(terms, file.content(terms, digest))
    if isinstance(unsigned, PairedSignature):
        unsigned = unsigned.paired(_value(unsigned.companion))
    value = _value(unsigned.digest)
    token = _token(value)
    with target.open("wb") as out:
        file.embed(digest, (unsigned.assemble(value, terms.chain, token=token),), out)
    return target.read_bytes()


def _value(digest: bytes) -> bytes:
    return authority().leaf.key.sign(digest, PKCS1v15(), Prehashed(hashes.SHA256()))


@cache
def _signature(kind: Format) -> bytes:
    with TemporaryDirectory() as name:
        suffix, _make = FILES[kind]
        _signed(kind, Path(name))
        return open_signable(Path(name) / f"signed{suffix}", kind).signatures[0]


def _token(value: bytes) -> bytes:
    query = make_query(value, ALGORITHM)
    return check_reply(respond(query.der, authority(), _now()), query, value)[0]


def _now() -> datetime:
    return datetime.now(UTC)


MESSAGES: dict[str, Callable[[], Target]] = {
    "signature": lambda: signature_target((_signature(Format.PE),)),
    "timestamp-reply": lambda: reply_target((respond(make_query(SIGNATURE, ALGORITHM).der, authority(), _now()),)),
    "certificate": lambda: certificate_target(authority().signing_chain),
}
CONTAINERS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "container-zip": (".zip", lambda: build_zip([Part("a.dll", b"MZ" * 99, deflate=True), Part("b.txt", b"b")])),
    "container-msix": (".msix", lambda: Package().build()),
    "container-msixbundle": (".msixbundle", lambda: Package().bundle({"inner.msix": Package().build()})),
    "container-app": (".app", build_navx),
}
PAYLOADS: dict[str, tuple[Format, Callable[[], bytes]]] = {
    "payload-pe": (Format.PE, lambda: build_pe(overlay=build_cab())),
    "payload-msi": (Format.MSI, msitools_package),
}
TARGETS = (*sorted(FILES), *MESSAGES, *CONTAINERS, *PAYLOADS)


def open_target(name: str, folder: Path) -> Target:
    """The target of that name; files are written to `folder`."""
    if name in MESSAGES:
        return MESSAGES[name]()
    if name in CONTAINERS:
        suffix, make = CONTAINERS[name]
        return Target(ContainerTarget(folder, suffix).feed, (make(),))
    if name in PAYLOADS:
        kind, make = PAYLOADS[name]
        return payload_target(kind, folder, make())
    kind = Format(name)
    suffix, make = FILES[kind]
    target = FileTarget(kind, folder, suffix, authority())
    return Target(target.feed, (make(), _signed(kind, folder)))
