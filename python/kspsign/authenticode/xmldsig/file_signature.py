"""What the FileSignatures of XML documents share: a closed schema, which has no place for further signatures."""

from __future__ import annotations

from kspsign.authenticode.profile import FileSignature


class XmlFileSignature:
    """The members of FileSignature that are empty for every signature whose XML is read by a closed schema."""

    __slots__ = ()

    @property
    def further(self) -> tuple[bytes, ...]:
        """The schema has no place for further signatures."""
        return ()

    @property
    def countersigners(self) -> tuple[FileSignature, ...]:
        """Nor for countersignatures."""
        return ()

    @property
    def sharing(self) -> tuple[bytes, ...]:
        """There is no other signer who could share its certificates."""
        return ()

    @property
    def refused(self) -> tuple[str, ...]:
        """What the schema does not have is not read at all."""
        return ()
