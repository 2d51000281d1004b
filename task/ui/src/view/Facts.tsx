/** Names and values, one pair a line; values come from outside. */
import { clipped } from "../text/visible";

export function Facts({ rows }: { rows: readonly (readonly [string, string])[] }) {
  return (
    <dl className="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd><bdi>{clipped(value, 1000)}</bdi></dd>
        </div>
      ))}
    </dl>
  );
}
