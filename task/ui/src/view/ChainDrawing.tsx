/** A chain, publisher first: how long each certificate is valid, with today's line and the timestamp's. */
import { useMemo } from "react";
import { type ChainLink, drawnChain } from "../report/chain";
import type { Report, SignatureFacts } from "../report/types";
import { clipped } from "../text/visible";
import { count, date, daysLeft, moment, shortName } from "../text/words";

const PERCENT = 100;

export function ChainDrawing({ report, signature, now, title }: {
  report: Report;
  signature: SignatureFacts;
  now: number;
  title: string;
}) {
  const drawn = useMemo(() => drawnChain(report, signature, now), [report, signature, now]);
  if (!drawn) return null;
  return (
    <figure className="chain">
      <figcaption>{title}</figcaption>
      <ol>
        {drawn.links.map((link) => (
          <li key={link.certificate.thumbprint}>
            <span className="role">{link.role}</span> <bdi>{clipped(shortName(link.certificate.subject), 120)}</bdi>
            <div className="validity" aria-hidden="true">
              <span className={isOver(link, now) ? "bar over" : "bar"} style={placeOf(link)} />
              <span className="today" style={{ left: `${drawn.today * PERCENT}%` }} />
              {drawn.stamped !== null && <span className="stamp" style={{ left: `${drawn.stamped * PERCENT}%` }} />}
            </div>
            <span className="until">{validity(link, now)}</span>
          </li>
        ))}
      </ol>
      <p className="key">
        <span className="today" aria-hidden="true" /> today, {date(new Date(now).toISOString())}
        {signature.timestamp && (
          <> <span className="stamp" aria-hidden="true" /> timestamp, {moment(signature.timestamp.time)}</>
        )}
      </p>
    </figure>
  );
}

function placeOf(link: ChainLink) {
  return { left: `${link.from * PERCENT}%`, width: `${Math.max(link.to - link.from, 0) * PERCENT}%` };
}

function isOver(link: ChainLink, now: number): boolean {
  return Date.parse(link.certificate.not_after) < now;
}

function validity(link: ChainLink, now: number): string {
  const { not_before: from, not_after: to } = link.certificate;
  const left = daysLeft(Date.parse(to), now);
  return `${date(from)} to ${date(to)}, ${left < 0 ? "expired" : `${count(left, "day")} left`}`;
}
