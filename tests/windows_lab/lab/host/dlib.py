"""The Linux half of the stand-in for Azure.CodeSigning.Dlib.dll (see win/dlib.c): dlib.py JOBDIR.

Signs in by what DefaultAzureCredential would use of the variables and does not exclude, asks the service of the
metadata for a signature, waits for it, and leaves in JOBDIR what the DLL prints (said), the signature (value) and the
certificates in base64, the signer's first. STATE/azure-ca.pem is whom it trusts, as Windows' store would say.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from windows_lab.lab.host.der import elements
from windows_lab.lab.host.state import STATE, log

VERSION = "2022-06-15-preview"
SCOPE = "https://codesigning.azure.net/.default"
E_FAIL = 0x80004005
NO_CREDENTIAL = (
    "Unhandled managed exception\nAzure.Identity.CredentialUnavailableException: DefaultAzureCredential failed to "
    "retrieve a token from the included credentials. See the troubleshooting guide for more information. "
    "https://aka.ms/azsdk/net/identity/defaultazurecredential/troubleshoot"
)


class FailedError(Exception):
    """What .NET would print."""


def main(folder: Path) -> None:
    """Do the job in `folder`."""
    lines = (folder / "job").read_text(encoding="utf-8").splitlines()
    job = dict(line.split("=", 1) for line in lines)
    (folder / "job").unlink()
    said: list[str] = []
    code = 0
    try:
        signed(folder, job, said)
    except FailedError as failed:
        code = E_FAIL
        said.append(str(failed))
    (folder / "said").write_text("\n".join(said), encoding="utf-8")
    log(f"dlib sign digest={job['digest'][:16]} -> {code:#x}")
    done = folder / "done.new"
    done.write_text(f"{code:08x}\n", encoding="ascii")
    done.rename(folder / "done")


def signed(folder: Path, job: dict[str, str], said: list[str]) -> None:
    """One signature. Raises FailedError."""
    metadata = json.loads(bytes.fromhex(job["metadata"]))
    ask = opener(job)
    token = sign_in(ask, job, set(metadata.get("ExcludeCredentials", [])))
    base = (
        f"{metadata['Endpoint'].rstrip('/')}/codesigningaccounts/{metadata['CodeSigningAccountName']}"
        f"/certificateprofiles/{metadata['CertificateProfileName']}/sign"
    )
    headers = {
        "Authorization": f"Bearer {token}", "Content-Type": "application/json", "client-version": "1.0.128",
        "x-correlation-id": metadata.get("CorrelationId", ""),
    }  # fmt: skip
    content = {
        "signatureAlgorithm": job["algorithm"],
        "digest": base64.b64encode(bytes.fromhex(job["digest"])).decode(),
        "fileHashList": [],
        "authenticodeHashList": [],
    }
    body = json.dumps(content).encode()
    state = sent(ask, urllib.request.Request(f"{base}?api-version={VERSION}", body, headers))  # noqa: S310 - loopback
    said.append(f"\nOperationId {state['operationId']}: {state['status']}\n")
    begun, where = time.monotonic(), f"{base}/{state['operationId']}?api-version={VERSION}"
    while state["status"] in {"InProgress", "Running", "NotStarted"}:
        time.sleep(0.05)
        state = sent(ask, urllib.request.Request(where, headers=headers))  # noqa: S310 - loopback
    said.append(f"Signing completed with status '{state['status']}' in {time.monotonic() - begun:.7f}s\n")
    if state["status"] != "Succeeded":
        raise FailedError("Unhandled managed exception\nSystem.InvalidOperationException: Signing failed.")
    (folder / "value").write_bytes(base64.b64decode(state["signature"]))
    chain = certificates(base64.b64decode(base64.b64decode(state["signingCertificate"])))
    (folder / "certificates").write_text("".join(base64.b64encode(der).decode() + "\n" for der in chain))


def opener(job: dict[str, str]) -> urllib.request.OpenerDirector:
    """Asks through the proxy of the program's environment, and trusts the stand-in's CA."""
    context = ssl.create_default_context(cafile=str(STATE / "azure-ca.pem"))
    proxies = {"https": job["HTTPS_PROXY"], "http": job["HTTPS_PROXY"]} if "HTTPS_PROXY" in job else {}
    return urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)
    )


def sign_in(ask: urllib.request.OpenerDirector, job: dict[str, str], excluded: set[str]) -> str:
    """A token of the first credential that is set up and not excluded. Raises FailedError."""
    form = {"grant_type": "client_credentials", "client_id": job.get("AZURE_CLIENT_ID", ""), "scope": SCOPE}
    if "AZURE_CLIENT_SECRET" in job and "EnvironmentCredential" not in excluded:
        form["client_secret"] = job["AZURE_CLIENT_SECRET"]
    elif "AZURE_FEDERATED_TOKEN_FILE" in job and "WorkloadIdentityCredential" not in excluded:
        form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        form["client_assertion"] = Path(job["AZURE_FEDERATED_TOKEN_FILE"]).read_text(encoding="ascii").strip()
    else:
        raise FailedError(NO_CREDENTIAL)
    url = f"https://login.microsoftonline.com/{job.get('AZURE_TENANT_ID', '')}/oauth2/v2.0/token"
    try:
        with ask.open(urllib.request.Request(url, urllib.parse.urlencode(form).encode()), timeout=60) as answer:
            return str(json.loads(answer.read())["access_token"])
    except urllib.error.HTTPError as refused:
        words = json.loads(refused.read()).get("error_description", "")
        raise FailedError(
            "Unhandled managed exception\nAzure.Identity.AuthenticationFailedException: ClientSecretCredential "
            f"authentication failed: {words}"
        ) from refused


def sent(ask: urllib.request.OpenerDirector, request: urllib.request.Request) -> dict[str, str]:
    """The service's answer. Raises FailedError as Azure.Core words a refusal."""
    try:
        with ask.open(request, timeout=300) as answer:
            return dict(json.loads(answer.read()))
    except urllib.error.HTTPError as refused:
        body = refused.read().decode()
        content = f"\nContent:\n{body}\n" if body else ""
        raise FailedError(
            "Unhandled managed exception\nAzure.RequestFailedException: Service request failed.\n"
            f"Status: {refused.code} ({refused.reason or 'Forbidden'})\n{content}\nHeaders:\n"
            f"Content-Length: {len(body)}\n\n"
            "   at Azure.CodeSigning.CertificateProfileRestClient.SignAsync(String codeSigningAccountName)\n"
            "   at Azure.CodeSigning.Dlib.Core.DigestSigner.SignAsync(UInt32 algorithm, Byte[] digest)"
        ) from refused


def certificates(message: bytes) -> list[bytes]:
    """Those of a PKCS#7 without signer; the one that issued none of the others first."""
    held = [part.whole for part in next(elements(message)).parts[1].parts[0].parts[3].parts]
    issuers = {names(other)[0] for other in held}
    return sorted(held, key=lambda der: names(der)[1] in issuers)


def names(certificate: bytes) -> tuple[bytes, bytes]:
    """Issuer and subject."""
    fields = next(elements(certificate)).parts[0].parts
    fields = fields[1:] if fields[0].tag == 0xA0 else fields
    return fields[2].whole, fields[4].whole


if __name__ == "__main__":
    os.umask(0o077)
    main(Path(sys.argv[1]))
