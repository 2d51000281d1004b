/** The verdict on the run in one line. */
import { count, grouped } from "../text/words";
import { countOutcomes } from "./outcome";
import type { Report } from "./types";

const CANCELLED = 130;

export interface RunVerdict {
  state: "passed" | "failed" | "cancelled" | "dry run";
  counts: string;
}

/** Whether the run passed, and what became of its files: "40 files: 36 signed, 1 skipped, 3 failed; 37 verified". */
export function verdictOf(report: Report): RunVerdict {
  return { state: stateOf(report), counts: countsOf(report) };
}

function stateOf(report: Report): RunVerdict["state"] {
  if (report.exit_code === CANCELLED) return "cancelled";
  if (report.dry_run && report.exit_code === 0) return "dry run";
  return report.passed ? "passed" : "failed";
}

function countsOf(report: Report): string {
  const total = Math.max(report.totals.matched, report.files.length);
  if (!total) return "no file was processed";
  const counted = countOutcomes(report);
  const parts = [...counted].map(([word, number]) => `${grouped(number)} ${word}`);
  const proved = report.files.filter((file) => file.verdict.result === "verified").length;
  const said = counted.get("verified") === proved ? "" : `; ${grouped(proved)} verified`;
  return `${count(total, "file")}: ${parts.join(", ")}${said}`;
}
