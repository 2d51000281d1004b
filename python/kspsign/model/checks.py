"""The names of all checks that a verdict can hold. Readers of reports rely on them; docs/reference/checks.md says of
each when it holds."""

from __future__ import annotations

from typing import Final, Literal, get_args

CheckName = Literal[
    # A file and its signatures, whatever the format.
    "structure",
    "signed",
    "cms-structure",
    "unsigned-attributes",
    "algorithms",
    "digest",
    "signed-attributes",
    "signature",
    "certificate-chain",
    "certificate-validity",
    "extended-key-usage",
    "key-usage",
    "embedded-certificates",
    "revocation",
    "timestamp",
    "timestamp-structure",
    "timestamp-imprint",
    "timestamp-algorithms",
    "timestamp-signature",
    "timestamp-time",
    "timestamp-certificate-chain",
    "timestamp-certificate-validity",
    "timestamp-extended-key-usage",
    "timestamp-key-usage",
    "timestamp-revocation",
    # Those of the formats.
    "certificate-table",
    "trailing-data",
    "page-hashes",
    "checksum",
    "line-ends",
    "byte-order-mark",
    "signature-block",
    "trailing-text",
    "encoding",
    "certificate-order",
    "reserve",
    "content-link",
    "data-blocks",
    "sip",
    "directory-order",
    "unallocated-data",
    "metadata-digest",
    "package-parts",
    "hash-method",
    "publisher",
    "content-types",
    "package-content",
    "block-map",
    "bundle-manifest",
    "inner-packages",
    "inner-signatures",
    "inner-content",
    "signature-type",
    "signer-attributes",
    "nuget-rules",
    "signature-entry",
    # That of a container whose inside is judged.
    "inside",
    # Those of files that are judged by a catalogue.
    "catalog-signature",
    "catalog-members",
    "catalog-member",
    # The policy's.
    "policy-publisher",
    "policy-timestamp",
    "policy-algorithms",
    "policy-validity",
    "policy-metadata",
    "policy-required",
    "policy-unsigned",
    # SignTool's, in addition to our own.
    "signtool",
    "signtool-agreement",
    "signtool-hash",
    "signtool-chain",
    "signtool-timestamp",
]

CHECKS: Final[frozenset[str]] = frozenset(get_args(CheckName))
