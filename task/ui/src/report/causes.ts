/** The failures of a run grouped by cause: each cause once, with its files and one remedy. */
import { failureOf, isFailure, isTried } from "./outcome";
import type { ErrorFacts, ReportFile } from "./types";

// What differs from file to file though the cause is the same: digests, sizes, positions, times.
const VARYING = /\b[0-9A-Fa-f]{16,}\b|\d+(?:\.\d+)?/g;

export interface Cause {
  /** Distinguishes it from other causes. */
  key: string;
  /** The error of its first file. */
  error: ErrorFacts;
  files: ReportFile[];
}

/** The key of the cause for which the file failed; empty where it did not fail by itself. */
export function causeKey(file: ReportFile): string {
  if (!isFailure(file) || !isTried(file)) return "";
  const error = failureOf(file);
  return JSON.stringify([error.code, error.hresult, error.remedy, skeleton(error.message, file.path)]);
}

/** The causes, that of most files first. */
export function groupByCause(files: readonly ReportFile[]): Cause[] {
  const causes = new Map<string, Cause>();
  for (const file of files) {
    const key = causeKey(file);
    if (!key) continue;
    const known = causes.get(key);
    if (known) known.files.push(file);
    else causes.set(key, { key, error: failureOf(file), files: [file] });
  }
  return [...causes.values()].sort((one, other) => other.files.length - one.files.length);
}

/** What the copy button puts on the clipboard: cause, remedy and every file. */
export function causeText(cause: Cause): string {
  const { code, message, remedy } = cause.error;
  return [`${code}: ${message}`, `remedy: ${remedy}`, ...cause.files.map((file) => file.path), ""].join("\n");
}

/** `message` without what is different for each file: its own name, numbers and digests. */
function skeleton(message: string, path: string): string {
  const name = path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
  let text = path ? message.replaceAll(path, "*") : message;
  if (name) text = text.replaceAll(name, "*");
  return text.replace(VARYING, "#");
}
