/** What kspsign gate checks before a release goes on, for this run. */
import type { Decision } from "../service/decision";
import { clipped } from "../text/visible";

export function GateChecks({ decision }: { decision: Decision }) {
  const refused = decision.checks.filter((check) => !check.ok).length;
  return (
    <section aria-labelledby="gate-title">
      <h2 id="gate-title">Release gate</h2>
      <p>{refused ? "A gate would refuse this run." : "A gate would let this run go on."} It asks again, and its own settings count.</p>
      <table className="gate">
        <thead>
          <tr><th scope="col">Check</th><th scope="col">Result</th><th scope="col">Found</th></tr>
        </thead>
        <tbody>
          {decision.checks.map((check, index) => (
            <tr key={index} className={check.ok ? "passed" : "failed"} data-check={check.name} data-ok={check.ok}>
              <th scope="row">{check.name}</th>
              <td>{check.ok ? "passed" : "REFUSED"}</td>
              <td><bdi>{clipped(check.detail, 500)}</bdi></td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
