/** Which timestamp servers stamped the files, and how often each failed. */
import type { Report } from "./types";

export interface ServerShare {
  url: string;
  files: number;
  failures: number;
}

/** The servers, that of most files first. */
export function serverShares(report: Report): ServerShare[] {
  const shares = new Map<string, ServerShare>();
  for (const server of report.limits?.timestamp ?? []) {
    shares.set(server.url, { url: server.url, files: 0, failures: server.failures });
  }
  for (const { timestamp_server: url } of report.files) {
    if (!url) continue;
    const share = shares.get(url) ?? { url, files: 0, failures: 0 };
    share.files += 1;
    shares.set(url, share);
  }
  return [...shares.values()].sort((one, other) => other.files - one.files);
}
