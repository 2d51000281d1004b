/** Each check of strict verification with what was seen, failed ones first. */
import type { ReportFile } from "../report/types";
import { clipped } from "../text/visible";

export function Checks({ verdict }: { verdict: ReportFile["verdict"] }) {
  const { result, checks } = verdict;
  if (!checks.length) {
    return <p>{result === "verified" ? "All checks passed; the report does not list them for this file." : "Not verified."}</p>;
  }
  const sorted = checks.toSorted((one, other) => Number(one.ok) - Number(other.ok));
  return (
    <table className="checks">
      <caption>Checks: {result === "verified" ? "verified" : "not trusted"}</caption>
      <thead>
        <tr><th scope="col">Check</th><th scope="col">Result</th><th scope="col">Seen</th></tr>
      </thead>
      <tbody>
        {sorted.map((check, index) => (
          <tr key={index} className={check.ok ? "passed" : "failed"}>
            <th scope="row">{clipped(check.name, 100)}</th>
            <td>{check.ok ? "passed" : "FAILED"}</td>
            <td><bdi>{clipped(check.detail, 1000)}</bdi></td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
