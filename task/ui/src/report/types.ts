/** The report, schema kspsign.report/1: the keys are those of the JSON; docs/reference/report.md describes them. */

export const REPORT_SCHEMA = "kspsign.report/1";

export interface Check {
  name: string;
  ok: boolean;
  detail: string;
}

export interface ErrorFacts {
  code: string;
  hresult: string | null;
  message: string;
  remedy: string;
}

export interface RootFacts {
  thumbprint: string;
  subject: string;
}

export interface TimestampFacts {
  time: string;
  authority: string;
  digest: string;
  root: RootFacts | null;
  thumbprint?: string;
}

export interface SignatureFacts {
  thumbprint: string;
  subject: string;
  digest: string;
  timestamp: TimestampFacts | null;
  key: string;
  root: RootFacts | null;
}

export interface ReportFile {
  path: string;
  format: string | null;
  size: number;
  sha256_before: string | null;
  sha256_after: string | null;
  outcome: string;
  signatures: SignatureFacts[];
  verdict: { result: string; checks: Check[] };
  error: ErrorFacts | null;
  seconds: Partial<Record<string, number>>;
  timestamp_server: string | null;
  request_ids: string[];
  began?: number | null;
  /** What a container holds, where its inside was asked for. */
  inside?: { files: number; not_matched: number; not_signable: number; not_opened: string } | null;
}

export interface CertificateFacts {
  thumbprint: string;
  subject: string;
  issuer: string;
  not_before: string;
  not_after: string;
}

/** A certificate of a chain; `issuer` is the thumbprint of the next one. */
export interface ChainCertificate {
  thumbprint: string;
  subject: string;
  issuer: string | null;
  not_before: string;
  not_after: string;
}

export interface LimitFacts {
  ceiling: number;
  in_flight: number;
  peak: number;
  answers: number;
  throttled: number;
  per_second: number;
  began?: string | null;
  curve?: { at: number; limit: number; throttled: number }[];
}

export interface Totals {
  matched: number;
  signed: number;
  skipped: number;
  failed: number;
  verified: number;
  unverified: number;
  signatures_used: number;
  signatures_needed: number;
  left: number;
}

export interface RunWarning {
  code: string;
  message: string;
  remedy: string;
}

export interface Report {
  schema: string;
  tool: { name: string; version: string };
  started: string;
  finished: string;
  build: { id: string; number: string; definition: string; repository: string; source_version: string; job: string; attempt: number } | null;
  command: string;
  engine: string | null;
  key_store: string | null;
  test_signing: boolean;
  passed: boolean;
  exit_code: number;
  certificate: CertificateFacts | null;
  totals: Totals;
  files: ReportFile[];
  error: ErrorFacts | null;
  policy: { name: string; sha256: string } | null;
  limits: { key_store: LimitFacts | null; timestamp: { url: string; tokens: number; failures: number; limit: LimitFacts }[] } | null;
  dry_run: boolean;
  left_out: { total: number; files: { path: string; reason: string }[] };
  warnings: RunWarning[];
  max_signatures: number | null;
  certificates: ChainCertificate[];
}
