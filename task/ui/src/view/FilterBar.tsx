/** Chooses which files are listed. */
import { useMemo } from "react";
import type { Cause } from "../report/causes";
import { EVERYTHING, type Filter, formatsOf } from "../report/filter";
import { countOutcomes, type Outcome } from "../report/outcome";
import type { Report } from "../report/types";
import { clipped } from "../text/visible";
import { count, grouped } from "../text/words";
import { Choice } from "./Choice";

export function FilterBar({ report, causes, filter, shown, onFilter }: {
  report: Report;
  causes: readonly Cause[];
  filter: Filter;
  shown: number;
  onFilter: (filter: Filter) => void;
}) {
  const outcomes = useMemo(() => [...countOutcomes(report).keys()], [report]);
  const formats = useMemo(() => formatsOf(report), [report]);
  const total = report.files.length;
  return (
    <search className="filters">
      <label>
        <span>Name, SHA-256 or thumbprint</span>
        <input
          type="search"
          value={filter.words}
          onChange={(event) => { onFilter({ ...filter, words: event.target.value }); }}
        />
      </label>
      <Choice
        label="Outcome"
        value={filter.outcome}
        options={outcomes.map((outcome) => [outcome, outcome])}
        onChange={(outcome) => { onFilter({ ...filter, outcome: outcome as Outcome | "" }); }}
      />
      <Choice
        label="Format"
        value={filter.format}
        options={formats.map((format) => [format, format])}
        onChange={(format) => { onFilter({ ...filter, format }); }}
      />
      {causes.length > 0 && (
        <Choice
          label="Cause"
          value={filter.cause}
          options={causes.map((cause) => [cause.key, `${clipped(cause.error.code, 60)} (${grouped(cause.files.length)})`])}
          onChange={(cause) => { onFilter({ ...filter, cause }); }}
        />
      )}
      <button type="button" disabled={filter === EVERYTHING} onClick={() => { onFilter(EVERYTHING); }}>
        Show all
      </button>
      <p className="shown" role="status">
        {shown === total ? count(total, "file") : `${grouped(shown)} of ${count(total, "file")}`}
      </p>
    </search>
  );
}
