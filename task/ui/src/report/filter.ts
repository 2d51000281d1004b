/** Which files are listed: by outcome, format, cause, and words of name, digest or thumbprint. */
import { causeKey } from "./causes";
import { type Outcome, outcomeOf } from "./outcome";
import type { Report, ReportFile } from "./types";

export interface Filter {
  outcome: Outcome | "";
  format: string;
  cause: string;
  words: string;
}

export const EVERYTHING: Filter = { outcome: "", format: "", cause: "", words: "" };

/** The name of a format, "unknown" for none. */
export function formatOf(file: ReportFile): string {
  return file.format ?? "unknown";
}

/** The formats of the report, sorted. */
export function formatsOf(report: Report): string[] {
  return [...new Set(report.files.map(formatOf))].sort();
}

/** The files that `filter` lets through, in their order. */
export function filtered(files: readonly ReportFile[], filter: Filter): readonly ReportFile[] {
  const words = filter.words.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length && !filter.outcome && !filter.format && !filter.cause) return files;
  return files.filter(
    (file) =>
      (!filter.outcome || outcomeOf(file) === filter.outcome) &&
      (!filter.format || formatOf(file) === filter.format) &&
      (!filter.cause || causeKey(file) === filter.cause) &&
      (!words.length || words.every((word) => holds(file, word))),
  );
}

/** Whether name, SHA-256 or the thumbprint of a signer has `word`, in lower case. */
export function holds(file: ReportFile, word: string): boolean {
  return (
    file.path.toLowerCase().includes(word) ||
    (file.sha256_after ?? "").startsWith(word) ||
    (file.sha256_before ?? "").startsWith(word) ||
    file.signatures.some((signature) => signature.thumbprint.toLowerCase().startsWith(word))
  );
}
