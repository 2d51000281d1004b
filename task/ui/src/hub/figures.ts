/** Figures over several builds: spent by month and pipeline, certificates with successors, causes by month, search. */
import type { ChainCertificate } from "../report/types";
import type { BuildSummary, SearchedFile } from "./summary";

/** "2026-01" of a build. */
export function monthOf({ build }: BuildSummary): string {
  return build.finished.slice(0, 7);
}

/** A table of numbers by row and month, the rows with the largest sums first. */
export interface MonthTable {
  months: string[];
  rows: { name: string; numbers: number[]; sum: number }[];
}

/** Signatures that pipelines spent, by month. */
export function spentByMonth(summaries: readonly BuildSummary[]): MonthTable {
  return tableOf(summaries.map((summary) => [summary.build.pipeline, monthOf(summary), summary.spent]));
}

/** Files that failed for each cause, by month. */
export function causesByMonth(summaries: readonly BuildSummary[]): MonthTable {
  return tableOf(
    summaries.flatMap((summary) => summary.causes.map((cause) => [cause.code, monthOf(summary), cause.files] as const)),
  );
}

export interface UsedCertificate {
  certificate: ChainCertificate;
  builds: number;
  /** The newest build that used it. */
  last: BuildSummary;
  /** The certificate of the same subject that is valid for longer, if one was used. */
  successor: ChainCertificate | null;
}

/** The certificates that builds signed with, those that end first before the others. */
export function usedCertificates(summaries: readonly BuildSummary[]): UsedCertificate[] {
  const used = new Map<string, UsedCertificate>();
  for (const summary of summaries) {
    for (const certificate of summary.certificates) {
      const known = used.get(certificate.thumbprint);
      if (known) known.builds += 1;
      else used.set(certificate.thumbprint, { certificate, builds: 1, last: summary, successor: null });
    }
  }
  const all = [...used.values()].sort((one, other) => one.certificate.not_after.localeCompare(other.certificate.not_after));
  return all.map((one) => ({ ...one, successor: successorOf(one.certificate, all) }));
}

export interface Hit {
  summary: BuildSummary;
  file: SearchedFile;
}

/** Files whose name holds `words`, or whose SHA-256 or signer's thumbprint begins with it; at most `most`. */
export function search(summaries: readonly BuildSummary[], words: string, most: number): Hit[] {
  const wanted = words.trim().toLowerCase();
  const hits: Hit[] = [];
  if (!wanted) return hits;
  for (const summary of summaries) {
    for (const file of summary.searched) {
      if (!isHit(file, wanted)) continue;
      hits.push({ summary, file });
      if (hits.length >= most) return hits;
    }
  }
  return hits;
}

function isHit(file: SearchedFile, wanted: string): boolean {
  return (
    file.path.toLowerCase().includes(wanted) ||
    file.sha256.startsWith(wanted) ||
    file.thumbprints.some((thumbprint) => thumbprint.toLowerCase().startsWith(wanted))
  );
}

function successorOf(certificate: ChainCertificate, all: readonly UsedCertificate[]): ChainCertificate | null {
  const later = all.filter(
    (other) => other.certificate.subject === certificate.subject && other.certificate.not_after > certificate.not_after,
  );
  return later.at(-1)?.certificate ?? null;
}

function tableOf(cells: readonly (readonly [string, string, number])[]): MonthTable {
  const months = [...new Set(cells.map(([, month]) => month))].sort();
  const rows = new Map<string, number[]>();
  for (const [name, month, number] of cells) {
    const numbers = rows.get(name) ?? months.map(() => 0);
    const at = months.indexOf(month);
    numbers[at] = (numbers[at] ?? 0) + number;
    rows.set(name, numbers);
  }
  const summed = [...rows].map(([name, numbers]) => ({ name, numbers, sum: numbers.reduce((sum, one) => sum + one, 0) }));
  return { months, rows: summed.filter((row) => row.sum > 0).sort((one, other) => other.sum - one.sum) };
}
