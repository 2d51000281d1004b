/** What became of a file, in one word: each file counts to exactly one. */
import type { ErrorFacts, Report, ReportFile } from "./types";

const NOT_TRIED = new Set(["NOT_TRIED", "CANCELLED"]);
const RENAMED: Partial<Record<string, string>> = { checked: "verified", planned: "to sign" };

/** The words in the order in which they are counted. */
export const OUTCOMES = [
  "signed", "rebuilt", "skipped", "removed", "extracted", "prepared", "created", "verified", "to sign", "not verified",
  "failed", "not tried",
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Whether the file counts against the run: signing failed, verification failed, or an error says so. */
export function isFailure(file: ReportFile): boolean {
  return file.outcome === "failed" || file.verdict.result === "failed" || file.error !== null;
}

/** Whether the file was processed before the run stopped or was cancelled. */
export function isTried(file: ReportFile): boolean {
  return file.error === null || !NOT_TRIED.has(file.error.code);
}

/** The one word of a file. */
export function outcomeOf(file: ReportFile): Outcome {
  if (!isTried(file)) return "not tried";
  if (isFailure(file)) return "failed";
  const word = RENAMED[file.outcome] ?? file.outcome;
  if (word === "verified" && file.verdict.result !== "verified") return "not verified";
  return (OUTCOMES as readonly string[]).includes(word) ? (word as Outcome) : "not verified";
}

/** Why the file failed; one without an error of its own is explained by its failed checks. */
export function failureOf(file: ReportFile): ErrorFacts {
  if (file.error) return file.error;
  const failed = file.verdict.checks.filter((check) => !check.ok);
  const found = failed.map((check) => `${check.name}: ${check.detail}`).join("; ");
  return {
    code: "NOT_VERIFIED",
    hresult: null,
    message: found || "the file was not verified",
    remedy: "Sign the file again and verify it.",
  };
}

/** The code, with Windows' number where there is one. */
export function codeText(error: ErrorFacts): string {
  return error.hresult ? `${error.code} (${error.hresult})` : error.code;
}

/** How many files each word has, those without files left out. Files that the run never came to count as not tried. */
export function countOutcomes(report: Report): Map<Outcome, number> {
  const counted = new Map<Outcome, number>(OUTCOMES.map((word) => [word, 0]));
  for (const file of report.files) {
    const word = outcomeOf(file);
    counted.set(word, (counted.get(word) ?? 0) + 1);
  }
  const missing = Math.max(0, report.totals.matched - report.files.length);
  counted.set("not tried", (counted.get("not tried") ?? 0) + missing);
  return new Map([...counted].filter(([, number]) => number > 0));
}
