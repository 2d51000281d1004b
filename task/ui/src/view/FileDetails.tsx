/** One file: why it failed, its signatures with their chain, its digest, each check with what was seen. */
import { codeText, failureOf, isFailure, outcomeOf } from "../report/outcome";
import type { Report, ReportFile } from "../report/types";
import { clipped } from "../text/visible";
import { count, duration, grouped, size } from "../text/words";
import { Checks } from "./Checks";
import { CopyButton } from "./CopyButton";
import { Facts } from "./Facts";
import { SignatureCard } from "./SignatureCard";

const LONGEST_NAME = 4000;

export function FileDetails({ report, file, now, onClose }: {
  report: Report;
  file: ReportFile | null;
  now: number;
  onClose: () => void;
}) {
  if (!file) return <p className="details empty">Choose a file to see its signatures and checks.</p>;
  const error = isFailure(file) ? failureOf(file) : null;
  return (
    <section className="details" aria-label="Chosen file" aria-live="polite">
      <div className="heading">
        <h3><bdi>{clipped(file.path, LONGEST_NAME)}</bdi></h3>
        <button type="button" onClick={onClose}>Close</button>
      </div>
      {error && (
        <div className="cause">
          <p><strong>{clipped(codeText(error), 200)}</strong> <bdi>{clipped(error.message, 4000)}</bdi></p>
          <p className="remedy"><strong>Remedy:</strong> <bdi>{clipped(error.remedy, 4000)}</bdi></p>
        </div>
      )}
      <Facts rows={factsOf(file)} />
      {file.sha256_after && <p className="actions"><CopyButton text={() => file.sha256_after ?? ""} label="Copy SHA-256" /></p>}
      {file.signatures.map((signature, index) => (
        <SignatureCard key={index} report={report} signature={signature} number={index + 1} now={now} />
      ))}
      <Checks verdict={file.verdict} />
    </section>
  );
}

function insideText({ files, not_matched: others, not_signable: data, not_opened: closed }: NonNullable<ReportFile["inside"]>) {
  const counted = `${count(files, "file")} of the report, ${grouped(others)} matched by no pattern, ${grouped(data)} that carry no signatures`;
  return closed ? `${counted}; not opened: ${closed}` : counted;
}

function factsOf(file: ReportFile): [string, string][] {
  const rows: [string, string][] = [
    ["Outcome", outcomeOf(file)],
    ["Format", file.format ?? "unknown"],
    ["Size", size(file.size)],
  ];
  if (file.sha256_after) rows.push(["SHA-256", file.sha256_after]);
  if (file.sha256_before && file.sha256_before !== file.sha256_after) rows.push(["SHA-256 before", file.sha256_before]);
  if (file.timestamp_server) rows.push(["Timestamp server", file.timestamp_server]);
  if (file.request_ids.length) rows.push(["Request in the service's log", file.request_ids.join(", ")]);
  if (file.inside) rows.push(["Inside", insideText(file.inside)]);
  const steps = Object.entries(file.seconds).filter(([, seconds]) => typeof seconds === "number");
  if (steps.length) rows.push(["Time", steps.map(([step, seconds]) => `${step} ${duration(seconds ?? 0)}`).join(", ")]);
  return rows;
}
