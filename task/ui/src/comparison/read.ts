/** Reads what python/kspsign/reconciliation/page.py wrote: tables of texts, the differences first. */
import { NotAReportError } from "../report/read";
import { isObject } from "../report/shape";

/** A table; `total` rows were found, of which the page holds the first. */
export interface Section {
  title: string;
  head: readonly string[];
  total: number;
  rows: readonly (readonly string[])[];
}

export interface Comparison {
  result: string;
  verdict: string;
  matched: string;
  covered: readonly string[];
  /** The title of the table with the uses that no build accounts for. */
  alarm: string;
  sections: readonly Section[];
}

/** The comparison of a JSON value. Raises NotAReportError. */
export function toComparison(value: unknown): Comparison {
  if (!isObject(value) || !Array.isArray(value.sections) || typeof value.result !== "string") {
    throw new NotAReportError("it is not a comparison");
  }
  return {
    result: value.result,
    verdict: String(value.verdict),
    matched: String(value.matched),
    covered: texts(value.covered),
    alarm: String(value.alarm),
    sections: value.sections.filter(isObject).map((section) => ({
      title: String(section.title),
      head: texts(section.head),
      total: Number(section.total),
      rows: Array.isArray(section.rows) ? section.rows.map(texts) : [],
    })),
  };
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
