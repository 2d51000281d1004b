/** Keys, certificates and builds of the project over time. The newest builds are read first, more on request. */
import { useEffect, useState } from "react";
import { faultOf, type ServiceError } from "../service/faults";
import type { Host } from "../service/host";
import { FaultProblem } from "../view/FaultProblem";
import { Problem } from "../view/Problem";
import { count } from "../text/words";
import { type BuildRow, listBuilds } from "./builds";
import { BuildTable } from "./BuildTable";
import { CertificateTable } from "./CertificateTable";
import { FileSearch } from "./FileSearch";
import { causesByMonth, spentByMonth } from "./figures";
import { type Loaded, loadBuilds, STEP } from "./load";
import { MonthChart } from "./MonthChart";
import { type BuildSummary, unknownSummary } from "./summary";
import { VerdictChart } from "./VerdictChart";

/** Faults that are shown in full. */
const SHOWN = 5;

export function SigningHub({ host }: { host: Host }) {
  const [builds, setBuilds] = useState<BuildRow[] | null>(null);
  const [fault, setFault] = useState<ServiceError | null>(null);
  const [asked, setAsked] = useState(0);
  const [wanted, setWanted] = useState(STEP);
  const [loaded, setLoaded] = useState<Loaded>({ summaries: [], faults: [] });
  const [cache] = useState(() => new Map<number, BuildSummary>());
  const [now] = useState(() => Date.now());
  useEffect(() => {
    listBuilds(host.place).then(
      (found) => { setBuilds(found); setFault(null); },
      (error: unknown) => { setFault(faultOf(error, "the list of builds")); },
    );
  }, [host, asked]);
  useEffect(() => {
    if (builds?.length) void loadBuilds(host, builds.slice(0, wanted), cache, setLoaded);
  }, [host, builds, wanted, cache]);

  const again = <button type="button" onClick={() => { setAsked(asked + 1); }}>Read again</button>;
  if (fault) return <><FaultProblem title="The builds are not known" faults={[fault]} />{again}</>;
  if (!builds) return <p role="status">Looking for builds that signed ...</p>;
  if (!builds.length) {
    return (
      <Problem
        title="No build has signed yet"
        text="Builds are found by the tag kspsign-verified and the property kspsign.reportSha256, which the KspSign task leaves."
      />
    );
  }
  const { summaries, faults } = loaded;
  const unread = faults.map(({ build }) => unknownSummary(build));
  const newest = [...summaries, ...unread].sort((one, other) => other.build.finished.localeCompare(one.build.finished));
  const signing = newest.filter((summary) => summary.state !== "none");
  const done = summaries.length + faults.length;
  return (
    <>
      <h1>Signing</h1>
      <p className="actions" role="status">
        {count(done, "build")} of {builds.length} read{done < Math.min(wanted, builds.length) ? " ..." : ""}
        {wanted < builds.length && done >= wanted && (
          <button type="button" onClick={() => { setWanted(wanted + STEP); }}>Read {STEP} more</button>
        )}
      </p>
      {faults.length > 0 && (
        <>
          <FaultProblem
            title={`${count(faults.length, "build")} could not be read: not known is not verified`}
            faults={faults.slice(0, SHOWN).map(({ fault: one }) => one)}
          />
          {again}
        </>
      )}
      <VerdictChart summaries={signing} />
      <FileSearch host={host} summaries={signing} />
      <CertificateTable summaries={signing} now={now} />
      <div className="columns">
        <MonthChart title="Signatures spent" noun="signature" table={spentByMonth(signing)} />
        <MonthChart title="Failing causes" noun="file" table={causesByMonth(signing)} />
      </div>
      <BuildTable host={host} summaries={signing} />
    </>
  );
}
