"""Reports for the pages: any number of files, passed or failed, and one whose every word is hostile."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from kspsign.model.report import AgentFacts, ChainCertificate, FileOutcome, Report, RunWarning, ToolFacts, Totals
from kspsign.model.run_facts import BuildFacts
from kspsign.model.signing_facts import CertificateFacts, LimitFacts, LimitPoint, Limits, ServerFacts
from kspsign.model.values import Check, ErrorFacts, Format, RootFacts, SignatureFacts, TimestampFacts, Verdict

LEAF, ISSUER, ROOT = "A1" * 20, "B2" * 20, "C3" * 20
UNIT, UNIT_ROOT = "D4" * 20, "E5" * 20
SUBJECT = "CN=Contoso Ltd.,O=Contoso Ltd.,L=Redmond,C=US"
ROOT_SUBJECT = "CN=DigiCert Trusted Root G4,O=DigiCert Inc,C=US"
SERVERS = ("http://timestamp.digicert.com", "http://timestamp.sectigo.com")
KEPT_WHOLE = 10_000
"""As in batch/kept.py: the checks of further files are not in the report."""
_CAUSES = (
    ErrorFacts(
        "TRUST_E_BAD_DIGEST",
        "0x80096010",
        "The digital signature of the object did not verify (digest: signed 00, the file has 11)",
        "Sign the file after its last change: a later step rewrote it.",
    ),
    ErrorFacts(
        "ERROR_SHARING_VIOLATION",
        "0x80070020",
        "another process has the file open",
        "Wait for the step that writes the file, or exclude its folder.",
    ),
    ErrorFacts(
        "KEYLOCKER_THROTTLED",
        None,
        "the key store refused 6 times (429, Retry-After 10)",
        "Lower --jobs, or ask DigiCert for a higher rate.",
    ),
)
_CHECKS = tuple(
    Check(name, ok=True, detail=detail)
    for name, detail in (
        ("signed", "1 signature"),
        ("cms-structure", "well-formed, one signer"),
        ("algorithms", "sha256"),
        ("digest", "5f" * 32),
        ("signature", "made with the certificate's key"),
        ("certificate-chain", "Contoso Ltd. < DigiCert Code Signing CA < DigiCert Trusted Root G4"),
        ("certificate-validity", "at 2026-11-20T10:00:05Z (timestamp)"),
        ("timestamp-signature", "made with the authority's key"),
        ("certificate-table", "nothing but zero padding around the signature"),
        ("checksum", "0x0000E753"),
    )
)
_FORMATS = (
    ("exe", Format.PE),
    ("dll", Format.PE),
    ("msi", Format.MSI),
    ("ps1", Format.POWERSHELL),
    ("cab", Format.CAB),
)


def report_of(files: int, failures: int = 0, *, begun: bool = True) -> Report:
    """A report of so many files, of which so many failed. Without `begun` as an older version wrote it."""
    outcomes = tuple(_file(number, failed=number < failures, begun=begun) for number in range(files))
    good = files - failures
    return Report(
        tool=ToolFacts("kspsign", "1.0.0"),
        started="2026-11-20T10:00:00Z",
        finished="2026-11-20T10:00:41Z",
        agent=AgentFacts("Linux", "x86_64", "3.11.7"),
        build=BuildFacts(
            "4711", "20261120.3", "Release", "Apps", "https://dev.azure.com/contoso/", "apps", "9f2c1d7", "Sign", 1
        ),
        command="run",
        engine="native",
        key_store="keylocker",
        test_signing=False,
        passed=files > 0 and not failures,
        exit_code=2 if failures else 0 if files else 4,
        certificate=CertificateFacts(
            LEAF,
            "aa" * 32,
            SUBJECT,
            "CN=DigiCert Code Signing CA",
            "01",
            "2026-02-01T00:00:00Z",
            "2027-02-01T00:00:00Z",
            "release",
        ),
        totals=Totals(files, good, 0, failures, good, failures, good),
        files=outcomes,
        error=None if files else ErrorFacts("NO_FILES", None, "no file matched dist/**/*.exe", "Check the patterns."),
        limits=_limits(files) if begun else None,
        warnings=(RunWarning("CERTIFICATE_ENDS", "the certificate ends in 20 days", "Order its successor."),)
        if failures
        else (),
        max_signatures=1000 if begun else None,
        certificates=_certificates() if begun else (),
    )


def hostile_report(name_length: int = 1_000_000) -> Report:
    """Markup, script, directions, characters without width, one name of a megabyte, and twenty levels of folders."""
    names = (
        "<script>window.hacked=1</script>.exe",
        '"><img src=x onerror=window.hacked=1>.exe',
        "</script><script>window.hacked=1</script>.exe",
        "<!--<script>.exe",
        "javascript:window.hacked=1.exe",
        "invoice\u202egpj.exe",
        "app\u200b\u200d\ufeff.exe",
        "\u0645\u0644\u0641 \u0639\u0631\u0628\u064a.exe",
        "line\nbreak\r\x1b[31mred.exe",
        "##vso[task.complete result=Succeeded;].exe",
        "/".join(f"level{level}" for level in range(20)) + "/deep.exe",
        "x" * name_length + ".exe",
    )
    markup = "<img src=x onerror=window.hacked=1>"
    base = report_of(len(names), 3)
    files = tuple(
        replace(
            outcome,
            path=name,
            error=replace(outcome.error, code=markup, message=f"{markup} {name[:100]}", remedy=markup)
            if outcome.error
            else None,
            verdict=Verdict(
                outcome.verdict.result, (Check(markup, ok=outcome.error is None, detail=f"{markup}\u202e"),)
            ),
            signatures=tuple(replace(signature, subject=f"CN={markup}\u202e") for signature in outcome.signatures),
            timestamp_server=f"javascript:{markup}",
        )
        for outcome, name in zip(base.files, names, strict=True)
    )
    certificates = tuple(replace(certificate, subject=f"CN={markup}") for certificate in base.certificates)
    warnings = (RunWarning(markup, markup, markup),)
    return replace(base, files=files, certificates=certificates, warnings=warnings, key_store=markup)


def _file(number: int, *, failed: bool, begun: bool) -> FileOutcome:
    suffix, format_ = _FORMATS[number % len(_FORMATS)]
    whole = number < KEPT_WHOLE
    cause = _CAUSES[number % len(_CAUSES)] if failed else None
    checks = _CHECKS if whole or failed else ()
    if failed:
        checks = (replace(_CHECKS[3], ok=False, detail="signed 00, the file has 11"), *checks)
    wait = 0.02 * (number // 8)
    steps = {"digest": 0.002, "sign": 0.3 + 0.1 * (number % 7), "timestamp": 0.15, "embed": 0.001, "verify": 0.02}
    return FileOutcome(
        path=f"product/component{number // 100:04}/module{number % 100:02}.{suffix}",
        format=format_,
        size=20_000 + number * 37,
        sha256_before=_sha256(number),
        sha256_after=_sha256(-1 - number),
        outcome="failed" if failed else "signed",
        signatures=() if failed else (_SIGNATURE,),
        verdict=Verdict("failed" if failed else "verified", checks),
        error=cause,
        attempts=1,
        seconds={} if failed or not whole else steps,
        timestamp_server=None if failed else SERVERS[number % 10 == 0],
        certificate=None if failed else LEAF,
        began=round(0.4 + wait, 3) if begun and whole else None,
    )


def _sha256(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


_SIGNATURE = SignatureFacts(
    LEAF,
    SUBJECT,
    "sha256",
    TimestampFacts(
        "2026-11-20T10:00:05Z", "DigiCert Timestamp 2026", "sha256", RootFacts(UNIT_ROOT, ROOT_SUBJECT), UNIT
    ),
    "RSA 3072",
    RootFacts(ROOT, ROOT_SUBJECT),
)


def _certificates() -> tuple[ChainCertificate, ...]:
    return (
        ChainCertificate(LEAF, SUBJECT, ISSUER, "2026-02-01T00:00:00Z", "2027-02-01T00:00:00Z"),
        ChainCertificate(ISSUER, "CN=DigiCert Code Signing CA", ROOT, "2021-04-29T00:00:00Z", "2036-04-28T23:59:59Z"),
        ChainCertificate(ROOT, ROOT_SUBJECT, None, "2013-08-01T12:00:00Z", "2038-01-15T12:00:00Z"),
        ChainCertificate(UNIT, "CN=DigiCert Timestamp 2026", UNIT_ROOT, "2026-01-01T00:00:00Z", "2037-01-01T00:00:00Z"),
        ChainCertificate(UNIT_ROOT, ROOT_SUBJECT, None, "2013-08-01T12:00:00Z", "2038-01-15T12:00:00Z"),
    )


def _limits(files: int) -> Limits:
    curve = tuple(
        LimitPoint(at, limit, throttled)
        for at, limit, throttled in ((0.0, 4, 0), (0.6, 8, 0), (1.3, 16, 0), (1.9, 8, 1), (3.2, 10, 1), (4.0, 12, 2))
    )
    key_store = LimitFacts(32, 12, 16, files, 2, 18.0, "2026-11-20T10:00:00.450Z", curve)
    server = LimitFacts(64, 16, 16, files, 0, 20.0, "2026-11-20T10:00:00.900Z", curve[:3])
    return Limits(
        key_store,
        (ServerFacts(SERVERS[0], files * 9 // 10, 0, server), ServerFacts(SERVERS[1], files // 10, 1, server)),
    )
