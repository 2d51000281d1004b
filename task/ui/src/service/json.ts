/** Reads what a step attached, defensively. */
import { isObject } from "../report/shape";

/** The JSON object, an empty one for anything else: each check of it then fails by its own name. A number that is not
 * written as a whole one counts as none, as in python/kspsign/gate/evidence.py. */
export function objectIn(content: Uint8Array): Record<string, unknown> {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(content);
    const value: unknown = JSON.parse(text, wholeNumbers);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** A count, -1 for what is none. */
export function countIn(value: Record<string, unknown>, key: string): number {
  const found = value[key];
  return typeof found === "number" && Number.isSafeInteger(found) ? found : -1;
}

/** SHA-256 of the content in hex. Browsers compute it for pages over HTTPS alone: null elsewhere. */
export async function sha256(content: Uint8Array<ArrayBuffer>): Promise<string | null> {
  if (!window.isSecureContext) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function wholeNumbers(_key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === "number" && /[.eE]/.test(context?.source ?? "") ? null : value;
}
