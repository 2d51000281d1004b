/** Where the time of the run went: files in each phase at each moment, the limiters below on the same axis. */
import { useMemo } from "react";
import { PHASES, timelineOf } from "../report/phases";
import type { LimitFacts, Report } from "../report/types";
import { clipped } from "../text/visible";
import { duration } from "../text/words";
import { CHART_WIDTH, stackedAreas } from "./charts";
import { LimiterCurve } from "./LimiterCurve";

const HEIGHT = 120;

export function RunTimeline({ report }: { report: Report }) {
  const timeline = useMemo(() => timelineOf(report), [report]);
  if (!timeline) return null;
  const spent = [...timeline.seconds].map(([phase, seconds]) => `${phase} ${duration(seconds)}`).join(", ");
  // The queue is the whole run at first: drawn with the others, nothing else could be seen.
  const areas = stackedAreas(timeline.moments.map((counts) => counts.slice(1)), timeline.busiest, CHART_WIDTH, HEIGHT);
  return (
    <section className="timeline" aria-labelledby="timeline-title">
      <h2 id="timeline-title">Where the time went</h2>
      <svg
        viewBox={`0 0 ${CHART_WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`At most ${Math.ceil(timeline.busiest)} files at once over ${duration(timeline.to - timeline.from)}; all files together: ${spent}`}
      >
        {areas.map((points, index) => <polygon key={index} points={points} className={`phase-${index + 1}`} />)}
      </svg>
      <p className="axis"><span>{duration(timeline.from)} queued before the first file</span><span>{duration(timeline.to)}</span></p>
      <ul className="legend plain">
        {PHASES.slice(1).map((phase, index) => (
          <li key={phase}>
            <span className={`swatch phase-${index + 1}`} aria-hidden="true" />
            {phase} {duration(timeline.seconds.get(phase) ?? 0)}
          </li>
        ))}
      </ul>
      {limiters(report).map(([name, limit]) => (
        <LimiterCurve key={name} name={clipped(name, 120)} limit={limit} report={report} from={timeline.from} to={timeline.to} />
      ))}
    </section>
  );
}

function limiters(report: Report): [string, LimitFacts][] {
  const found: [string, LimitFacts][] = [];
  if (report.limits?.key_store) found.push(["key store", report.limits.key_store]);
  for (const server of report.limits?.timestamp ?? []) found.push([server.url, server.limit]);
  return found.filter(([, limit]) => (limit.curve?.length ?? 0) > 0);
}
