/** Uses of the key against the ledgers: the verdict, then each table, filtered by title and words. */
import { useDeferredValue, useMemo, useState } from "react";
import { Choice } from "../view/Choice";
import { usePrinting } from "../view/usePrinting";
import { clipped } from "../text/visible";
import { count } from "../text/words";
import type { Comparison, Section } from "./read";
import { SectionTable } from "./SectionTable";

export function ComparisonView({ comparison }: { comparison: Comparison }) {
  const [title, setTitle] = useState("");
  const [words, setWords] = useState("");
  const printing = usePrinting();
  const wanted = useDeferredValue(words.toLowerCase());
  const chosen = useMemo(
    () => comparison.sections.filter((section) => !title || section.title === title).map((section) => matching(section, wanted)),
    [comparison, title, wanted],
  );
  const state = comparison.result === "accounted" ? "passed" : "failed";
  const shown = chosen.reduce((sum, section) => sum + section.rows.length, 0);
  return (
    <div className="report">
      <header className={`verdict ${state}`}>
        <h1><span aria-hidden="true">{state === "passed" ? "✔" : "✖"}</span> Uses of the key: {clipped(comparison.result)}</h1>
        <p className="counts"><bdi>{clipped(comparison.verdict, 2000)}</bdi></p>
        <p>Matched: <bdi>{clipped(comparison.matched, 2000)}</bdi></p>
        <p>Covered: <bdi>{clipped(comparison.covered.join("; ") || "no time", 2000)}</bdi></p>
      </header>
      <search className="filters">
        <label>
          <span>Key, caller, file, build or time</span>
          <input type="search" value={words} onChange={(event) => { setWords(event.target.value); }} />
        </label>
        <Choice
          label="Table"
          value={title}
          options={comparison.sections.map((section) => [section.title, section.title])}
          onChange={setTitle}
        />
        {comparison.sections.some((section) => section.title === comparison.alarm) && (
          <button type="button" aria-pressed={title === comparison.alarm} onClick={() => { setTitle(title === comparison.alarm ? "" : comparison.alarm); }}>
            Unaccounted uses only
          </button>
        )}
        <p className="shown" role="status">{count(shown, "row")}</p>
      </search>
      {chosen.map((section) => (
        <SectionTable key={section.title} section={section} alarm={section.title === comparison.alarm} all={printing} />
      ))}
    </div>
  );
}

/** The table with the rows that have `words` in one of their cells. */
function matching(section: Section, words: string): Section {
  if (!words) return section;
  return { ...section, rows: section.rows.filter((row) => row.some((cell) => cell.toLowerCase().includes(words))) };
}
