/** The verdict on the run, and what stopped it if anything did. */
import { codeText } from "../report/outcome";
import type { Report } from "../report/types";
import { verdictOf } from "../report/verdict";
import { clipped } from "../text/visible";

const MARKS = { passed: "✔", failed: "✖", cancelled: "■", "dry run": "○" } as const;

export function VerdictLine({ report }: { report: Report }) {
  const { state, counts } = verdictOf(report);
  return (
    <header className={`verdict ${state.replace(" ", "-")}`}>
      <h1>
        <span aria-hidden="true">{MARKS[state]}</span> Signatures {state}
      </h1>
      <p className="counts">{counts}</p>
      {report.test_signing && <p className="test-signing">TEST SIGNING: throw-away keys, not for release</p>}
      {report.error && (
        <p className="stopped" role="alert">
          <strong>{clipped(codeText(report.error))}</strong> <bdi>{clipped(report.error.message, 2000)}</bdi>
          <br />
          <strong>Remedy:</strong> <bdi>{clipped(report.error.remedy, 2000)}</bdi>
        </p>
      )}
    </header>
  );
}
