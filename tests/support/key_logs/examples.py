"""Records of key services' logs in their documented shapes: see docs/reference/key-logs.md for each source.

Each is as its vendor documents it, with another operation, key and id where the example is not of a signature.
"""

from __future__ import annotations

import json
from typing import Any

VAULT_KEY = "https://contosokeyvault.vault.azure.net/keys/code-signing/78deebed173b48e48f55abf87ed4cf71"
HOSTILE = "##vso[task.setvariable variable=x]y\u202egnp.exe\x1b[31m|<b>`"
"""What a caller may put into a field that is copied into the log."""


def key_vault(
    request: str = "4e1f2f5c-6a0f-4b0e-9a1d-0f6b5a1c7d11",
    time: str = "2026-03-01T10:00:00.1234567Z",
    operation: str = "KeySign",
    status: int = 200,
    key: str = VAULT_KEY,
    application: str = "00001111-aaaa-2222-bbbb-3333cccc4444",
    address: str = "104.40.82.76",
) -> dict[str, Any]:
    """An AuditEvent as a storage account has it (Azure Key Vault logging, "Interpret your Key Vault logs")."""
    vault = key.split("/")[2].partition(".")[0].upper()
    claims = {
        "http://schemas.microsoft.com/identity/claims/objectidentifier": "d9da5048-2737-4770-bd64-XXXXXXXXXXXX",
        "appid": application,
    }
    return {
        "time": time,
        "resourceId": "/SUBSCRIPTIONS/AAAA0A0A-BB1B-CC2C-DD3D-EEEEEE4E4E4E/RESOURCEGROUPS/CONTOSOGROUP/PROVIDERS/"
        f"MICROSOFT.KEYVAULT/VAULTS/{vault}",
        "operationName": operation,
        "operationVersion": "7.4",
        "category": "AuditEvent",
        "resultType": "Success",
        "resultSignature": "OK" if status == 200 else "Forbidden",
        "resultDescription": "",
        "durationMs": "78",
        "callerIpAddress": address,
        "correlationId": request,
        "identity": {"claim": claims},
        "properties": {
            "clientInfo": "azsdk-python-keyvault-keys/4.11.0 Python/3.11.2",
            "requestUri": f"{key}/sign?api-version=7.4" if operation == "KeySign" else f"{key}?api-version=7.4",
            "id": key,
            "httpStatusCode": status,
        },
    }


def managed_hsm() -> dict[str, Any]:
    """The record of Managed HSM's page, of a signature: nothing is below `properties`, the identity is a text."""
    claim = {
        "appid": "{application-id}",
        "http_schemas_microsoft_com_identity": {"claims": {"objectidentifier": "{object-id}"}},
        "http_schemas_xmlsoap_org_ws_2005_05_identity": {"claims": {"upn": "admin@contoso.com"}},
    }
    return {
        "TenantId": "{tenant-id}",
        "time": "2020-08-31T19:52:39.763Z",
        "resourceId": "/SUBSCRIPTIONS/{subscription-id}/RESOURCEGROUPS/CONTOSORESOURCEGROUP/PROVIDERS/"
        "MICROSOFT.KEYVAULT/MANAGEDHSMS/CONTOSOMHSM",
        "operationName": "KeySign",
        "operationVersion": "7.0",
        "category": "AuditEvent",
        "resultType": "Success",
        "properties": {"PoolType": "M-HSM", "sku_Family": "B", "sku_Name": "Standard_B1"},
        "durationMs": 488,
        "callerIpAddress": "X.X.X.X",
        "identity": json.dumps({"claim": claim}),
        "clientInfo": "azsdk-python-core/1.7.0 Python/3.8.2",
        "correlationId": "AAAA0000-BB11-2222-33CC-444444DDDDDD",
        "subnetId": "(unknown)",
        "httpStatusCode": 200,
        "PoolName": "mhsmdemo",
        "requestUri": "https://ContosoMHSM.managedhsm.azure.net/keys/release/0a1b/sign",
        "resourceGroup": "ContosoResourceGroup",
        "resourceProvider": "MICROSOFT.KEYVAULT",
        "resource": "ContosoMHSM",
        "resourceType": "managedHSMs",
    }


AUDIT_TABLE = {
    "TimeGenerated": "2026-03-01T10:00:00.123Z",
    "OperationName": "KeySign",
    "Identity": json.dumps({"claim": {"appid": "00001111-aaaa-2222-bbbb-3333cccc4444"}}),
    "RequestUri": "https://contosokeyvault.vault.azure.net:8443/keys/code-signing/78de/sign?api-version=7.4",
    "CallerIpAddress": "104.40.82.76",
    "CorrelationId": "4e1f2f5c-6a0f-4b0e-9a1d-0f6b5a1c7d11",
    "HttpStatusCode": 200,
    "ResultType": "Success",
    "DurationMs": 78,
    "_ResourceId": "/subscriptions/x/resourcegroups/g/providers/microsoft.keyvault/vaults/contosokeyvault",
    "Type": "AZKVAuditLogs",
}
"""A row of AZKVAuditLogs: the columns of Azure Monitor's table reference."""
DIAGNOSTICS = {
    "TimeGenerated [UTC]": "3/1/2026, 10:00:00.123 AM",
    "ResourceId": "/SUBSCRIPTIONS/X/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/CONTOSOKEYVAULT",
    "Category": "AuditEvent",
    "OperationName": "KeySign",
    "ResultType": "Success",
    "ResultSignature": "OK",
    "CorrelationId": "4e1f2f5c-6a0f-4b0e-9a1d-0f6b5a1c7d11",
    "CallerIPAddress": "104.40.82.76",
    "requestUri_s": "https://contosokeyvault.vault.azure.net/keys/code-signing/78de/sign?api-version=7.4",
    "httpStatusCode_d": "200",
    "identity_claim_appid_g": "00001111-aaaa-2222-bbbb-3333cccc4444",
    "identity_claim_http_schemas_xmlsoap_org_ws_2005_05_identity_claims_upn_s": "ada@contoso.com",
}
"""A row of AzureDiagnostics, as the portal exports it to CSV."""


def cloudtrail(
    request: str = "8d0b35e0-46cf-48b9-be99-bf2ebc9ab9fb", time: str = "2022-03-07T22:36:44Z", **changes: Any
) -> dict[str, Any]:
    """The event of AWS KMS' page on Sign, whose examples are as CloudTrail writes them."""
    return {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "EX_PRINCIPAL_ID",
            "arn": "arn:aws:iam::111122223333:user/Alice",
            "accountId": "111122223333",
            "accessKeyId": "EXAMPLE_KEY_ID",
            "userName": "Alice",
        },
        "eventTime": time,
        "eventSource": "kms.amazonaws.com",
        "eventName": "Sign",
        "awsRegion": "us-west-2",
        "sourceIPAddress": "192.0.2.0",
        "userAgent": "AWS Internal",
        "requestParameters": {
            "messageType": "DIGEST",
            "keyId": "0987dcba-09fe-87dc-65ba-ab0987654321",
            "signingAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256",
        },
        "responseElements": None,
        "requestID": request,
        "eventID": f"107b3cac-{request[9:]}",
        "readOnly": True,
        "resources": [
            {
                "accountId": "111122223333",
                "type": "AWS::KMS::Key",
                "ARN": "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321",
            }
        ],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "111122223333",
        "eventCategory": "Management",
        **changes,
    }


GOOGLE_VERSION = (
    "projects/example-project/locations/us-east1/keyRings/example-ring/cryptoKeys/release/cryptoKeyVersions/1"
)


def google_cloud(
    digest: str, time: str = "2026-10-02T09:06:06.982112024Z", reason: str = "", code: int = 0
) -> dict[str, Any]:
    """A Data Access entry with the fields and nesting of live ones: the digest is hex there, the status empty."""
    attributes = {"time": time, "auth": {}} | ({"reason": reason} if reason else {})
    return {
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "status": {"code": code, "message": "not found"} if code else {},
            "authenticationInfo": {
                "principalEmail": "signer@example.com",
                "principalSubject": "user:signer@example.com",
            },
            "requestMetadata": {
                "callerIp": "203.0.113.7",
                "callerSuppliedUserAgent": "kspsign/1.0.0,gzip(gfe)",
                "requestAttributes": attributes,
                "destinationAttributes": {},
            },
            "serviceName": "cloudkms.googleapis.com",
            "methodName": "AsymmetricSign",
            "resourceName": GOOGLE_VERSION,
            "request": {
                "name": GOOGLE_VERSION,
                "digest": {"sha256": digest},
                "@type": "type.googleapis.com/google.cloud.kms.v1.AsymmetricSignRequest",
            },
            "metadata": {},
        },
        "insertId": f"insert-{time}",
        "resource": {"type": "cloudkms_cryptokeyversion", "labels": {"project_id": "example-project"}},
        "timestamp": time,
        "severity": "INFO",
        "logName": "projects/example-project/logs/cloudaudit.googleapis.com%2Fdata_access",
    }


SIGNATURE_LOG_COLUMNS = (
    "Date,Status,Signer,Keypair alias,Keypair ID,Keypair type,Algorithm,Signature type,Hash,Signature,Client IP"
)
"""The fields of DigiCert's page on signature logs."""


def signature_log_row(
    digest: str, time: str = "2026-03-01T10:00:00Z", status: str = "SUCCESS", signer: str = "build@contoso.com"
) -> str:
    """A row of a signature log."""
    return f"{time},{status},{signer},release,1234-abcd,Static,RSA,Production,{digest},c2lnbmF0dXJl,192.168.101.1"


def artifact_signing(operation: str, time: str = "2026-03-01T10:00:00.5Z", **properties: Any) -> dict[str, Any]:
    """A sign transaction: the common schema of resource logs, with the category that Microsoft documents."""
    return {
        "time": time,
        "resourceId": "/SUBSCRIPTIONS/X/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.CODESIGNING/CODESIGNINGACCOUNTS/CONTOSO",
        "category": "SignTransactions",
        "operationName": "Sign",
        "resultType": "Success",
        "callerIpAddress": "192.0.2.7",
        "correlationId": "5c6ee2d1-61f4-4f85-a4f9-6d9ff3e4b0f1",
        "properties": {"operationId": operation, "certificateProfileName": "Release", **properties},
    }
