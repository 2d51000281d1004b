/** What the hub keeps of a build: counts, certificates, causes, and the names to search by; never the whole report. */
import { groupByCause } from "../report/causes";
import { mergedReport } from "../report/merge";
import { outcomeOf } from "../report/outcome";
import type { ChainCertificate, Report } from "../report/types";
import type { Decision } from "../service/decision";
import type { BuildRow } from "./builds";

/** Files of one build that are kept to be searched. */
export const SEARCHED = 20_000;

export interface SearchedFile {
  path: string;
  sha256: string;
  outcome: string;
  thumbprints: string[];
  subject: string;
}

export interface BuildSummary {
  build: BuildRow;
  /** unknown: it could not be read, or only in part, and nothing that was read fails. */
  state: "verified" | "failed" | "forged" | "unknown" | "none";
  test: boolean;
  files: number;
  failed: number;
  spent: number;
  causes: { code: string; files: number }[];
  certificates: ChainCertificate[];
  searched: SearchedFile[];
}

/** The summary of a build by what was decided on it. */
export function summaryOf(build: BuildRow, decision: Decision): BuildSummary {
  const jobs = decision.verdicts.flatMap(({ job, step, report }) => (report ? [{ job: job?.name ?? step.name, report }] : []));
  const report = mergedReport(jobs);
  return {
    build,
    state: stateOf(decision, report),
    test: report?.test_signing ?? false,
    files: report?.files.length ?? 0,
    failed: report?.files.filter((file) => outcomeOf(file) === "failed").length ?? 0,
    spent: report?.totals.signatures_used ?? 0,
    causes: report ? groupByCause(report.files).map((cause) => ({ code: cause.error.code, files: cause.files.length })) : [],
    certificates: report ? signersOf(report) : [],
    searched: (report?.files ?? []).slice(0, SEARCHED).map((file) => ({
      path: file.path,
      sha256: file.sha256_after ?? "",
      outcome: outcomeOf(file),
      thumbprints: file.signatures.map((signature) => signature.thumbprint),
      subject: file.signatures.at(-1)?.subject ?? "",
    })),
  };
}

/** What there is of a build that could not be read. */
export function unknownSummary(build: BuildRow): BuildSummary {
  return {
    build, state: "unknown", test: false, files: 0, failed: 0, spent: 0, causes: [], certificates: [], searched: [],
  };
}

function stateOf(decision: Decision, report: Report | null): BuildSummary["state"] {
  if (decision.verdicts.some((verdict) => !verdict.ours)) return "forged";
  if (!report) return withoutReport(decision);
  // Test signing is refused by a gate unless it is allowed; here it is shown as what it is.
  const refused = decision.checks.filter((check) => !check.ok && !(check.name === "keys" && report.test_signing));
  return refused.length ? "failed" : "verified";
}

/** The state of a build of whose reports none can be read. */
function withoutReport({ verdicts }: Decision): BuildSummary["state"] {
  if (!verdicts.length) return "none";
  const failed = verdicts.some((verdict) => verdict.checks.some((check) => !check.ok && check.name !== "report"));
  return failed ? "failed" : "unknown";
}

/** The certificates that this run signed with. */
function signersOf(report: Report): ChainCertificate[] {
  const used = new Set(report.files.flatMap((file) => file.signatures.map((signature) => signature.thumbprint)));
  if (report.certificate) used.add(report.certificate.thumbprint);
  const known = report.certificates.filter((certificate) => used.has(certificate.thumbprint));
  const { certificate } = report;
  if (certificate && !known.some((other) => other.thumbprint === certificate.thumbprint)) {
    known.push({ ...certificate, issuer: null });
  }
  return known;
}
