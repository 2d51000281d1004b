/** What became of the files: a bar with a part for each outcome, the failed ones by cause; its legend filters. */
import { useMemo } from "react";
import type { Cause } from "../report/causes";
import { EVERYTHING, type Filter } from "../report/filter";
import { countOutcomes, type Outcome } from "../report/outcome";
import type { Report } from "../report/types";
import { clipped } from "../text/visible";
import { grouped } from "../text/words";

interface Part {
  label: string;
  number: number;
  kind: string;
  filter: Filter;
}

/** Causes with a part of their own; further ones share the last. */
const CAUSES = 4;

export function OutcomeBar({ report, causes, filter, onFilter }: {
  report: Report;
  causes: readonly Cause[];
  filter: Filter;
  onFilter: (filter: Filter) => void;
}) {
  const parts = useMemo(() => partsOf(report, causes), [report, causes]);
  if (!parts.length) return null;
  const chosen = JSON.stringify(filter);
  return (
    <div className="outcomes">
      <div className="bar" aria-hidden="true">
        {parts.map((part, index) => (
          <span key={index} className={`part ${part.kind}`} style={{ flexGrow: part.number }} />
        ))}
      </div>
      <ul className="legend" aria-label="Files by outcome">
        {parts.map((part, index) => {
          const pressed = JSON.stringify(part.filter) === chosen;
          return (
            <li key={index}>
              <button
                type="button"
                aria-pressed={pressed}
                onClick={() => { onFilter(pressed ? EVERYTHING : part.filter); }}
              >
                <span className={`swatch ${part.kind}`} aria-hidden="true" />
                {grouped(part.number)} <bdi>{part.label}</bdi>
              </button>
            </li>
          );
        })}
      </ul>
    </div>
  );
}

function partsOf(report: Report, causes: readonly Cause[]): Part[] {
  const parts: Part[] = [];
  for (const [outcome, number] of countOutcomes(report)) {
    if (outcome === "failed") parts.push(...failedParts(causes, number));
    else parts.push({ label: outcome, number, kind: kindOf(outcome), filter: { ...EVERYTHING, outcome } });
  }
  return parts;
}

function failedParts(causes: readonly Cause[], failed: number): Part[] {
  const parts = causes.slice(0, CAUSES).map((cause, index): Part => ({
    label: `failed: ${clipped(cause.error.code, 60)}`,
    number: cause.files.length,
    kind: `failed shade-${index}`,
    filter: { ...EVERYTHING, cause: cause.key },
  }));
  const rest = failed - parts.reduce((sum, part) => sum + part.number, 0);
  const others: Part = {
    label: "failed for other causes", number: rest, kind: "failed", filter: { ...EVERYTHING, outcome: "failed" },
  };
  return rest > 0 ? [...parts, others] : parts;
}

function kindOf(outcome: Outcome): string {
  if (["signed", "rebuilt", "verified"].includes(outcome)) return "good";
  return outcome === "not verified" || outcome === "not tried" ? "warning" : "neutral";
}
