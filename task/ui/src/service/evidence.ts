/**
 * Examines one verdict of a build by the rules of the gate, python/kspsign/gate/evidence.py; tests hold both to the
 * same cases. The gate stops at a step that failed; people want to see why it did, so that its report is read too.
 */
import { NotAReportError, toReport } from "../report/read";
import type { Check, Report } from "../report/types";
import { type AttachmentRef, listAttachments, readAttachment, REPORT_TYPE } from "./attachments";
import { countIn, objectIn, sha256 } from "./json";
import type { Place } from "./rest";
import { jobOf, type Timeline, type TimelineRecord } from "./timeline";

const VERDICT_SCHEMA = "kspsign.verdict/1";
const COMPLETED = "completed";
const SUCCEEDED = "succeeded";
const SIGN_AGAIN = "Do not release what this run signed; run the signing step again.";

export interface Examined {
  step: TimelineRecord;
  job: TimelineRecord | null;
  checks: Check[];
  /** Whether our own task uploaded it. What another step attached is not read. */
  ours: boolean;
  /** The report that the verdict's digest vouches for; null where `missing` says why there is none. */
  report: Report | null;
  missing: Missing | null;
}

/** Why there is no report, and what to do. */
export interface Missing {
  reason: string;
  remedy: string;
}

/** Every check of one verdict of the current attempt. Raises ServiceError. */
export async function examine(
  place: Place, build: number, ref: AttachmentRef, timeline: Timeline, step: TimelineRecord, taskId: string,
): Promise<Examined> {
  const origin = originOf(step, taskId);
  const ended = stepOf(step);
  const job = jobOf(timeline, step);
  if (!origin.ok) {
    return { step, job, checks: [origin, ended], ours: false, report: null, missing: null };
  }
  const verdict = objectIn(await readAttachment(place, build, ref));
  const identity = identityOf(verdict, build, job);
  const found = await reportOf(place, build, ref, verdict);
  const report = identity.ok ? found.report : null;
  const missing = identity.ok ? found.missing : { reason: identity.detail, remedy: SIGN_AGAIN };
  if (!ended.ok) return { step, job, checks: [origin, ended], ours: true, report, missing };
  const checks = [origin, ended, identity, resultOf(verdict), keysOf(verdict), proofOf(found)];
  return { step, job, checks, ours: true, report, missing };
}

function check(name: string, ok: boolean, detail: string): Check {
  return { name, ok, detail };
}

function originOf(step: TimelineRecord, taskId: string): Check {
  const ours = step.kind === "Task" && step.taskId === taskId;
  const by = `the step "${step.name}"`;
  return check("origin", ours, ours ? `uploaded by ${by}` : `${by} is not the KspSign task`);
}

function stepOf(step: TimelineRecord): Check {
  const ended = step.state === COMPLETED ? step.result : step.state;
  return check("step", ended === SUCCEEDED, `the step "${step.name}" has ${ended ?? "no result"}`);
}

/** The verdict must be about this build, this job and this attempt: it may have been taken from another. */
function identityOf(verdict: Record<string, unknown>, build: number, job: TimelineRecord | null): Check {
  const faults: string[] = [];
  if (!Object.keys(verdict).length) return check("identity", false, "the verdict is not a JSON object: it is damaged or cut off");
  if (verdict.schema !== VERDICT_SCHEMA) faults.push(`its schema is ${JSON.stringify(verdict.schema)}`);
  if (verdict.buildId !== String(build)) faults.push(`it is about build ${JSON.stringify(verdict.buildId)}`);
  if (!job) faults.push("its step belongs to no job");
  else if (String(verdict.jobId).toLowerCase() !== job.id || countIn(verdict, "attempt") !== job.attempt) {
    faults.push(`it is about attempt ${JSON.stringify(verdict.attempt)} of job ${JSON.stringify(verdict.jobId)}`);
  }
  return check("identity", !faults.length, faults.join("; ") || "this build, job and attempt");
}

function resultOf(verdict: Record<string, unknown>): Check {
  const [total, verified, failed] = ["total", "verified", "failed"].map((key) => countIn(verdict, key));
  const good = verdict.result === "verified" && verified === total && Number(total) > 0 && failed === 0;
  return check("result", good, `${String(verdict.result)}: ${verified} of ${total} verified, ${failed} not`);
}

function keysOf(verdict: Record<string, unknown>): Check {
  const marked = verdict.testSigning;
  const said = marked === true ? "TEST SIGNING" : "release keys";
  return check("keys", marked === false, typeof marked === "boolean" ? said : "the verdict does not state it");
}

interface Found {
  report: Report | null;
  missing: Missing | null;
}

/** The report that has the verdict's digest. The same step must have uploaded it. */
async function reportOf(
  place: Place, build: number, ref: AttachmentRef, verdict: Record<string, unknown>,
): Promise<Found> {
  const listed = await listAttachments(place, build, REPORT_TYPE);
  const own = listed.filter((other) => other.timelineId === ref.timelineId && other.recordId === ref.recordId);
  if (!own.length) return none("the step did not attach a report", SIGN_AGAIN);
  for (const item of own) {
    const content = await readAttachment(place, build, item);
    const digest = await sha256(content);
    if (digest === null) return none("its SHA-256 can't be computed", "Open Azure DevOps over HTTPS: browsers compute it there alone.");
    if (digest === verdict.reportSha256) return readable(content);
  }
  return none("its SHA-256 is not the one in the verdict: it was changed or cut off", SIGN_AGAIN);
}

function readable(content: Uint8Array): Found {
  try {
    return { report: toReport(JSON.parse(new TextDecoder().decode(content))), missing: null };
  } catch (error) {
    const remedy = "A report of another version of kspsign is shown by the page of that version (--html).";
    return none(error instanceof NotAReportError ? error.message : "it is not JSON", remedy);
  }
}

function none(reason: string, remedy: string): Found {
  return { report: null, missing: { reason, remedy } };
}

function proofOf({ report, missing }: Found): Check {
  const proved = report?.files.filter(isProved).length ?? 0;
  let fault = missing?.reason ?? "";
  if (report && !report.passed) fault = "it states that the run did not pass";
  else if (report && !proved) fault = "it covers no verified file";
  return check("report", !fault, fault || `${proved} proved files, as the verdict's digest says`);
}

function isProved(file: Report["files"][number]): boolean {
  return file.verdict.result === "verified" && file.error === null && typeof file.sha256_after === "string";
}
