/** Builds that signed: found by our tag and property with two bounded requests, and their pipelines' other builds. */
import { isObject } from "../report/shape";
import { otherShape } from "../service/faults";
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
    listed(place, `the list of builds with the tag ${VERIFIED_TAG}`, `${query}&tagFilters=${VERIFIED_TAG}`),
    listed(place, "the list of the latest builds", `${query}&properties=${DIGEST_PROPERTY}`),
  ]);
  const marked = [...tagged, ...latest.filter(({ item }) => hasProperty(item))].map(({ row }) => row);
  const pipelines = new Set(marked.map((build) => build.pipelineId));
  const others = latest.map(({ row }) => row).filter((build) => pipelines.has(build.pipelineId));
  const byId = new Map([...marked, ...others].map((build) => [build.id, build]));
  return [...byId.values()].sort((one, other) => other.finished.localeCompare(one.finished));
}

interface Listed {
  item: Record<string, unknown>;
  row: BuildRow;
}

async function listed(place: Place, what: string, query: string): Promise<Listed[]> {
  const value = await getJson(place, { what, path: `build/builds?${query}`, version: VERSION });
  if (!isObject(value) || !Array.isArray(value.value)) throw otherShape(what, "it is not a list");
  return value.value.map((item: unknown) => {
    if (!isObject(item)) throw otherShape(what, "a build that is not an object");
    return { item, row: rowOf(item, what) };
  });
}

function hasProperty(item: Record<string, unknown>): boolean {
  return isObject(item.properties) && DIGEST_PROPERTY in item.properties;
}

function rowOf(item: Record<string, unknown>, what: string): BuildRow {
  const definition = isObject(item.definition) ? item.definition : {};
  return {
    id: numberOf(item.id, what, "a build without a number"),
    number: text(item.buildNumber),
    pipeline: text(definition.name),
    pipelineId: numberOf(definition.id, what, "a build without a pipeline"),
    finished: text(item.finishTime),
    result: text(item.result),
  };
}

function numberOf(value: unknown, what: string, fault: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw otherShape(what, fault);
  return value;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
