/** One table of a comparison; a long one is shown in part, and says so. */
import { useId, useState } from "react";
import { clipped } from "../text/visible";
import { grouped } from "../text/words";
import type { Section } from "./read";

const PART = 200;

export function SectionTable({ section, alarm, all }: { section: Section; alarm: boolean; all: boolean }) {
  const [limit, setLimit] = useState(PART);
  const title = useId();
  const rows = all ? section.rows : section.rows.slice(0, limit);
  const hidden = section.rows.length - rows.length;
  return (
    <section aria-labelledby={title} className="compared">
      <h2 id={title} className={alarm ? "failures" : undefined}>{section.title} ({grouped(section.total)})</h2>
      {rows.length > 0 ? (
        <table>
          <thead><tr>{section.head.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
          <tbody>
            {rows.map((row, index) => (
              <tr key={index}>{row.map((cell, column) => <td key={column}><bdi>{clipped(cell, 600) || "-"}</bdi></td>)}</tr>
            ))}
          </tbody>
        </table>
      ) : <p>No row.</p>}
      {hidden > 0 && (
        <button type="button" onClick={() => { setLimit(limit + PART); }}>Show more: {grouped(hidden)} left</button>
      )}
      {section.total > section.rows.length && <p>Not all {grouped(section.total)} are listed here; the report of --report has them.</p>}
    </section>
  );
}
