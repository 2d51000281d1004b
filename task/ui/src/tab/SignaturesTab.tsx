/** One run: what a gate would say of it, and the reports of its jobs as one. */
import { useEffect, useMemo, useState } from "react";
import { mergedReport } from "../report/merge";
import { type Decision, decide } from "../service/decision";
import { faultOf, type ServiceError } from "../service/faults";
import type { Host } from "../service/host";
import { FaultProblem } from "../view/FaultProblem";
import { Guarded } from "../view/Guarded";
import { ReportView } from "../view/ReportView";
import { GateChecks } from "./GateChecks";
import { TabNotices } from "./TabNotices";

export function SignaturesTab({ host, build }: { host: Host; build: number }) {
  const [decision, setDecision] = useState<Decision | null>(null);
  const [fault, setFault] = useState<ServiceError | null>(null);
  const [asked, setAsked] = useState(0);
  const [now] = useState(() => Date.now());
  useEffect(() => {
    let current = true;
    decide(host.place, build, host.taskId).then(
      (made) => { if (current) { setDecision(made); setFault(null); } },
      (error: unknown) => {
        if (current) setFault(faultOf(error, `run ${build}`));
      },
    );
    return () => { current = false; };
  }, [host, build, asked]);
  const report = useMemo(() => decision && mergedReport(jobsOf(decision)), [decision]);
  const again = <button type="button" onClick={() => { setAsked(asked + 1); }}>Read again</button>;
  if (fault) return <><FaultProblem title="The signatures of this run are not known" faults={[fault]} />{again}</>;
  if (!decision) return <p role="status">Reading what the run attached ...</p>;
  return (
    <>
      <TabNotices decision={decision} />
      {report ? <Guarded><ReportView report={report} now={now} /></Guarded> : again}
      <GateChecks decision={decision} />
    </>
  );
}

function jobsOf(decision: Decision) {
  return decision.verdicts.flatMap(({ job, step, report }) => (report ? [{ job: job?.name ?? step.name, report }] : []));
}
