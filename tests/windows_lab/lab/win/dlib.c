/* dlib.c - a stand-in for Azure.CodeSigning.Dlib.dll, the library that SignTool's /dlib loads: same export, same
 * prototype, same lines on standard output. Microsoft's is .NET 8; here host/dlib.py speaks to the service.
 * Prototype: PFN_AUTHENTICODE_DIGEST_SIGN_EX_WITHFILEHANDLE of mssign32.
 */
#include "job.h"

/* The environment as the dlib has it: AZURE_* and the proxy go into the job, all names into the call log. */
static void environment(JOB *job)
{
    WCHAR *block = GetEnvironmentStringsW(), *entry;
    char names[900] = "";
    for (entry = block; *entry; entry += wcslen(entry) + 1)
    {
        WCHAR *value = wcschr(entry + 1, '=');
        char name[128];
        if (!value || *entry == '=' || value - entry > 100) continue;
        snprintf(name, sizeof name, "%.*ls", (int)(value - entry), entry);
        if (!strncmp(name, "AZURE_", 6) || !strcmp(name, "HTTPS_PROXY")) job_put(job, name, value + 1);
        if (!strncmp(name, "AZURE_", 6) || !strncmp(name, "SM_", 3) || !strncmp(name, "SYSTEM_", 7))
            snprintf(names + strlen(names), sizeof names - strlen(names), " %s", name);
    }
    lab_log("dlib environment%s", names);
}

/* "BASE64\n" for each certificate, the signer's first. */
static HRESULT add_certificates(char *lines, PCCERT_CONTEXT *leaf, HCERTSTORE store)
{
    BYTE der[16384];
    char *line;
    BOOL first = TRUE;
    for (line = strtok(lines, "\n"); line; line = strtok(NULL, "\n"), first = FALSE)
    {
        DWORD n = sizeof der;
        if (!CryptStringToBinaryA(line, 0, CRYPT_STRING_BASE64, der, &n, NULL, NULL)) return E_FAIL;
        if (!CertAddEncodedCertificateToStore(store, X509_ASN_ENCODING, der, n, CERT_STORE_ADD_NEW, first ? leaf : NULL)) return E_FAIL;
    }
    return first ? E_FAIL : S_OK;
}

__declspec(dllexport) HRESULT WINAPI AuthenticodeDigestSignExWithFileHandle(
    CRYPT_DATA_BLOB *metadata, ALG_ID hash, BYTE *digest, DWORD size, HANDLE file, CRYPT_DATA_BLOB *value, PCCERT_CONTEXT *leaf, HCERTSTORE store)
{
    static BOOL greeted;
    JOB job;
    char *said, *made, *certificates;
    DWORD n = 0;
    HRESULT hr;

    if (!greeted) printf("\nTrusted Signing\n\nVersion: 1.0.128\n\n\"Metadata\": %.*s\n", metadata ? (int)metadata->cbData : 0, metadata ? (char *)metadata->pbData : "");
    greeted = TRUE;
    printf("Submitting digest for signing...\n");
    fflush(stdout);
    lab_fault("dlib.sign");
    if (!job_open(&job, "dlib", L".")) return E_FAIL;
    fprintf(job.f, "algorithm=%s\n", hash == CALG_SHA_384 ? "RS384" : hash == CALG_SHA_512 ? "RS512" : "RS256");
    job_hex(&job, "digest", digest, size);
    if (metadata) job_hex(&job, "metadata", metadata->pbData, metadata->cbData);
    environment(&job);
    hr = job_run(&job, L"host/dlib.py");
    if ((said = job_take(&job, L"said", NULL))) printf("%s\n", said);
    fflush(stdout);
    made = job_take(&job, L"value", &n);
    certificates = job_take(&job, L"certificates", NULL);
    RemoveDirectoryW(job.dir);
    if (hr) return hr;
    if (!made || !certificates) return E_FAIL;
    value->pbData = HeapAlloc(GetProcessHeap(), 0, n);
    memcpy(value->pbData, made, value->cbData = n);
    return add_certificates(certificates, leaf, store);
}
