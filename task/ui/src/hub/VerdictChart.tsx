/** A column for each build, oldest first: as high as it has files, in the colour of its verdict. */
import { CHART_WIDTH } from "../view/charts";
import { count } from "../text/words";
import type { BuildSummary } from "./summary";

const HEIGHT = 80;
const GAP = 2;
const LEAST = 4;
const WIDEST = 24;

export function VerdictChart({ summaries }: { summaries: readonly BuildSummary[] }) {
  if (!summaries.length) return null;
  const oldest = summaries.toReversed();
  const step = Math.min(CHART_WIDTH / oldest.length, WIDEST);
  const most = Math.max(1, ...oldest.map((summary) => summary.files));
  const verified = oldest.filter((summary) => summary.state === "verified").length;
  const unknown = oldest.filter((summary) => summary.state === "unknown").length;
  const said = `${count(verified, "build")} of ${oldest.length} verified${unknown ? `, ${unknown} not known` : ""}`;
  return (
    <figure className="chart">
      <figcaption>{said}</figcaption>
      <svg viewBox={`0 0 ${CHART_WIDTH} ${HEIGHT}`} role="img" aria-label={said} preserveAspectRatio="none">
        {oldest.map((summary, index) => {
          const height = LEAST + (summary.files / most) * (HEIGHT - LEAST);
          return (
            <rect
              key={summary.build.id}
              className={`column ${summary.state}`}
              x={index * step}
              y={HEIGHT - height}
              width={Math.max(step - GAP, 1)}
              height={height}
            />
          );
        })}
      </svg>
    </figure>
  );
}
