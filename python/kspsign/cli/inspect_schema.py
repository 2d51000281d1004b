"""The JSON schema of what `kspsign inspect --json` prints."""

from __future__ import annotations

from typing import Any

from kspsign.cli.inspect import SCHEMA
from kspsign.publishing import report_schema


def inspect_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of what --json prints: the report's of a file, with the chain of each signer."""
    schema = report_schema()
    parts, text = schema["$defs"], {"type": "string"}
    own = {"SignatureFacts", "Verdict", "Check", "ErrorFacts", "TimestampFacts", "RootFacts", "InsideFacts"}
    link = _closed(dict.fromkeys(("subject", "issuer", "thumbprint", "not_before", "not_after"), text))
    chain = {
        "type": "array",
        "items": link,
        "description": "The signer's certificate and its issuers as far as the signature carries them.",
    }
    signature = parts["SignatureFacts"]
    parts["SignatureFacts"] = _closed({**signature["properties"], "chain": chain})
    file = {
        **{name: parts["FileOutcome"]["properties"][name] for name in ("path", "format", "size")},
        "sha256": text,
        **{name: parts["FileOutcome"]["properties"][name] for name in ("signatures", "verdict", "error")},
        **{name: parts["FileOutcome"]["properties"][name] for name in ("container", "inside")},
    }
    content = {
        "schema": {"const": SCHEMA},
        "passed": {"type": "boolean", "description": "Every file verified."},
        "files": {"type": "array", "items": _closed(file)},
    }
    used = {name: part for name, part in parts.items() if name in own}
    return {"$schema": schema["$schema"], "title": SCHEMA, **_closed(content), "$defs": used}


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
