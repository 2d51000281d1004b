"""Judges files by a policy: each rule is a named check, in addition to those of the signature itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509

from kspsign.authenticode.cms.timestamp import Timestamp
from kspsign.certificates.identity import PublisherIdentity
from kspsign.certificates.parse import display_name, distinguished_name, thumbprint_of, to_der
from kspsign.model.checks import CheckName
from kspsign.model.errors import PolicyError
from kspsign.model.hresults import Hresult
from kspsign.model.run_facts import PolicyFacts
from kspsign.model.values import DigestAlgorithm, Finding, Format, iso_utc
from kspsign.verifying.policy.model import Policy, Publisher, VendorRule
from kspsign.verifying.policy.names import matches, parse_name, parts_of, thumbprint_digits
from kspsign.verifying.signatures import ExaminedSignature
from kspsign.verifying.strength import LEGACY, STRONG, Strength


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges by one policy; safe to share between threads. `facts` are what the report says of it."""

    policy: Policy
    facts: PolicyFacts

    @property
    def timestamp_required(self) -> bool:
        """Whether a signature without timestamp is refused."""
        return self.policy.timestamp.required

    @property
    def inside_required(self) -> bool:
        """Whether what is inside containers is judged, whatever the settings say."""
        return self.policy.inside == "required"

    @property
    def strength(self) -> Strength:
        """What counts in chains: the default, and whatever weaker the policy admits."""
        return STRONG.with_all_of(self.policy.algorithms.strength)

    def strength_for(self, digest: DigestAlgorithm, digests: Sequence[DigestAlgorithm]) -> Strength:
        """What counts for a signature with `digest` in a file whose signatures have `digests`."""
        return LEGACY if self._is_tolerated(digest, digests) else self.strength

    def missing(self, names: Sequence[str]) -> PolicyError | None:
        """The error when a pattern of what must be signed matches none of all files that there are."""
        unmatched = self.unmatched(names)
        return PolicyError(self.facts.name, unmatched) if unmatched else None

    def unmatched(self, names: Sequence[str]) -> tuple[str, ...]:
        """The patterns of what must be signed that match none of these names."""
        return tuple(glob for glob in self.policy.signed.files if not any(matches(glob, name) for name in names))

    def leaves_alone(self, names: Sequence[str], format_: Format | None) -> bool:
        """Whether the file is not to be signed: by one of its names it keeps its vendor's signature, or by all of them
        it may stay unsigned."""
        kept = any(self._vendor_rule(name) is not None for name in names)
        return kept or all(self.may_stay_unsigned(name, format_) is not None for name in names)

    def may_stay_unsigned(self, name: str, format_: Format | None) -> str | None:
        """The pattern by which the file may stay unsigned, None when it must be signed."""
        if self._reason_to_sign(name, format_) is not None:
            return None
        return next((glob for glob in self.policy.unsigned if matches(glob, name)), None)

    def unsigned_findings(self, name: str, format_: Format | None) -> Iterator[Finding]:
        """The check of a file that carries no signature: "policy-unsigned" or "policy-required"; none by default."""
        pattern = self.may_stay_unsigned(name, format_)
        reason = self._reason_to_sign(name, format_)
        if pattern is not None:
            yield Finding("policy-unsigned", f"it carries no signature and may stay so ({pattern})")
        elif reason is not None:
            yield _broken("policy-required", f"{reason} must be signed", "Sign it, or have the policy changed.")

    def findings(
        self, name: str, format_: Format | None, signatures: Sequence[ExaminedSignature], now: datetime
    ) -> Iterator[Finding]:
        """Every rule for a signed file; a further signature's checks end in #2, #3 and so on."""
        reason = self._reason_to_sign(name, format_)
        if reason is not None:
            yield Finding("policy-required", f"{reason} is signed")
        digests = [signature.signature.algorithm for signature in signatures]
        vendor = self._vendor_rule(name)
        for index, signature in enumerate(signatures):
            for finding in self._of_signature(signature, vendor, digests, now):
                yield replace(finding, number=index + 1) if index else finding

    def structure_findings(self, name: str, format_: Format | None, found: Sequence[Finding]) -> Iterator[Finding]:
        """What the format found around the signatures of a file, with what the policy admits, and what it demands."""
        if format_ is not Format.MSI:
            yield from found
            return
        from kspsign.authenticode.msi import METADATA_ABSENT, UNALLOCATED_DATA  # noqa: PLC0415 - for packages alone

        rules = self.policy.msi
        pattern = next((glob for glob in rules.unallocated_data if matches(glob, name)), None)
        for finding in found:
            admitted = pattern is not None and finding.check == UNALLOCATED_DATA and finding.hresult is not None
            if admitted:
                yield replace(finding, detail=f"{finding.detail}; the policy admits it ({pattern})", hresult=None)
            else:
                yield finding
        if rules.metadata and METADATA_ABSENT in found:
            remedy = "Sign the package again: kspsign and SignTool write MsiDigitalSignatureEx."
            yield _broken("policy-metadata", "names, order and sizes of its streams are not signed", remedy)
        elif rules.metadata:
            yield Finding("policy-metadata", "names, order and sizes of its streams are signed")

    def certificate_findings(self, path: Sequence[x509.Certificate], now: datetime) -> Iterator[Finding]:
        """The rules that a certificate which is about to sign must keep; `path` is its chain, leaf first."""
        yield from self._publisher(path, self.policy.publisher)
        yield from self._key(path)
        yield from self._validity(path, now)

    def authority_finding(self, stamp: Timestamp | None, path: Sequence[x509.Certificate]) -> Finding:
        """The rule that a timestamp which is about to be embedded must keep; `path` is its authority's chain."""
        return self._timestamp(stamp, path, self.policy.timestamp.authorities)

    def _of_signature(
        self,
        examined: ExaminedSignature,
        vendor: VendorRule | None,
        digests: Sequence[DigestAlgorithm],
        now: datetime,
    ) -> Iterator[Finding]:
        yield from self._publisher(examined.path, self.policy.publisher if vendor is None else vendor.publisher)
        authorities = () if vendor else self.policy.timestamp.authorities
        yield self._timestamp(examined.stamp, examined.authority_path, authorities)
        if self._is_tolerated(examined.signature.algorithm, digests):
            yield Finding("policy-algorithms", "an old signature next to a stronger one, which the policy tolerates")
            return
        yield from self._algorithms(examined)
        if vendor is None:
            yield from self._validity(examined.path, now)

    def _publisher(self, path: Sequence[x509.Certificate], wanted: Sequence[Publisher]) -> Iterator[Finding]:
        if not wanted:
            return
        found = next((publisher for publisher in wanted if path and _is(publisher, path)), None)
        if found is not None:
            yield Finding("policy-publisher", f"{display_name(path[0])} is {_said(found)}")
            return
        signer = f"{distinguished_name(path[0].subject)} (thumbprint {_sha1(path[0])})" if path else "unknown"
        yield _broken(
            "policy-publisher",
            f"the signer is {signer}; the policy wants {' or '.join(map(_said, wanted))}",
            "Sign with a certificate that the policy names, or have the new one added to the policy's publisher.",
        )

    def _timestamp(
        self, stamp: Timestamp | None, path: Sequence[x509.Certificate], wanted: Sequence[Publisher]
    ) -> Finding:
        if stamp is None:
            if not self.policy.timestamp.required:
                return Finding("policy-timestamp", "none, and none is asked for")
            remedy = "Add timestamps (kspsign timestamp), or sign again with one."
            return _broken("policy-timestamp", "there is none that can be read", remedy)
        authority = display_name(path[0]) if path else "unknown"
        if not wanted or any(path and _is(pin, path) for pin in wanted):
            return Finding("policy-timestamp", f"{iso_utc(stamp.time)} by {authority}")
        return _broken(
            "policy-timestamp",
            f"the authority is {authority}; the policy wants {' or '.join(map(_said, wanted))}",
            "Sign again with --timestamp-url of an authority that the policy names.",
        )

    def _algorithms(self, examined: ExaminedSignature) -> Iterator[Finding]:
        rules = self.policy.algorithms
        used = {
            "file": examined.signature.algorithm,
            "timestamp": examined.stamp.digest_algorithm if examined.stamp else None,
        }
        weak = [
            f"the {what}'s digest is {digest}" for what, digest in used.items() if digest not in {None, *rules.digests}
        ]
        if weak:
            taken = ", ".join(rules.digests)
            yield _broken("policy-algorithms", f"{'; '.join(weak)}; the policy takes {taken}", f"Sign with {taken}.")
        else:
            yield from self._key(examined.path)

    def _key(self, path: Sequence[x509.Certificate]) -> Iterator[Finding]:
        rules = self.policy.algorithms
        weakness = rules.strength.key_weakness(path[0]) if path else "is unknown"
        if weakness is None:
            yield Finding("policy-algorithms", "as the policy takes them")
            return
        wanted = f"RSA from {rules.rsa_bits} bits or EC on {', '.join(rules.curves)}"
        yield _broken(
            "policy-algorithms",
            f"the signer's key {weakness}; the policy takes {wanted}",
            "Sign with a certificate whose key the policy takes.",
        )

    def _validity(self, path: Sequence[x509.Certificate], now: datetime) -> Iterator[Finding]:
        days = self.policy.validity_days
        if not days or not path:
            return
        end = path[0].not_valid_after_utc
        detail = f"{display_name(path[0])} is valid until {iso_utc(end)}"
        if PublisherIdentity.of(to_der(path[0])).durable:
            yield Finding("policy-validity", f"{detail}; its service renews it every day")
        elif end >= now + timedelta(days=days):
            yield Finding("policy-validity", detail)
        else:
            wanted = f"the policy wants {days} more days"
            yield _broken("policy-validity", f"{detail}; {wanted}", "Renew the certificate and sign again.")

    def _is_tolerated(self, digest: DigestAlgorithm, digests: Sequence[DigestAlgorithm]) -> bool:
        beside = any(other is not DigestAlgorithm.SHA1 for other in digests)
        return self.policy.algorithms.sha1_beside_sha256 and digest is DigestAlgorithm.SHA1 and beside

    def _vendor_rule(self, name: str) -> VendorRule | None:
        return next((rule for rule in self.policy.vendor if any(matches(glob, name) for glob in rule.files)), None)

    def _reason_to_sign(self, name: str, format_: Format | None) -> str | None:
        found = next((glob for glob in self.policy.signed.files if matches(glob, name)), None)
        if found is not None:
            return f"what {found} names"
        return f"every {format_} file" if format_ is not None and format_ in self.policy.signed.formats else None


def _is(wanted: Publisher, path: Sequence[x509.Certificate]) -> bool:
    """Whether the certificate at the end of `path` (leaf first) is the one that is wanted."""
    leaf = path[0]
    if wanted.thumbprint is not None and wanted.thumbprint not in {_sha1(leaf), _sha256(leaf)}:
        return False
    if wanted.subject is not None and not parse_name(wanted.subject) <= parts_of(leaf.subject):
        return False
    if wanted.eku is not None and wanted.eku not in PublisherIdentity.of(to_der(leaf)).durable:
        return False
    if wanted.issuer is None:
        return True
    digits = thumbprint_digits(wanted.issuer)
    if digits is not None:
        return any(digits in {_sha1(ca), _sha256(ca)} for ca in path[1:])
    return parse_name(wanted.issuer) <= parts_of(leaf.issuer)


def _said(wanted: Publisher) -> str:
    given = wanted.model_dump(exclude_none=True)
    return ", ".join(
        f"{key} {value!r}" if key not in {"thumbprint", "eku"} else f"{key} {value}" for key, value in given.items()
    )


def _sha1(of: x509.Certificate) -> str:
    return thumbprint_of(to_der(of))


def _sha256(of: x509.Certificate) -> str:
    return sha256(to_der(of)).hexdigest().upper()


def _broken(check: CheckName, detail: str, remedy: str) -> Finding:
    return Finding(check, detail, Hresult.CERT_E_INVALID_POLICY, remedy)
