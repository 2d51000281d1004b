/** Who signed what: files of all builds that were read, by name, SHA-256 or thumbprint. */
import { useDeferredValue, useMemo, useState } from "react";
import type { Host } from "../service/host";
import { clipped } from "../text/visible";
import { count, shortName } from "../text/words";
import { BuildLink } from "./BuildLink";
import { search } from "./figures";
import type { BuildSummary } from "./summary";

const MOST = 200;

export function FileSearch({ host, summaries }: { host: Host; summaries: readonly BuildSummary[] }) {
  const [words, setWords] = useState("");
  const applied = useDeferredValue(words);
  const hits = useMemo(() => search(summaries, applied, MOST), [summaries, applied]);
  return (
    <section aria-labelledby="search-title">
      <h2 id="search-title">Who signed what</h2>
      <search className="filters">
        <label>
          <span>File name, SHA-256 or thumbprint</span>
          <input type="search" value={words} onChange={(event) => { setWords(event.target.value); }} />
        </label>
        <p className="shown" role="status">
          {applied.trim() && (hits.length >= MOST ? `the first ${MOST} files` : count(hits.length, "file"))}
        </p>
      </search>
      {hits.length > 0 && (
        <table className="hits">
          <thead>
            <tr><th scope="col">File</th><th scope="col">Build</th><th scope="col">Outcome</th><th scope="col">Signed by</th><th scope="col">SHA-256</th></tr>
          </thead>
          <tbody>
            {hits.map(({ summary, file }, index) => (
              <tr key={index}>
                <th scope="row"><bdi>{clipped(file.path, 200)}</bdi></th>
                <td><BuildLink host={host} build={summary.build} /></td>
                <td>{file.outcome}</td>
                <td><bdi>{clipped(shortName(file.subject), 80)}</bdi></td>
                <td><code>{clipped(file.sha256, 64)}</code></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
