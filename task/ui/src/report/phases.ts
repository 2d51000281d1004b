/** Where the time of a run went: how many files were in each phase at each moment. */
import type { LimitFacts, Report, ReportFile } from "./types";

export const PHASES = ["queued", "digest", "key store", "timestamp", "verify"] as const;
export type Phase = (typeof PHASES)[number];

/** The steps of a file in the order in which they are done, and the phase that each belongs to. */
const STEPS: readonly (readonly [string, Phase])[] = [
  ["digest", "digest"], ["sign", "key store"], ["rebuild", "digest"], ["timestamp", "timestamp"], ["embed", "verify"],
  ["verify", "verify"],
];
const MOMENTS = 160;

export interface RunTimeline {
  /** From the first to the last moment, in seconds after the run's start. */
  from: number;
  to: number;
  /** For each moment, the files in each of PHASES. */
  moments: number[][];
  /** The most files at once that were worked on. */
  busiest: number;
  /** Seconds in each of PHASES, added up over all files; queued ones left out. */
  seconds: Map<Phase, number>;
  files: number;
}

interface Span {
  phase: number;
  from: number;
  to: number;
}

/** The timeline; null where no file says when work on it began. */
export function timelineOf(report: Report): RunTimeline | null {
  const timed = report.files.filter((file) => typeof file.began === "number" && Object.keys(file.seconds).length > 0);
  if (!timed.length) return null;
  const spans = timed.map(spansOf);
  const first = spans.reduce((least, [queued]) => Math.min(least, queued?.to ?? least), Infinity);
  const last = spans.reduce((most, own) => Math.max(most, own.at(-1)?.to ?? 0), 0);
  const width = Math.max(last - first, 0.001) / MOMENTS;
  const moments = Array.from({ length: MOMENTS }, () => PHASES.map(() => 0));
  for (const own of spans) {
    for (const span of own) fill(moments, span, first, width);
  }
  const busy = moments.map((phases) => phases.slice(1).reduce((sum, number) => sum + number, 0));
  return {
    from: first,
    to: last,
    moments,
    busiest: Math.max(1, ...busy),
    seconds: secondsOf(spans),
    files: timed.length,
  };
}

/** When a service complained, in seconds after the run's start. */
export function complaintsOf(report: Report, limit: LimitFacts): number[] {
  const offset = offsetOf(report, limit);
  const curve = limit.curve ?? [];
  return curve.flatMap((point, index) => (point.throttled > (curve[index - 1]?.throttled ?? 0) ? [offset + point.at] : []));
}

/** When the limiter's first request began, in seconds after the run's start. */
export function offsetOf(report: Report, limit: LimitFacts): number {
  const began = limit.began ? (Date.parse(limit.began) - Date.parse(report.started)) / 1000 : 0;
  return Number.isFinite(began) ? Math.max(0, began) : 0;
}

function spansOf(file: ReportFile): Span[] {
  let at = file.began ?? 0;
  const spans: Span[] = [{ phase: 0, from: 0, to: at }];
  for (const [step, phase] of STEPS) {
    const seconds = file.seconds[step];
    if (typeof seconds !== "number") continue;
    spans.push({ phase: PHASES.indexOf(phase), from: at, to: at + seconds });
    at += seconds;
  }
  return spans;
}

/** Count the span in each moment that it touches, by the share of the moment that it takes. */
function fill(moments: number[][], span: Span, first: number, width: number): void {
  const from = Math.max(span.from - first, 0) / width;
  const to = (span.to - first) / width;
  for (let at = Math.floor(from); at < to && at < moments.length; at += 1) {
    const counts = moments[at];
    if (counts) counts[span.phase] = (counts[span.phase] ?? 0) + Math.min(to, at + 1) - Math.max(from, at);
  }
}

function secondsOf(spans: readonly Span[][]): Map<Phase, number> {
  const seconds = new Map<Phase, number>(PHASES.slice(1).map((phase) => [phase, 0]));
  for (const span of spans.flat()) {
    const phase = PHASES[span.phase];
    if (phase && phase !== "queued") seconds.set(phase, (seconds.get(phase) ?? 0) + span.to - span.from);
  }
  return seconds;
}
