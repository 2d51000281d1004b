"""Rebuilds a bundle around its signed packages, with the layout MakeAppx would produce."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

from kspsign.authenticode.appx.names import SIGNATURE
from kspsign.authenticode.appx.package import SIGNATURE_MAGIC, Package
from kspsign.authenticode.appx.rewrite import rewrite
from kspsign.authenticode.zip import Plan, ZipMember


def rebuild(package: Package, signatures: Mapping[int, bytes], target: BinaryIO) -> None:
    """Write the bundle `package` to the empty `target` with `signatures` (DER, by the number of the package in its
    manifest) in its packages, ready to be signed itself.

    Raises ArtifactError when the bundle is not laid out as MakeAppx does it.
    """
    stated = package.manifest.packages
    signed = {stated[index].name: _signed(package.inner[index], der).pieces() for index, der in signatures.items()}
    rewrite(package, signed, target, name_signature=True)


def _signed(inner: Package, der: bytes) -> Plan:
    unsigned = inner.unsigned
    return replace(unsigned, added=(*unsigned.added, ZipMember(SIGNATURE, SIGNATURE_MAGIC + der)))
