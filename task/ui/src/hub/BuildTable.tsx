/** The builds with their verdicts, newest first. */
import type { Host } from "../service/host";
import { grouped, moment } from "../text/words";
import { BuildLink } from "./BuildLink";
import type { BuildSummary } from "./summary";

export function BuildTable({ host, summaries }: { host: Host; summaries: readonly BuildSummary[] }) {
  if (!summaries.length) return null;
  return (
    <section aria-labelledby="builds-title">
      <h2 id="builds-title">Builds</h2>
      <table className="builds">
        <thead>
          <tr>
            <th scope="col">Build</th><th scope="col">Finished</th><th scope="col">Verdict</th><th scope="col">Files</th>
            <th scope="col">Failed</th><th scope="col">Signatures</th>
          </tr>
        </thead>
        <tbody>
          {summaries.map((summary) => (
            <tr key={summary.build.id}>
              <th scope="row"><BuildLink host={host} build={summary.build} /></th>
              <td>{moment(summary.build.finished)}</td>
              <td className={`state ${summary.state}`}>{wordOf(summary)}</td>
              <td>{numberOf(summary, summary.files)}</td>
              <td>{numberOf(summary, summary.failed)}</td>
              <td>{numberOf(summary, summary.spent)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function numberOf({ state }: BuildSummary, number: number): string {
  return state === "unknown" ? "?" : grouped(number);
}

function wordOf(summary: BuildSummary): string {
  const marks = {
    verified: "✔ verified", failed: "✖ failed", forged: "✖ not from our task", unknown: "? not known", none: "none",
  };
  return `${marks[summary.state]}${summary.test ? " (TEST SIGNING)" : ""}`;
}
