"""Provenance bundles in any shape, right or wrong in one thing, signed for real by whoever is to be the publisher."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from kspsign.provenance.bundle import SignedStatement, bundle_text, encoded_to_sign
from kspsign.provenance.statement import BUILD_TYPE, BUILDERS
from kspsign.verifying.chain_checks import Trust
from kspsign.verifying.roots import TrustAnchors
from support.pki import TIMESTAMPING, Issued, extended, issue, key_usage
from support.tokens import make_token

REPOSITORY = "https://dev.azure.com/acme/tools/_git/kit"
REF, COMMIT = "refs/heads/main", "0123456789abcdef0123456789abcdef01234567"
FILE = "a" * 64
STAMPED = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)


def source(repository: str = REPOSITORY, ref: str = REF, commit: str = COMMIT) -> dict[str, Any]:
    """The resolved dependency that says what was built."""
    return {"uri": f"git+{repository}@{ref}", "digest": {"gitCommit": commit}, "annotations": {}}


def statement(ref: str = REF, repository: str = REPOSITORY, **internal: Any) -> dict[str, Any]:
    """A statement on one file, whose SHA-256 is FILE; `internal` parameters are changed."""
    known = {"host": "azure-pipelines", "hosted": True, "reason": "", "requestedFor": "", "job": "", "attempt": 1}
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {"repository": repository, "ref": ref, "definition": {"name": "release", "id": "1"}},
        "internalParameters": known | internal,
        "resolvedDependencies": [source(repository, ref)],
    }
    moment = "2026-01-31T12:00:00Z"
    times = {"invocationId": f"{REPOSITORY}/1", "startedOn": moment, "finishedOn": moment}
    run = {"builder": {"id": BUILDERS["task"], "version": {"kspsign": "1.0.0"}}, "metadata": times}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "a.dll", "digest": {"sha256": FILE}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": definition, "runDetails": run},
    }


@dataclass(frozen=True)
class Forge:
    """Makes bundles that `leaf` signs and `unit` stamps; `chain` follows the leaf. A test replaces one of them."""

    root: Issued
    leaf: Issued
    unit: Issued
    chain: tuple[Issued, ...]

    @property
    def trust(self) -> Trust:
        """What trusts the root, and demands a timestamp."""
        anchors = TrustAnchors.from_certificates([self.root.der])
        return Trust(anchors, anchors, timestamp_required=True)

    def signed(
        self, payload: bytes, *, moment: datetime | None = STAMPED, stamped: bytes | None = None
    ) -> SignedStatement:
        """The payload, signed and stamped at `moment` (None: without timestamp); `stamped` is another value."""
        assert isinstance(self.leaf.key, ec.EllipticCurvePrivateKey)
        value = self.leaf.key.sign(encoded_to_sign(payload), ec.ECDSA(SHA256()))
        token = None if moment is None else make_token(self.unit, stamped or value, moment)
        return SignedStatement(payload, value, (self.leaf.der, *(issued.der for issued in self.chain)), token)

    def bundle(self, content: Any = None, **sides: Any) -> bytes:
        """The bundle on the statement `content`, which is JSON or its bytes; `sides` are `signed`'s."""
        payload = content if isinstance(content, bytes) else json.dumps(content or statement()).encode()
        return bundle_text(self.signed(payload, **sides)).encode()


def timestamp_unit(issuer: Issued, usages: Sequence[Any] = (TIMESTAMPING,), **sides: Any) -> Issued:
    """A timestamp authority's certificate."""
    extensions = (extended(*usages, critical=True), key_usage("digital_signature"))
    return issue("Authority", issuer, extensions=extensions, **sides)


def base64_text(data: bytes) -> str:
    """Base64 as bundles have it."""
    return base64.b64encode(data).decode()
