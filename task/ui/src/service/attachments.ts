/** What steps attached to a build: our reports and verdicts. Any step can attach anything. */
import { isObject } from "../report/shape";
import { otherShape } from "./faults";
import { getBytes, getJson, type Place } from "./rest";

export const VERDICT_TYPE = "kspsign.verdict";
export const REPORT_TYPE = "kspsign.report";
const VERSION = "7.1-preview.2";
const GUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
const UPLOADED_BY = new RegExp(`/(${GUID})/(${GUID})/attachments/[^/]+/[^/]+$`, "i");

/** An attachment, and the timeline record of the step that uploaded it. */
export interface AttachmentRef {
  kind: string;
  name: string;
  timelineId: string;
  recordId: string;
}

/** The attachments of that type, of all attempts. Raises ServiceError. */
export async function listAttachments(place: Place, build: number, kind: string): Promise<AttachmentRef[]> {
  const what = `the list of attachments ${kind} of run ${build}`;
  const value = await getJson(place, { what, path: `build/builds/${build}/attachments/${kind}`, version: VERSION });
  if (!isObject(value) || !Array.isArray(value.value)) throw otherShape(what, "it is not a list");
  return value.value.map((item: unknown) => refOf(kind, item, what));
}

/** The content of one attachment. Its address is made of its parts: the token goes nowhere that an answer names. */
export function readAttachment(place: Place, build: number, ref: AttachmentRef): Promise<Uint8Array<ArrayBuffer>> {
  const { timelineId, recordId, kind, name } = ref;
  const path = `build/builds/${build}/${timelineId}/${recordId}/attachments/${kind}/${encodeURIComponent(name)}`;
  return getBytes(place, { what: `the attachment ${name} (${kind}) of run ${build}`, path, version: VERSION });
}

function refOf(kind: string, item: unknown, what: string): AttachmentRef {
  if (!isObject(item) || typeof item.name !== "string") throw otherShape(what, "an attachment without a name");
  const links = isObject(item._links) ? item._links : {};
  const href = isObject(links.self) && typeof links.self.href === "string" ? links.self.href : "";
  const found = UPLOADED_BY.exec(href);
  if (!found) throw otherShape(what, `the address of ${item.name} names no timeline record`);
  return { kind, name: item.name, timelineId: (found[1] ?? "").toLowerCase(), recordId: (found[2] ?? "").toLowerCase() };
}
