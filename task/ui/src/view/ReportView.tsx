/** Everything that is shown of a report: what failed first, then the files, then the run. */
import { useDeferredValue, useMemo, useState } from "react";
import { groupByCause } from "../report/causes";
import { EVERYTHING, type Filter, filtered } from "../report/filter";
import type { Report, ReportFile } from "../report/types";
import { Causes } from "./Causes";
import { ChainDrawing } from "./ChainDrawing";
import { FileDetails } from "./FileDetails";
import { FileTree } from "./FileTree";
import { FilterBar } from "./FilterBar";
import { OutcomeBar } from "./OutcomeBar";
import { RunFacts } from "./RunFacts";
import { RunTimeline } from "./RunTimeline";
import { ServerShares } from "./ServerShares";
import { SignatureBudget } from "./SignatureBudget";
import { VerdictLine } from "./VerdictLine";
import { Warnings } from "./Warnings";

export function ReportView({ report, now }: { report: Report; now: number }) {
  const [filter, setFilter] = useState<Filter>(EVERYTHING);
  const [chosen, setChosen] = useState<ReportFile | null>(null);
  const applied = useDeferredValue(filter);
  const causes = useMemo(() => groupByCause(report.files), [report]);
  const shown = useMemo(() => filtered(report.files, applied), [report, applied]);
  const signature = useMemo(() => firstSignature(report), [report]);
  return (
    <div className="report">
      <VerdictLine report={report} />
      <OutcomeBar report={report} causes={causes} filter={filter} onFilter={setFilter} />
      <Causes causes={causes} onChoose={(cause) => { setFilter({ ...EVERYTHING, cause: cause.key }); }} />
      <Warnings warnings={report.warnings} />
      <section aria-labelledby="files-title">
        <h2 id="files-title">Files</h2>
        <FilterBar report={report} causes={causes} filter={filter} shown={shown.length} onFilter={setFilter} />
        <div className="split">
          <FileTree files={shown} chosen={chosen} onChoose={setChosen} />
          <FileDetails report={report} file={chosen} now={now} onClose={() => { setChosen(null); }} />
        </div>
      </section>
      <div className="columns">
        {signature && <ChainDrawing report={report} signature={signature} now={now} title="Chain of trust" />}
        <ServerShares report={report} />
        <SignatureBudget report={report} />
      </div>
      <RunTimeline report={report} />
      <RunFacts report={report} />
    </div>
  );
}

/** The signature whose chain represents the run: the newest one of a file that this run's certificate signed. */
function firstSignature(report: Report) {
  const own = report.certificate?.thumbprint;
  for (const file of report.files) {
    const found = file.signatures.findLast((signature) => !own || signature.thumbprint === own);
    if (found) return found;
  }
  return null;
}
