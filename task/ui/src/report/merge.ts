/** One report of those of several jobs, to be shown as one. */
import type { ChainCertificate, Report, Totals } from "./types";

/** A report, and the job that it is from. */
export interface JobReport {
  job: string;
  report: Report;
}

/** The report of all jobs; of several, each file is in a folder of its job's name. Null for none. */
export function mergedReport(jobs: readonly JobReport[]): Report | null {
  const [first] = jobs;
  if (!first) return null;
  if (jobs.length === 1) return first.report;
  const reports = jobs.map(({ report }) => report);
  const started = reports.map((report) => report.started).sort()[0] ?? "";
  return {
    ...first.report,
    started,
    finished: reports.map((report) => report.finished).sort().at(-1) ?? "",
    test_signing: reports.some((report) => report.test_signing),
    passed: reports.every((report) => report.passed),
    exit_code: Math.max(...reports.map((report) => report.exit_code)),
    totals: reports.map((report) => report.totals).reduce(added),
    files: jobs.flatMap(({ job, report }) => {
      const later = (Date.parse(report.started) - Date.parse(started)) / 1000;
      return report.files.map((file) => ({
        ...file,
        path: `${job}/${file.path}`,
        began: typeof file.began === "number" ? file.began + later : null,
      }));
    }),
    error: reports.find((report) => report.error)?.error ?? null,
    left_out: {
      total: reports.reduce((sum, report) => sum + report.left_out.total, 0),
      files: reports.flatMap((report) => report.left_out.files),
    },
    limits: reports.find((report) => report.limits)?.limits ?? null,
    warnings: reports.flatMap((report) => report.warnings),
    max_signatures: null,
    certificates: unique(reports.flatMap((report) => report.certificates)),
  };
}

function added(one: Totals, other: Totals): Totals {
  const sum = { ...one };
  for (const key of Object.keys(one) as (keyof Totals)[]) sum[key] += other[key];
  return sum;
}

function unique(certificates: readonly ChainCertificate[]): ChainCertificate[] {
  return [...new Map(certificates.map((certificate) => [certificate.thumbprint, certificate])).values()];
}
