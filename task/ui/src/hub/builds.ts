/** Builds that signed: found by our tag and property with two bounded requests, and their pipelines' other builds. */
import { isObject } from "../report/read";
import { getJson, type Place } from "../service/rest";

export const VERIFIED_TAG = "kspsign-verified";
export const DIGEST_PROPERTY = "kspsign.reportSha256";
/** Builds that one list holds. */
export const LISTED = 200;
const VERSION = "7.1";

export interface BuildRow {
  id: number;
  number: string;
  pipeline: string;
  pipelineId: number;
  /** ISO 8601. */
  finished: string;
  result: string;
}

/** The builds that may have signed, newest first: those with the tag or the property, and others of their pipelines,
 * whose signing may have failed before it could leave either. Raises ServiceError. */
export async function listBuilds(place: Place): Promise<BuildRow[]> {
  const query = `statusFilter=completed&queryOrder=finishTimeDescending&$top=${LISTED}`;
  const [tagged, latest] = await Promise.all([
    getJson(place, `build/builds?${query}&tagFilters=${VERIFIED_TAG}`, VERSION),
    getJson(place, `build/builds?${query}&properties=${DIGEST_PROPERTY}`, VERSION),
  ]);
  const marked = [...itemsOf(tagged), ...itemsOf(latest).filter(hasProperty)].map(rowOf);
  const pipelines = new Set(marked.map((build) => build.pipelineId));
  const others = itemsOf(latest).map(rowOf).filter((build) => pipelines.has(build.pipelineId));
  const byId = new Map([...marked, ...others].map((build) => [build.id, build]));
  return [...byId.values()].sort((one, other) => other.finished.localeCompare(one.finished));
}

function itemsOf(value: unknown): Record<string, unknown>[] {
  return isObject(value) && Array.isArray(value.value) ? value.value.filter(isObject) : [];
}

function hasProperty(item: Record<string, unknown>): boolean {
  return isObject(item.properties) && DIGEST_PROPERTY in item.properties;
}

function rowOf(item: Record<string, unknown>): BuildRow {
  const definition = isObject(item.definition) ? item.definition : {};
  return {
    id: Number(item.id),
    number: text(item.buildNumber),
    pipeline: text(definition.name),
    pipelineId: Number(definition.id),
    finished: text(item.finishTime),
    result: text(item.result),
  };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
