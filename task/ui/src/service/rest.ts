/** Requests to Azure DevOps with the token of the extension: bounded in time and size, and only below the collection. */

const SECONDS = 60;
const MOST_BYTES = 256 * 1024 * 1024;
const LONGEST_PAUSE = 10;
const BUSY = new Set([429, 503]);

/** Why Azure DevOps did not answer, in words; `status` is 0 where there was no answer. */
export class ServiceError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** One project of one collection. */
export interface Place {
  /** With a slash at the end. */
  collection: string;
  project: string;
  token: () => Promise<string>;
}

/** The JSON answer at `path` below the project's `_apis/`. Raises ServiceError. */
export async function getJson(place: Place, path: string, version: string): Promise<unknown> {
  const response = await request(place, path, `application/json;api-version=${version}`);
  if (!(response.headers.get("Content-Type") ?? "").includes("json")) {
    throw new ServiceError(response.status, "Azure DevOps answered with a page: sign in again");
  }
  const content = await bounded(response);
  try {
    return JSON.parse(new TextDecoder().decode(content));
  } catch {
    throw new ServiceError(response.status, "Azure DevOps answered with something that is not JSON");
  }
}

/** The bytes at `path`, at most MOST_BYTES. Raises ServiceError. */
export async function getBytes(place: Place, path: string, version: string): Promise<Uint8Array<ArrayBuffer>> {
  return bounded(await request(place, path, `application/octet-stream;api-version=${version}`));
}

async function request(place: Place, path: string, accept: string, again = true): Promise<Response> {
  const url = `${place.collection}${encodeURIComponent(place.project)}/_apis/${path}`;
  const headers = { Accept: accept, Authorization: `Bearer ${await place.token()}` };
  let response: Response;
  try {
    response = await fetch(url, { headers, signal: AbortSignal.timeout(SECONDS * 1000) });
  } catch {
    throw new ServiceError(0, "Azure DevOps could not be reached");
  }
  if (response.ok) return response;
  if (BUSY.has(response.status) && again) {
    const pause = Number(response.headers.get("Retry-After") ?? 1);
    await new Promise((done) => setTimeout(done, Math.min(Math.max(pause || 1, 0), LONGEST_PAUSE) * 1000));
    return request(place, path, accept, false);
  }
  throw new ServiceError(response.status, reason(response.status));
}

function reason(status: number): string {
  if (status === 401 || status === 403) return "you may not read this build, or must sign in again";
  if (status === 404) return "Azure DevOps does not have it (any more)";
  return `Azure DevOps answered ${status}`;
}

async function bounded(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  try {
    for (const reader = response.body?.getReader(); reader; ) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size > MOST_BYTES) throw new ServiceError(response.status, "the answer is too large for this page");
      chunks.push(value);
    }
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    throw new ServiceError(0, "the connection to Azure DevOps broke");
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
