/** Requests to Azure DevOps with the token of the extension: bounded in time and size, and only below the collection. */
import { within } from "./deadline";
import { brokenOff, notJson, refused, ServiceError, signInAsked, tooLarge, unanswered } from "./faults";

export const SECONDS = 60;
const MOST_BYTES = 256 * 1024 * 1024;
/** Longer pauses are the user's to make. */
const LONGEST_PAUSE = 10;
const BUSY = new Set([429, 503]);
const NO_CONTENT = 204;

/** One project of one collection. */
export interface Place {
  /** With a slash at the end. */
  collection: string;
  project: string;
  token: () => Promise<string>;
}

/** One thing to read: how errors name it, and its address below the project's `_apis/`. */
export interface Call {
  what: string;
  path: string;
  version: string;
}

/** The JSON answer; null where there is no content. Raises ServiceError. */
export async function getJson(place: Place, call: Call): Promise<unknown> {
  const content = await answered(place, call, "application/json", (type) => type.includes("json"));
  if (content === null) return null;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch {
    throw notJson(call.what);
  }
}

/** The bytes, at most MOST_BYTES. Raises ServiceError. */
export async function getBytes(place: Place, call: Call): Promise<Uint8Array<ArrayBuffer>> {
  return (await answered(place, call, "application/octet-stream", (type) => !type.includes("html"))) ?? new Uint8Array();
}

async function answered(
  place: Place, call: Call, accepted: string, isAnswer: (type: string) => boolean, again = true,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const stop = new AbortController();
  const work = read(place, call, accepted, isAnswer, stop.signal);
  const late = () => unanswered(call.what, SECONDS);
  try {
    const found = await within(work, SECONDS, late);
    if (!(found instanceof Pause)) return found;
    const { status, seconds } = found;
    if (!again || (seconds ?? 0) > LONGEST_PAUSE) throw refused(call.what, status, seconds);
    await new Promise((done) => setTimeout(done, (seconds ?? 1) * 1000));
    return await answered(place, call, accepted, isAnswer, false);
  } finally {
    stop.abort();
  }
}

/** Azure DevOps wants to be asked later; `seconds` is null where it does not say when. */
class Pause {
  constructor(readonly status: number, readonly seconds: number | null) {}
}

async function read(
  place: Place, call: Call, accepted: string, isAnswer: (type: string) => boolean, signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | Pause | null> {
  const url = `${place.collection}${encodeURIComponent(place.project)}/_apis/${call.path}`;
  const headers = { Accept: `${accepted};api-version=${call.version}`, Authorization: `Bearer ${await tokenOf(place, call)}` };
  let response: Response;
  try {
    // A redirection leads to the sign-in page, and may lead anywhere else: nothing here follows one.
    response = await fetch(url, { headers, signal, redirect: "manual" });
  } catch {
    throw unanswered(call.what, null);
  }
  const { status } = response;
  if (response.type === "opaqueredirect") throw signInAsked(call.what);
  if (status === NO_CONTENT) return null;
  if (BUSY.has(status)) return new Pause(status, pauseOf(response));
  if (!response.ok) throw refused(call.what, status, null);
  // 203: what a proxy made of the answer, and what Azure DevOps answers to a token that it does not know.
  if (status !== 200 || !isAnswer(response.headers.get("Content-Type") ?? "")) throw signInAsked(call.what);
  return bounded(response, call);
}

async function tokenOf(place: Place, call: Call): Promise<string> {
  try {
    return await place.token();
  } catch {
    throw refused(call.what, 401, null);
  }
}

function pauseOf(response: Response): number | null {
  const stated = response.headers.get("Retry-After") ?? "";
  return /^\d{1,6}$/.test(stated) ? Number(stated) : null;
}

async function bounded(response: Response, call: Call): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  try {
    for (const reader = response.body?.getReader(); reader; ) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size > MOST_BYTES) throw tooLarge(call.what);
      chunks.push(value);
    }
  } catch (error) {
    throw error instanceof ServiceError ? error : brokenOff(call.what);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
