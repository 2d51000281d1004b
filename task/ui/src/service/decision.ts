/** Decides on a build by the rules of the gate, python/kspsign/gate/decide.py. */
import type { Check } from "../report/types";
import { listAttachments, VERDICT_TYPE } from "./attachments";
import { type Examined, examine } from "./evidence";
import type { Place } from "./rest";
import { readTimeline, type Timeline, type TimelineRecord } from "./timeline";

export interface Decision {
  verdicts: Examined[];
  /** Those that earlier attempts left: they do not count. */
  stale: number;
  /** Every check, of the build and of each verdict. */
  checks: Check[];
}

/** Every check of one build, for as many verdicts as it has. Raises ServiceError. */
export async function decide(place: Place, build: number, taskId: string): Promise<Decision> {
  const timeline = await readTimeline(place, build);
  const listed = await listAttachments(place, build, VERDICT_TYPE);
  const verdicts: Examined[] = [];
  for (const ref of listed) {
    const step = ref.timelineId === timeline.id ? timeline.records.get(ref.recordId) : undefined;
    if (step) verdicts.push(await examine(place, build, ref, timeline, step, taskId));
  }
  const stale = listed.length - verdicts.length;
  const checks = [
    attached(verdicts.length, stale),
    ...verdicts.flatMap((verdict) => verdict.checks),
    steps(timeline, taskId),
  ];
  return { verdicts, stale, checks };
}

function attached(current: number, stale: number): Check {
  const earlier = stale ? `; ${stale} of earlier attempts do not count` : "";
  const several = current > 1 ? `; a gate needs verdicts: ${current}, or one merged verdict` : "";
  return { name: "verdicts", ok: current > 0, detail: `${current} of this attempt${earlier}${several}` };
}

/** No step of ours may have ended badly: then some artifact is not proved, whatever the verdicts say. */
function steps(timeline: Timeline, taskId: string): Check {
  const ours = [...timeline.records.values()].filter((record) => record.kind === "Task" && record.taskId === taskId);
  const ended = ours.filter((record) => record.state === "completed" && record.result !== "skipped");
  const bad = ended.filter((record) => record.result !== "succeeded").map(named);
  const detail = bad.join("; ") || `KspSign steps that succeeded: ${ended.length}`;
  return { name: "steps", ok: ended.length > 0 && !bad.length, detail };
}

function named(record: TimelineRecord): string {
  return `"${record.name}" has ${record.result ?? "no result"}`;
}
