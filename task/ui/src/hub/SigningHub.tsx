/** Keys, certificates and builds of the project over time. The newest builds are read first, more on request. */
import { useEffect, useState } from "react";
import type { Host } from "../service/host";
import { ServiceError } from "../service/rest";
import { Problem } from "../view/Problem";
import { count } from "../text/words";
import { type BuildRow, listBuilds } from "./builds";
import { BuildTable } from "./BuildTable";
import { CertificateTable } from "./CertificateTable";
import { FileSearch } from "./FileSearch";
import { causesByMonth, spentByMonth } from "./figures";
import { type Loaded, loadBuilds, STEP } from "./load";
import { MonthChart } from "./MonthChart";
import type { BuildSummary } from "./summary";
import { VerdictChart } from "./VerdictChart";

export function SigningHub({ host }: { host: Host }) {
  const [builds, setBuilds] = useState<BuildRow[] | null>(null);
  const [fault, setFault] = useState("");
  const [wanted, setWanted] = useState(STEP);
  const [loaded, setLoaded] = useState<Loaded>({ summaries: [], faults: [] });
  const [cache] = useState(() => new Map<number, BuildSummary>());
  const [now] = useState(() => Date.now());
  useEffect(() => {
    listBuilds(host.place).then(setBuilds, (error: unknown) => {
      setFault(error instanceof ServiceError ? error.message : `unexpected: ${String(error)}`);
    });
  }, [host]);
  useEffect(() => {
    if (builds?.length) void loadBuilds(host, builds.slice(0, wanted), cache, setLoaded);
  }, [host, builds, wanted, cache]);

  if (fault) return <Problem title="The builds can't be read" text={`${fault}.`} />;
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
  const signing = summaries.filter((summary) => summary.state !== "none");
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
        <Problem
          title={`${count(faults.length, "build")} could not be read`}
          text={`${faults[0]?.build.number ?? ""}: ${faults[0]?.reason ?? ""}. What is shown leaves them out.`}
        />
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
