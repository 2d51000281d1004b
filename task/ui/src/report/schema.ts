/** The shape of a report, schema kspsign.report/1: what is drawn, searched and counted of it has these types. */
import { flag, listOf, mapOf, maybe, number, objectOf, text } from "./shape";

const ROOT = maybe(objectOf({ thumbprint: text, subject: text }));
const TIMESTAMP = maybe(objectOf({ time: text, authority: text, digest: text, root: ROOT, thumbprint: maybe(text) }));
const ERROR = maybe(objectOf({ code: text, hresult: maybe(text), message: text, remedy: text }));

export const SIGNATURES = listOf(
  objectOf({ thumbprint: text, subject: text, digest: text, key: maybe(text), timestamp: TIMESTAMP, root: ROOT }),
);

const CHECKS = listOf(objectOf({ name: text, ok: flag, detail: text }));
const INSIDE = objectOf({ files: number, not_matched: number, not_signable: number, not_opened: text });
const FILE = objectOf({
  path: text,
  format: maybe(text),
  size: maybe(number),
  sha256_before: maybe(text),
  sha256_after: maybe(text),
  outcome: text,
  signatures: maybe(SIGNATURES),
  verdict: objectOf({ result: text, checks: maybe(CHECKS) }),
  error: ERROR,
  seconds: maybe(mapOf(number)),
  timestamp_server: maybe(text),
  request_ids: maybe(listOf(text)),
  began: maybe(number),
  inside: maybe(INSIDE),
});

const COUNTS = [
  "matched", "signed", "skipped", "failed", "verified", "unverified", "signatures_used", "signatures_needed", "left",
];
const TOTALS = objectOf(Object.fromEntries(COUNTS.map((name) => [name, maybe(number)])));

const VALIDITY = { thumbprint: text, subject: text, not_before: text, not_after: text };
const LIMIT = objectOf({
  ceiling: number, in_flight: number, peak: number, answers: number, throttled: number, per_second: number,
  began: maybe(text),
  curve: maybe(listOf(objectOf({ at: number, limit: number, throttled: number }))),
});
const SERVER = objectOf({ url: text, tokens: number, failures: number, limit: LIMIT });
const BUILD = objectOf({
  id: text, number: text, definition: text, repository: text, source_version: text, job: text, attempt: number,
});

export const REPORT = objectOf({
  tool: maybe(objectOf({ name: text, version: text })),
  started: maybe(text),
  finished: maybe(text),
  build: maybe(BUILD),
  command: maybe(text),
  engine: maybe(text),
  key_store: maybe(text),
  test_signing: maybe(flag),
  passed: flag,
  exit_code: maybe(number),
  certificate: maybe(objectOf({ ...VALIDITY, issuer: text })),
  totals: maybe(TOTALS),
  files: listOf(FILE),
  error: ERROR,
  policy: maybe(objectOf({ name: text, sha256: text })),
  limits: maybe(objectOf({ key_store: maybe(LIMIT), timestamp: listOf(SERVER) })),
  dry_run: maybe(flag),
  left_out: maybe(objectOf({ total: number, files: listOf(objectOf({ path: text, reason: text })) })),
  warnings: maybe(listOf(objectOf({ code: text, message: text, remedy: text }))),
  max_signatures: maybe(number),
  certificates: maybe(listOf(objectOf({ ...VALIDITY, issuer: maybe(text) }))),
});
