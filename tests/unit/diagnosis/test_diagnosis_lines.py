"""Lines as programs around signing print them, and the failure that each is explained as first."""

from __future__ import annotations

import pytest

from kspsign.diagnosis import diagnose

LINES = {
    "jsign: Couldn't load the keystore: keystore password was incorrect": "pfx-password-wrong",
    "java.io.IOException: keystore password was incorrect": "pfx-password-wrong",
    (
        "java.security.UnrecoverableKeyException: failed to decrypt safe contents entry: "
        "javax.crypto.BadPaddingException"
    ): "pfx-password-wrong",
    "Error: error:0308010C:digital envelope routines::unsupported": "pkcs12-encryption",
    "error:23076071:PKCS12 routines:PKCS12_parse:mac verify failure": "pfx-password-wrong",
    "The specified network password is not correct. (Exception from HRESULT: 0x80070056)": "pfx-password-wrong",
    "X509Certificate2: Cannot find the original signer.": "signer-certificate-missing",
    "CertUtil: -dump command FAILED: 0x80092004 (-2146885628 CRYPT_E_NOT_FOUND)": "key-object-not-found",
    "CertUtil: Cannot find object or property.": "key-object-not-found",
    'Exception calling "SignData": "Keyset does not exist"': "private-key-unavailable",
    (
        "Set-AuthenticodeSignature : Cannot sign code. The specified certificate is not suitable for code signing."
    ): "wrong-usage",
    "Get-AuthenticodeSignature Status : NotSigned": "no-signature",
    (
        "Status        : UnknownError  StatusMessage : A certificate chain processed, but "
        "terminated in a root certificate which is not trusted by the trust provider"
    ): "untrusted-root",
    "SignTool Error: The specified algorithm cannot be used or is invalid.": "weak-algorithm",
    "SignTool Error: The /tr option is incompatible with the /t option.": "parameter-wrong",
    "SignTool Error: A required parameter is missing": "parameter-wrong",
    "SignTool Error: Missing filename.": "file-not-found",
    "SignTool Error: File not found: bin\\Release\\*.dll": "file-not-found",
    "SignTool Error: Access is denied.": "file-not-writable",
    "SignTool Error: The file is being used by another process.": "file-in-use",
    (
        "SignTool Warning: Signing succeeded, but an error occurred while attempting to timestamp: a.exe"
    ): "timestamp-server-failed",
    "SignTool Error: Signtool requires CAPICOM version 2.1.0.1 or higher.": "not-implemented",
    "SignTool Error: Signing Cert does not chain to a Microsoft Root Cert.": "untrusted-root",
    "SignTool Error: The signing certificate is not valid for the requested usage.": "wrong-usage",
    "SignTool Error: WinVerifyTrust returned error: 0x80096010": "changed-after-signing",
    "SignTool Error: WinVerifyTrust returned error: 0x800B010C": "certificate-revoked",
    "SignTool Error: CryptQueryObject returned error: 0x80092009": "key-object-not-found",
    "SignTool Error: Catalog file not found.": "file-not-found",
    (
        "Error: The process 'C:\\Program Files (x86)\\Windows Kits\\10\\bin\\signtool.exe' failed with exit code 1"
    ): "signtool-failed",
    "signtool.exe exited with code 1": "signtool-failed",
    'Failed to sign "app.exe": exit status 1': "step-command-failed",
    "AzureSignTool: The term 'AzureSignTool' is not recognized": "signing-program-not-found",
    "azuresigntool: command not found": "signing-program-not-found",
    "Error: Command failed: jsign": "step-command-failed",
    "KeyVaultErrorException: Operation returned an invalid status code 'Forbidden'": "key-vault-forbidden",
    "Operation returned an invalid status code 'Unauthorized'": "key-vault-token-refused",
    "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/...": "key-vault-token-refused",
    (
        "Azure.RequestFailedException: The user, group or application 'appid=...' does not have "
        "certificates get permission on key vault 'kv;location=westeurope'."
    ): "key-vault-forbidden",
    "(SecretNotFound) A secret with (name/id) cert was not found in this key vault.": "key-vault-not-found",
    (
        "A certificate with (name/id) codesign was not found in this key vault. If you recently "
        "deleted this certificate"
    ): "key-vault-not-found",
    'Operation "sign" is not allowed on a disabled key.': "key-vault-disabled",
    "Operation sign is not allowed on an expired key.": "key-vault-disabled",
    (
        '{"error":{"code":"Throttled","message":"Request was not processed because too many requests were received."}}'
    ): "key-vault-throttled",
    (
        "AADSTS700016: Application with identifier 'x' was not found in the directory 'Contoso'."
    ): "azure-application-unknown",
    "AADSTS90002: Tenant 'x' not found.": "azure-application-unknown",
    "AADSTS7000215: Invalid client secret provided.": "azure-client-secret-wrong",
    "AADSTS7000112: Application is disabled.": "azure-sign-in",
    "AADSTS50034: The user account does not exist": "azure-sign-in",
    "AADSTS70021: No matching federated identity record found for presented assertion.": "azure-federation-mismatch",
    "AADSTS700027: Client assertion contains an invalid signature.": "azure-sign-in",
    "AzureCliCredential authentication failed: ERROR: AADSTS70043: The refresh token has expired": "azure-sign-in",
    "Please run 'az login' to setup account.": "azure-cli-not-signed-in",
    "ERROR: The subscription of 'x' doesn't exist in cloud 'AzureCloud'.": "azure-sign-in",
    "TF400813: The user is not authorized to access this resource.": "azure-devops-token",
    "VS30063: You are not authorized to access https://dev.azure.com": "azure-devops-token",
    "##[error]The remote server returned an error: (407) Proxy Authentication Required.": "proxy-unusable",
    "curl: (60) SSL certificate problem: unable to get local issuer certificate": "tls-failed",
    "curl: (6) Could not resolve host: timestamp.digicert.com": "host-name-unknown",
    "curl: (7) Failed to connect to timestamp.digicert.com port 80: Connection refused": "connection-failed",
    (
        "requests.exceptions.SSLError: HTTPSConnectionPool(host='clientauth.one.digicert.com', "
        "port=443): Max retries exceeded (Caused by SSLError(SSLCertVerificationError(1, '[SSL: "
        "CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in "
        "certificate chain')))"
    ): "tls-failed",
    (
        "System.Net.Http.HttpRequestException: The SSL connection could not be established, see inner exception."
    ): "tls-failed",
    "Error: connect ECONNREFUSED 127.0.0.1:8080": "connection-failed",
    "Error: getaddrinfo ENOTFOUND timestamp.digicert.com": "host-name-unknown",
    "Error: connect ETIMEDOUT 216.168.244.9:80": "connection-timed-out",
    "dial tcp: lookup clientauth.one.digicert.com: no such host": "host-name-unknown",
    (
        "dial tcp 1.2.3.4:443: connectex: A connection attempt failed because the connected party "
        "did not properly respond after a period of time"
    ): "connection-timed-out",
    "tls: failed to verify certificate: x509: certificate signed by unknown authority": "tls-failed",
    "x509: certificate has expired or is not yet valid": "certificate-expired",
    "remote error: tls: bad certificate": "tls-failed",
    "smctl healthcheck Status: Not Connected": "smctl-not-connected",
    "Error: API key is invalid": "api-key-refused",
    '{"error":{"status":"invalid_api_key","message":"API key is invalid."}}': "api-key-refused",
    '{"error":{"status":"quota_exceeded","message":"Signature quota exceeded"}}': "quota-used-up",
    "Error: keypair alias not found": "keypair-not-found",
    "Failed to find keypair with alias my-key": "keypair-not-found",
    "could not find certificate with fingerprint ABC": "filter-hash",
    "failed to sign: No certificates found in Windows certificate store": "certificate-not-synchronised",
    "SSM: signtool.exe not found in PATH": "signtool-not-found",
    "The code signature in the image is invalid: 0xc0000428": "driver-signature",
    (
        "Windows cannot verify the digital signature for the drivers required for this device. (Code 52)"
    ): "driver-signature",
    "The third-party INF does not contain digital signature information.": "driver-signature",
    (
        "Deployment failed with HRESULT: 0x80073CF3, Package failed updates, dependency or conflict validation."
    ): "installer-signature-wrong",
    (
        "error 0x8007000B: The app manifest publisher name (CN=Contoso) must match the subject "
        "name of the signing certificate (CN=Contoso, C=US)."
    ): "package-publisher",
    (
        "App installation failed with error message: This app package is not signed with a trusted "
        "certificate. Contact (0x800B0109)"
    ): "untrusted-root",
    "MakeAppx : error: Error info: error 0C00CE169": "package-publisher",
    "error NU3001: The package signature file does not contain exactly one primary signature.": "parameter-wrong",
    (
        "NU3012: The author primary signature found a chain building issue: Revoked: The certificate is revoked."
    ): "certificate-revoked",
    (
        "warning NU3018: The repository primary signature found a chain building issue: "
        "PartialChain: unable to get local issuer certificate"
    ): "untrusted-root",
    (
        "error NU3028: The author primary signature's timestamp found a chain building issue: UntrustedRoot"
    ): "timestamp-not-trusted",
    "The package signature certificate fingerprint does not match": "nuget-signer-not-allowed",
    (
        "Package upload failed: The package was signed, but the signing certificate is not associated with your account"
    ): "nuget-signer-not-allowed",
    "error: CKR_USER_NOT_LOGGED_IN": "pkcs11-refused",
    "pkcs11: 0xA0: CKR_PIN_INCORRECT": "pkcs11-pin",
    "PKCS11 rv=0xA4 CKR_PIN_LOCKED": "pkcs11-pin-locked",
    "CKR_TOKEN_NOT_PRESENT (0xE0)": "pkcs11-token-gone",
    "CKR_KEY_HANDLE_INVALID": "pkcs11-refused",
    "CKR_MECHANISM_INVALID": "pkcs11-refused",
    "Unable to load module /usr/lib/libsofthsm2.so": "pkcs11-module",
    "cannot open shared object file: No such file or directory: libkmsp11.so": "pkcs11-module",
    "Failed to enumerate slots": "pkcs11-no-token",
    "No tokens found": "pkcs11-no-token",
    (
        "The smart card cannot perform the requested operation or the operation requires a different smart card"
    ): "key-device-not-ready",
    "SCARD_W_REMOVED_CARD": "key-device-not-ready",
    "Resource not accessible by integration": "github-token",
    "Error: Input required and not supplied: azure-client-secret": "unmapped-variable",
    "Context access might be invalid: SM_API_KEY": "unmapped-variable",
    "ERROR: A digital signature is required, SmartScreen": "smartscreen",
    "Windows Defender SmartScreen prevented an unrecognised app from starting": "smartscreen",
    "The publisher could not be verified. Are you sure you want to run this software?": "smartscreen",
    "Publisher: Unknown": "smartscreen",
    (
        "You cannot install this application because it has files signed ... ClickOnce: "
        "application manifest has either a different computed hash than the one specified"
    ): "clickonce-manifest",
    (
        "Application validation did not succeed. Unable to continue. File, app.exe, has a "
        "different computed hash than specified in manifest."
    ): "clickonce-manifest",
    "Reference in the manifest does not match the identity of the downloaded assembly": "clickonce-manifest",
    "The application is improperly formatted... manifest XML signature is not valid": "clickonce-manifest",
    "WIX0103: insignia.exe : error INSG0001 : burn container": "burn-bundle",
    (
        "Error 1330. A file that is required cannot be installed because the cabinet file has an "
        "invalid digital signature. Error 24581"
    ): "changed-after-signing",
    "This file has an invalid digital signature": "changed-after-signing",
    "A digital signature could not be verified. The file may be corrupted": "changed-after-signing",
    "navsip.dll was loaded but the call to DllRegisterServer failed with error code 0x80070005": "file-not-writable",
    "The module navsip.dll was loaded but the entry-point DllRegisterServer was not found.": "navsip-not-registered",
    "0x8009001d Provider DLL failed to initialize correctly": "ksp-failed-to-start",
    'certutil -csp "DigiCert Software Trust Manager KSP" -key : Provider DLL could not be found': "ksp-not-registered",
    "The requested provider does not exist: NTE_PROV_DLL_NOT_FOUND": "ksp-not-registered",
    "Not enough storage is available to process this command": "out-of-memory",
    "java.lang.OutOfMemoryError: Java heap space": "out-of-memory",
    "No space left on device": "disk-full",
    "[Errno 28] No space left on device: 'dist/app.exe'": "disk-full",
    "EBUSY: resource busy or locked, open 'dist\\app.exe'": "file-in-use",
    "EPERM: operation not permitted, open 'app.exe'": "file-not-writable",
    "EACCES: permission denied, open 'app.exe'": "file-not-writable",
    "ENOENT: no such file or directory, open 'app.exe'": "file-not-found",
    "PermissionError: [Errno 13] Permission denied: 'app.exe'": "file-not-writable",
    "Bad CPU type / BadImageFormatException: Could not load file or assembly": "library-missing",
    "The timestamp signature and/or certificate could not be verified": "timestamp-not-trusted",
    "Timestamp server http://timestamp.comodoca.com returned 503": "timestamp-http-server-error",
    "Error: Timestamping failed: 403 Forbidden": "timestamp-http-status",
    "SHA-1 is deprecated": "sha1-is-not-an-algorithm",
    "SHA1 is not supported": "weak-algorithm",
}


@pytest.mark.parametrize("line", LINES)
def test_line_leads_to_its_failure_first(line: str) -> None:
    first, *_ = diagnose(line)
    assert first.id == LINES[line]
    assert first.exact
