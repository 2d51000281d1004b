/** What a pattern matched and the run left out on purpose. */
import type { Report } from "../report/types";
import { clipped } from "../text/visible";
import { count, grouped } from "../text/words";

const NAMED = 100;

export function LeftOut({ report }: { report: Report }) {
  const { total, files } = report.left_out;
  if (!total) return null;
  return (
    <details>
      <summary>{count(total, "path")} left out on purpose</summary>
      <ul className="named">
        {files.slice(0, NAMED).map((file, index) => (
          <li key={index}><bdi>{clipped(file.path)}</bdi>: <bdi>{clipped(file.reason)}</bdi></li>
        ))}
        {total > NAMED && <li>and {grouped(total - NAMED)} more, in the report</li>}
      </ul>
    </details>
  );
}
