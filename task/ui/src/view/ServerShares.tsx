/** Which timestamp servers stamped the files. */
import { useMemo } from "react";
import { serverShares } from "../report/servers";
import type { Report } from "../report/types";
import { clipped } from "../text/visible";
import { count } from "../text/words";

export function ServerShares({ report }: { report: Report }) {
  const shares = useMemo(() => serverShares(report), [report]);
  if (!shares.length) return null;
  const total = Math.max(1, ...shares.map((share) => share.files));
  return (
    <figure className="shares">
      <figcaption>Timestamp servers</figcaption>
      <ul>
        {shares.map((share) => (
          <li key={share.url}>
            <bdi>{clipped(share.url, 200)}</bdi>
            <div className="meter" aria-hidden="true">
              <span style={{ width: `${(share.files / total) * 100}%` }} />
            </div>
            {count(share.files, "file")}
            {share.failures > 0 && <span className="failures">, failed {count(share.failures, "time")}</span>}
          </li>
        ))}
      </ul>
    </figure>
  );
}
