"""The licence in a manifest's signature (XrML, urn:mpeg:mpeg21:2003:01-REL-R-NS): it grants the manifest, by its hash
and identity, to the publisher whose certificate signs the licence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kspsign.authenticode.clickonce.names import AUTHENTICODE, LICENSE
from kspsign.authenticode.xmldsig.document import XmlNode
from kspsign.authenticode.xmldsig.structure import XmlFields, malformed, text_of
from kspsign.authenticode.xmldsig.write import Markup, element

_PREFIXES = {"xmlns:r": LICENSE, "xmlns:as": AUTHENTICODE}


class Grant(NamedTuple):
    """What a licence says: the manifest's digest, its identity (attributes by name), the publisher's subject, and
    what the publisher calls it."""

    digest: bytes
    identity: Mapping[str, str]
    subject: str
    description: str
    url: str


class License(NamedTuple):
    """A licence that was read; `signature` is the Signature element of its issuer."""

    element: XmlNode
    grant: Grant
    signature: XmlNode


def license_markup(grant: Grant, signature: Markup | None = None) -> Markup:
    """The licence, with the issuer's `signature` once there is one."""
    information = element(
        "as:ManifestInformation",
        {"Hash": grant.digest[::-1].hex(), "Description": grant.description, "Url": grant.url},
        element("as:assemblyIdentity", grant.identity),
    )
    publisher = element("as:AuthenticodePublisher", None, element("as:X509SubjectName", None, grant.subject))
    return element(
        "r:license",
        _PREFIXES,
        element("r:grant", None, information, element("as:SignedBy"), publisher),
        element("r:issuer", None, *([] if signature is None else [signature])),
    )


def read_license(found: XmlNode) -> License:
    """The signed licence that the element is. Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when it has other parts
    than one of an Authenticode publisher."""
    grant, issuer = _parts(found)
    signature = issuer.take("Signature")
    issuer.end()
    return License(found, grant, signature)


def read_grant(unsigned: XmlNode) -> Grant:
    """What a licence says that is not signed yet; raises like read_license."""
    grant, issuer = _parts(unsigned)
    issuer.end()
    return grant


def _parts(found: XmlNode) -> tuple[Grant, XmlFields]:
    """What the licence says, and what is in its issuer."""
    if not found.is_named(LICENSE, "license"):
        raise malformed(f"its key information has a {found.name} in place of the licence")
    parts = XmlFields(found)
    grant, issuer = XmlFields(parts.take("grant", LICENSE)), XmlFields(parts.take("issuer", LICENSE))
    parts.end()
    information = grant.take("ManifestInformation", AUTHENTICODE)
    XmlFields(grant.take("SignedBy", AUTHENTICODE)).end()
    publisher = XmlFields(grant.take("AuthenticodePublisher", AUTHENTICODE))
    grant.end()
    subject = text_of(publisher.take("X509SubjectName", AUTHENTICODE))
    publisher.end()
    return _grant(information, subject), issuer


def _grant(information: XmlNode, subject: str) -> Grant:
    fields = XmlFields(information, ("Hash", "Description", "Url"))
    identity = fields.take("assemblyIdentity", AUTHENTICODE)
    fields.end()
    try:
        named = identity_of(identity)
    except ValueError as broken:
        raise malformed(str(broken)) from broken
    stated = information.get("Hash") or ""
    try:
        digest = bytes.fromhex(stated)[::-1]
    except ValueError as broken:
        raise malformed("the licence's hash is not in hex") from broken
    if digest[::-1].hex() != stated:
        raise malformed("the licence's hash is written as nothing writes it")
    description, url = information.get("Description") or "", information.get("Url") or ""
    return Grant(digest, named, subject, description, url)


def identity_of(element: XmlNode) -> dict[str, str]:
    """The attributes of an assemblyIdentity, by name, with the default namespace where it declares one: Windows
    compares that too. Raises ValueError when it has anything else."""
    if element.children or any(item.namespace for item in element.attributes) or element.declared.keys() - {""}:
        raise ValueError("its assemblyIdentity has something else than attributes of its own")
    named = {item.name: item.value for item in element.attributes}
    return {"xmlns": element.declared[""], **named} if "" in element.declared else named
