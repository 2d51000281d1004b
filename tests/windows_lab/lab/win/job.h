/* job.h - work for the lab's Linux half: a folder of files, a program of LAB/host that works on it, and its answer. */
#ifndef JOB_H
#define JOB_H
#include "lab.h"

typedef struct { WCHAR dir[2 * MAX_PATH]; FILE *f; char answer[1024]; } JOB;

static inline void job_put(JOB *job, const char *name, LPCWSTR value)
{
    char utf8[4096];
    if (!value || !*value) return;
    WideCharToMultiByte(CP_UTF8, 0, value, -1, utf8, sizeof utf8, NULL, NULL);
    fprintf(job->f, "%s=%s\n", name, utf8);
}

static inline void job_hex(JOB *job, const char *name, const BYTE *data, DWORD size)
{
    DWORD i;
    fprintf(job->f, "%s=", name);
    for (i = 0; i < size; i++) fprintf(job->f, "%02x", data[i]);
    fprintf(job->f, "\n");
}

static inline BOOL job_open(JOB *job, const char *op, LPCWSTR file)
{
    char *(CDECL *unix_name)(LPCWSTR) = (void *)GetProcAddress(GetModuleHandleA("kernel32"), "wine_get_unix_file_name");
    WCHAR rel[64], path[2 * MAX_PATH];
    CreateDirectoryW(lab_path(L"WINLAB_STATE", L""), NULL);
    CreateDirectoryW(lab_path(L"WINLAB_STATE", L"jobs"), NULL);
    swprintf(rel, 64, L"jobs/%lx.%lx.%llx", GetCurrentProcessId(), GetTickCount(), (ULONGLONG)(ULONG_PTR)job);
    wcscpy(job->dir, lab_path(L"WINLAB_STATE", rel));
    CreateDirectoryW(job->dir, NULL);
    swprintf(path, 2 * MAX_PATH, L"%ls\\job", job->dir);
    if (!(job->f = _wfopen(path, L"wb"))) return FALSE;
    GetFullPathNameW(file, 2 * MAX_PATH, path, NULL);
    fprintf(job->f, "op=%s\nfile=%s\n", op, unix_name(path));
    return TRUE;
}

/* A file that the program put next to "done", and deletes it; NULL if there is none. */
static inline char *job_take(JOB *job, LPCWSTR name, DWORD *size)
{
    WCHAR path[3 * MAX_PATH];
    char *content;
    swprintf(path, 3 * MAX_PATH, L"%ls\\%ls", job->dir, name);
    if ((content = lab_read(path, size))) DeleteFileW(path);
    return content;
}

/* Runs LAB/PROGRAM JOBDIR (a Linux program: Wine forks it, but gives no handle to wait on, so its last act is to write
 * JOBDIR/done: the HRESULT, and what else it answers in the same line). */
static inline HRESULT job_run(JOB *job, LPCWSTR program)
{
    char *(CDECL *unix_name)(LPCWSTR) = (void *)GetProcAddress(GetModuleHandleA("kernel32"), "wine_get_unix_file_name");
    WCHAR cmd[4 * MAX_PATH], path[3 * MAX_PATH];
    STARTUPINFOW si = { sizeof si };
    PROCESS_INFORMATION pi;
    HRESULT hr = NTE_FAIL;
    char *text = NULL;
    int waited;

    fclose(job->f);
    si.dwFlags = STARTF_USESTDHANDLES;
    si.hStdInput = si.hStdOutput = si.hStdError = INVALID_HANDLE_VALUE;
    swprintf(cmd, 4 * MAX_PATH, L"host %hs", unix_name(job->dir));
    if (!CreateProcessW(lab_path(L"WINLAB", program), cmd, NULL, NULL, FALSE, 0, NULL, NULL, &si, &pi)) return NTE_PROVIDER_DLL_FAIL;
    swprintf(path, 3 * MAX_PATH, L"%ls\\done", job->dir);
    for (waited = 0; waited < 600000 && !(text = lab_read(path, NULL)); waited += 5) Sleep(5);
    if (text) hr = strtoul(text, NULL, 16);
    DeleteFileW(path);
    RemoveDirectoryW(job->dir);   /* what else is in there is taken by job_take, which comes first then */
    if (text && !strncmp(text, "die", 3)) lab_die();
    *job->answer = 0;
    if (text && strlen(text) > 9) strncpy(job->answer, text + 9, sizeof job->answer - 1);
    job->answer[strcspn(job->answer, "\r\n")] = 0;
    return hr;
}
#endif
