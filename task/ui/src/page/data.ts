/** Unpacks what python/kspsign/publishing/page.py wrote: gzip in base64, signatures once for all files with the same. */
import { type Comparison, toComparison } from "../comparison/read";
import { NotAReportError, toReport } from "../report/read";
import { SIGNATURES } from "../report/schema";
import { isObject, listOf, number } from "../report/shape";
import type { Report, SignatureFacts } from "../report/types";

/** A page holds one of the two. */
export type PageData = { report: Report } | { comparison: Comparison };

/** What is in the text of the page's element. Raises NotAReportError, and what a damaged packing raises. */
export async function readData(text: string): Promise<PageData> {
  const packed = atob(text.trim());
  const bytes = new Uint8Array(packed.length);
  for (let at = 0; at < packed.length; at += 1) bytes[at] = packed.charCodeAt(at);
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data: unknown = await new Response(unpacked).json();
  if (!isObject(data)) throw new NotAReportError("it is not a report");
  if ("comparison" in data) return { comparison: toComparison(data.comparison) };
  const report = toReport(data.report);
  const fault = listOf(SIGNATURES)(data.signatures, "signatures") ?? listOf(number)(data.of, "of");
  if (fault !== null) throw new NotAReportError(`its value ${fault} is of a type that kspsign does not write`);
  const sets = data.signatures as SignatureFacts[][];
  const numbers = data.of as number[];
  report.files.forEach((file, index) => { file.signatures = sets[numbers[index] ?? -1] ?? []; });
  return { report };
}
