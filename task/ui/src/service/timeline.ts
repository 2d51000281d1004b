/** The records of a build's current attempt: what ran, and how it ended. The server writes them, no step can. */
import { isObject } from "../report/shape";
import { otherShape } from "./faults";
import { getJson, type Place } from "./rest";

export interface TimelineRecord {
  id: string;
  parentId: string | null;
  kind: string;
  name: string;
  state: string;
  result: string | null;
  taskId: string | null;
  attempt: number;
}

export interface Timeline {
  id: string;
  records: Map<string, TimelineRecord>;
}

/** The timeline of a build. Raises ServiceError. */
export async function readTimeline(place: Place, build: number): Promise<Timeline> {
  const what = `the timeline of run ${build}`;
  const value = await getJson(place, { what, path: `build/builds/${build}/timeline`, version: "7.1-preview.2" });
  if (value === null) return { id: "", records: new Map() }; // nothing of the run has begun yet
  if (!isObject(value) || typeof value.id !== "string") throw otherShape(what, "it has no id");
  if (!Array.isArray(value.records)) throw otherShape(what, "it has no records");
  const records = value.records.map((record: unknown) => recordOf(record, what));
  return { id: value.id.toLowerCase(), records: new Map(records.map((record) => [record.id, record])) };
}

/** The job that the record belongs to. */
export function jobOf(timeline: Timeline, record: TimelineRecord): TimelineRecord | null {
  const seen = new Set<string>();
  let current: TimelineRecord | undefined = record;
  while (current && current.kind !== "Job" && !seen.has(current.id)) {
    seen.add(current.id);
    current = timeline.records.get(current.parentId ?? "");
  }
  return current?.kind === "Job" ? current : null;
}

function recordOf(value: unknown, what: string): TimelineRecord {
  if (!isObject(value) || typeof value.id !== "string") throw otherShape(what, "a record without an id");
  return {
    id: value.id.toLowerCase(),
    parentId: lower(value.parentId),
    kind: text(value.type),
    name: text(value.name),
    state: text(value.state),
    result: typeof value.result === "string" ? value.result : null,
    taskId: isObject(value.task) ? lower(value.task.id) : null,
    attempt: typeof value.attempt === "number" && value.attempt > 0 ? value.attempt : 1,
  };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function lower(value: unknown): string | null {
  return typeof value === "string" ? value.toLowerCase() : null;
}
