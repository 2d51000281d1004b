/** Numbers, sizes, durations and times as people read them. */

const UNITS = ["B", "KB", "MB", "GB"];
const MINUTE = 60;
const DAY_MS = 86_400_000;
const NUMBER = new Intl.NumberFormat("en-US");

/** "12,345". */
export function grouped(number: number): string {
  return NUMBER.format(number);
}

/** "1 file", "40 files". */
export function count(number: number, noun: string): string {
  return `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** A size in bytes as "12 KB". */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${UNITS[unit] ?? ""}`;
}

/** Seconds as "250 ms", "4.2 s" or "3 min 20 s". */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < MINUTE) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return `${Math.floor(seconds / MINUTE)} min ${Math.round(seconds % MINUTE)} s`;
}

/** A time of the report (ISO 8601 in UTC) as "2026-01-31 12:00 UTC"; as it is where it is not one. */
export function moment(time: string): string {
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)/.exec(time);
  return match ? `${match[1] ?? ""} ${match[2] ?? ""} UTC` : time;
}

/** The date of a time of the report. */
export function date(time: string): string {
  return time.slice(0, 10);
}

/** Whole days from `now` to `time` (both in milliseconds), negative when it is over. */
export function daysLeft(time: number, now: number): number {
  return Math.floor((time - now) / DAY_MS);
}

/** The common name of a subject as the report writes it (RFC 4514), else all of it. */
export function shortName(subject: string): string {
  const found = /(?:^|,)\s*CN=((?:\\.|[^,\\])+)/.exec(subject);
  return found?.[1] === undefined ? subject : found[1].replace(/\\(.)/g, "$1").trim();
}
