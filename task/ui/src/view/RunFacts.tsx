/** About the run: who signed, with what, where. */
import type { Report } from "../report/types";
import { date, moment } from "../text/words";
import { Facts } from "./Facts";
import { LeftOut } from "./LeftOut";

export function RunFacts({ report }: { report: Report }) {
  return (
    <section aria-labelledby="run-title">
      <h2 id="run-title">About this run</h2>
      <Facts rows={factsOf(report)} />
      <LeftOut report={report} />
    </section>
  );
}

function factsOf(report: Report): [string, string][] {
  const { certificate, build, policy } = report;
  const rows: [string, string][] = [];
  if (certificate) {
    rows.push(["Certificate", `${certificate.subject}, thumbprint ${certificate.thumbprint}`]);
    rows.push(["Issued by", certificate.issuer]);
    rows.push(["Valid", `${date(certificate.not_before)} to ${date(certificate.not_after)}`]);
  }
  if (report.key_store) rows.push(["Key store", [report.key_store, report.engine].filter(Boolean).join(", engine ")]);
  if (policy) rows.push(["Policy", `${policy.name}, SHA-256 ${policy.sha256}`]);
  if (build) {
    rows.push(["Build", `${build.definition} ${build.number}, job ${build.job}, attempt ${build.attempt}`]);
    rows.push(["Source", `${build.repository} ${build.source_version}`]);
  }
  rows.push(["Command", `kspsign ${report.command}, exit code ${report.exit_code}`]);
  rows.push(["Time", `${moment(report.started)} to ${moment(report.finished)}`]);
  rows.push(["Made by", `${report.tool.name} ${report.tool.version}`]);
  return rows;
}
