/** Signatures of the key store: what the run spent of what it might. */
import type { Report } from "../report/types";
import { count, grouped } from "../text/words";

export function SignatureBudget({ report }: { report: Report }) {
  const { signatures_used: used, signatures_needed: needed } = report.totals;
  const budget = report.max_signatures;
  if (!report.key_store && !used && !needed) return null;
  return (
    <figure className="budget">
      <figcaption>Signatures spent</figcaption>
      <p className="number">
        {budget === null ? grouped(used) : `${grouped(used)} of ${grouped(budget)}`}
      </p>
      {budget !== null && (
        <div className="meter" aria-hidden="true">
          <span className={used >= budget ? "full" : ""} style={{ width: `${share(used, budget)}%` }} />
        </div>
      )}
      <p>
        {budget === null ? "The run had no limit (max signatures)." : `${count(Math.max(budget - used, 0), "signature")} left.`}
        {needed > 0 && ` A run would ask for ${count(needed, "signature")}.`}
      </p>
    </figure>
  );
}

function share(used: number, budget: number): number {
  return budget > 0 ? Math.min(100, (used / budget) * 100) : 100;
}
