/** Reads a report. It may be older than this page, and a step that is not ours may have written something else. */
import { REPORT } from "./schema";
import { isObject, type Json } from "./shape";
import { REPORT_SCHEMA, type Report, type ReportFile, type SignatureFacts, type Totals } from "./types";

/** The text is not a report, or one of another schema. */
export class NotAReportError extends Error {}

/** The report of a JSON text. Raises NotAReportError. */
export function readReport(text: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new NotAReportError("it is not JSON");
  }
  return toReport(value);
}

/** The report of a JSON value. What an older version did not write is empty; what no version writes is refused, since
 * nothing of such a report is known to be right. Raises NotAReportError. */
export function toReport(value: unknown): Report {
  if (!isObject(value) || typeof value.schema !== "string") throw new NotAReportError("it is not a report");
  if (value.schema !== REPORT_SCHEMA) throw new NotAReportError(`its schema is ${value.schema}`);
  const fault = REPORT(value, "");
  if (fault !== null) throw new NotAReportError(`its value ${fault} is of a type that kspsign does not write`);
  return reportOf(value);
}

function reportOf(value: Json): Report {
  return {
    schema: REPORT_SCHEMA,
    tool: object(value, "tool", { name: "kspsign", version: "" }),
    started: text(value, "started"),
    finished: text(value, "finished"),
    build: object(value, "build", null),
    command: text(value, "command"),
    engine: optional(value, "engine"),
    key_store: optional(value, "key_store"),
    test_signing: value.test_signing === true,
    passed: value.passed === true,
    exit_code: number(value, "exit_code"),
    certificate: object(value, "certificate", null),
    totals: totalsOf(isObject(value.totals) ? value.totals : {}),
    files: list<Json>(value, "files").map(fileOf),
    error: object(value, "error", null),
    policy: object(value, "policy", null),
    limits: object(value, "limits", null),
    dry_run: value.dry_run === true,
    left_out: object(value, "left_out", { total: 0, files: [] }),
    warnings: list(value, "warnings"),
    max_signatures: typeof value.max_signatures === "number" ? value.max_signatures : null,
    certificates: list(value, "certificates"),
  };
}

function totalsOf(value: Json): Totals {
  return {
    matched: number(value, "matched"),
    signed: number(value, "signed"),
    skipped: number(value, "skipped"),
    failed: number(value, "failed"),
    verified: number(value, "verified"),
    unverified: number(value, "unverified"),
    signatures_used: number(value, "signatures_used"),
    signatures_needed: number(value, "signatures_needed"),
    left: number(value, "left"),
  };
}

// Written back into the parsed value: a report may have a hundred thousand of them.
function fileOf(value: Json): ReportFile {
  value.path = text(value, "path");
  value.outcome = text(value, "outcome");
  value.size = number(value, "size");
  value.signatures = list<SignatureFacts>(value, "signatures");
  value.seconds = object(value, "seconds", {});
  value.request_ids = list(value, "request_ids");
  const verdict = isObject(value.verdict) ? value.verdict : {};
  value.verdict = { result: text(verdict, "result"), checks: list(verdict, "checks") };
  value.error = object(value, "error", null);
  return value as unknown as ReportFile;
}

function text(value: Json, key: string): string {
  return typeof value[key] === "string" ? value[key] : "";
}

function optional(value: Json, key: string): string | null {
  return typeof value[key] === "string" ? value[key] : null;
}

function number(value: Json, key: string): number {
  return typeof value[key] === "number" ? value[key] : 0;
}

function list<T>(value: Json, key: string): T[] {
  return Array.isArray(value[key]) ? (value[key] as T[]) : [];
}

function object<T>(value: Json, key: string, missing: T): T {
  return isObject(value[key]) ? (value[key] as T) : missing;
}
