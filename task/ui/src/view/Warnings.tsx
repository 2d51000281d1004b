/** What should be acted on though nothing failed. */
import type { RunWarning } from "../report/types";
import { clipped } from "../text/visible";

export function Warnings({ warnings }: { warnings: readonly RunWarning[] }) {
  if (!warnings.length) return null;
  return (
    <section aria-labelledby="warnings-title">
      <h2 id="warnings-title">Warnings</h2>
      <ul className="warnings">
        {warnings.map((warning, index) => (
          <li key={index}>
            <strong>{clipped(warning.code)}</strong> <bdi>{clipped(warning.message, 2000)}</bdi>{" "}
            <bdi>{clipped(warning.remedy, 2000)}</bdi>
          </li>
        ))}
      </ul>
    </section>
  );
}
