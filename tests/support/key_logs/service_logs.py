"""The logs of the stand-ins' services: what they were asked and answered, in the shape that each service writes.

`shift` seconds are added to every time: the service's clock, against that of the build.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.aws.world import ACCOUNT, REGION
from support.key_contract.azure import KeyVault, Profile
from support.key_contract.bench import ContractStore
from support.key_contract.clouds import AwsKms, GoogleKms
from support.key_contract.local import KeyLocker
from support.key_logs.examples import (
    SIGNATURE_LOG_COLUMNS,
    artifact_signing,
    cloudtrail,
    google_cloud,
    key_vault,
    signature_log_row,
)
from support.key_vault.server import Exchange

_OBJECT = re.compile(r"/(keys|certificates|secrets)/")


def written(seconds: float) -> str:
    """A time as the services write it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def body(exchange: Exchange) -> dict[str, Any]:
    """The JSON of the answer."""
    content = exchange.response.content
    if isinstance(content, bytes):
        content = json.loads(content or b"{}")
    return content if isinstance(content, dict) else {}


def of_key_vault(store: KeyVault, shift: float) -> Iterator[str]:
    """The blobs of insights-logs-auditevent: a record a line."""
    for exchange in store.server.record.exchanges:
        request = exchange.request
        if not request.host.endswith(".vault.azure.net") or not _OBJECT.search(request.path):
            continue
        signs = request.path.endswith("/sign")
        key = f"https://{request.host}{request.path.removesuffix('/sign').removesuffix('/')}"
        record = key_vault(
            request.headers.get("x-ms-client-request-id", ""),
            written(exchange.time + shift),
            "KeySign" if signs else "KeyGet" if "/keys/" in request.path else "CertificateGet",
            exchange.response.status,
            key,
        )
        yield json.dumps(record)


def of_aws_kms(store: AwsKms, shift: float) -> Iterator[str]:
    """A file of CloudTrail."""
    events = []
    for exchange in store.server.record.exchanges:
        service, _, name = exchange.request.headers.get("x-amz-target", "").partition(".")
        if service != "TrentService":
            continue
        key = str(json.loads(exchange.request.body).get("KeyId", ""))
        arn = key if key.startswith("arn:") else f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}"
        failed = body(exchange).get("__type") if exchange.response.status != 200 else None
        events.append(
            cloudtrail(
                exchange.response.headers["x-amzn-RequestId"],
                written(exchange.time + shift)[:19] + "Z",
                eventName=name,
                awsRegion=REGION,
                recipientAccountId=ACCOUNT,
                requestParameters={"keyId": key, "messageType": "DIGEST"},
                resources=[{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn}],
                **({"errorCode": failed} if failed else {}),
            )
        )
    yield json.dumps({"Records": events})


def of_google_kms(store: GoogleKms, shift: float) -> Iterator[str]:
    """What `gcloud logging read --format=json` prints."""
    entries = []
    for exchange in store.server.record.exchanges:
        request = exchange.request
        if "/cryptoKeyVersions/" not in request.path:
            continue
        signs = request.path.endswith(":asymmetricSign")
        values = json.loads(request.body)["digest"] if signs else {"sha256": ""}
        ((_algorithm, value),) = values.items()
        entry = google_cloud(
            base64.b64decode(value).hex(),
            written(exchange.time + shift),
            request.headers.get("x-goog-request-reason", ""),
            0 if exchange.response.status == 200 else 7,
        )
        name = request.path.removeprefix("/v1/").removesuffix(":asymmetricSign").removesuffix("/publicKey")
        entry["protoPayload"] |= {"methodName": "AsymmetricSign" if signs else "GetPublicKey", "resourceName": name}
        entries.append(entry)
    yield json.dumps(entries)


def of_artifact_signing(store: Profile, shift: float) -> Iterator[str]:
    """The blobs of insights-logs-signtransactions: a record a line."""
    for exchange in store.server.record.exchanges:
        parts = exchange.request.path.split("/")
        if exchange.request.method == "POST" and parts[-1] == "sign" and "codesigningaccounts" in parts:
            record = artifact_signing(
                str(body(exchange).get("operationId", "")),
                written(exchange.time + shift),
                certificateProfileName=parts[parts.index("certificateprofiles") + 1],
            )
            account = parts[parts.index("codesigningaccounts") + 1]
            record["resourceId"] = f"{record['resourceId'].rpartition('/')[0]}/{account}"
            record["resultType"] = "Success" if exchange.response.status in {200, 202} else "Failure"
            yield json.dumps(record)


def of_keylocker(store: KeyLocker, shift: float) -> Iterator[str]:
    """A signature log as CSV, with the ids that the API has besides."""
    yield f"{SIGNATURE_LOG_COLUMNS},ID"
    pairs = {pair.id: pair for pair in store.host.world.keypairs}
    for time, request, response in store.host.service.record.exchanges:
        if request.method != "POST":
            continue
        digest = base64.b64decode(json.loads(request.body)["hash"]).hex()
        status = "SUCCESS" if response.status == 200 else "FAILED"
        row = signature_log_row(digest, written(time + shift), status)
        identifier = request.path.split("/")[-2]
        assert identifier in pairs
        yield f"{row.replace('1234-abcd', identifier)},{response.content.get('id', '')}"


LOGS: Mapping[type[ContractStore], Callable[[Any, float], Iterator[str]]] = {
    KeyVault: of_key_vault,
    AwsKms: of_aws_kms,
    GoogleKms: of_google_kms,
    Profile: of_artifact_signing,
    KeyLocker: of_keylocker,
}
"""The log of each stand-in that has one."""


def write_log(store: ContractStore, path: Path, *, shift: float = 0.0) -> Path:
    """What the store's service was asked until now, as its log."""
    lines = LOGS[type(store)](store, shift)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
