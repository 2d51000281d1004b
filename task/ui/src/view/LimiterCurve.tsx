/** How many requests at once a limiter let through over time, and when the service complained. */
import { complaintsOf, offsetOf } from "../report/phases";
import type { LimitFacts, Report } from "../report/types";
import { count } from "../text/words";
import { CHART_WIDTH } from "./charts";

const HEIGHT = 48;
const PADDING = 4;

export function LimiterCurve({ name, limit, report, from, to }: {
  name: string;
  limit: LimitFacts;
  report: Report;
  from: number;
  to: number;
}) {
  const offset = offsetOf(report, limit);
  const span = Math.max(to - from, 0.001);
  const across = (seconds: number) => Math.min(1, Math.max(0, (seconds - from) / span)) * CHART_WIDTH;
  const curve = limit.curve ?? [];
  const most = Math.max(1, ...curve.map((point) => point.limit));
  const up = (value: number) => HEIGHT - (value / most) * (HEIGHT - PADDING);
  let path = "";
  curve.forEach((point, index) => {
    const x = across(offset + point.at).toFixed(1);
    path += index === 0 ? `M${x},${up(point.limit).toFixed(1)}` : `H${x}V${up(point.limit).toFixed(1)}`;
  });
  const said = `${name}: at most ${count(most, "request")} at once, ${count(limit.throttled, "complaint")}`;
  return (
    <figure className="limiter">
      <figcaption>{said}</figcaption>
      <svg viewBox={`0 0 ${CHART_WIDTH} ${HEIGHT}`} role="img" aria-label={said} preserveAspectRatio="none">
        <path d={`${path}H${CHART_WIDTH}`} className="curve" />
        {complaintsOf(report, limit).map((at, index) => (
          <line key={index} x1={across(at)} x2={across(at)} y1={0} y2={HEIGHT} className="complaint" />
        ))}
      </svg>
    </figure>
  );
}
