/** Numbers by month: a column for each, and a table of the rows that they are made of. */
import { clipped } from "../text/visible";
import { count, grouped } from "../text/words";
import type { MonthTable } from "./figures";

const ROWS = 12;

export function MonthChart({ title, noun, table }: { title: string; noun: string; table: MonthTable }) {
  const sums = table.months.map((_, at) => table.rows.reduce((sum, row) => sum + (row.numbers[at] ?? 0), 0));
  const most = Math.max(1, ...sums);
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      {table.rows.length === 0 && <p>None.</p>}
      <ul className="months">
        {table.months.map((month, at) => (
          <li key={month}>
            <span>{month}</span>
            <span className="meter" aria-hidden="true"><span style={{ width: `${((sums[at] ?? 0) / most) * 100}%` }} /></span>
            <span>{count(sums[at] ?? 0, noun)}</span>
          </li>
        ))}
      </ul>
      {table.rows.length > 0 && (
        <table>
          <caption className="hidden">{title}, each row by month</caption>
          <thead>
            <tr><th scope="col">Name</th>{table.months.map((month) => <th scope="col" key={month}>{month}</th>)}</tr>
          </thead>
          <tbody>
            {table.rows.slice(0, ROWS).map((row) => (
              <tr key={row.name}>
                <th scope="row"><bdi>{clipped(row.name, 80)}</bdi></th>
                {row.numbers.map((number, at) => <td key={table.months[at]}>{grouped(number)}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
