/** The certificates that builds signed with: days left, and the one that follows. */
import { useMemo } from "react";
import { clipped } from "../text/visible";
import { date, daysLeft, grouped, shortName } from "../text/words";
import { usedCertificates } from "./figures";
import type { BuildSummary } from "./summary";

const SOON = 30;

export function CertificateTable({ summaries, now }: { summaries: readonly BuildSummary[]; now: number }) {
  const used = useMemo(() => usedCertificates(summaries), [summaries]);
  if (!used.length) return null;
  return (
    <section aria-labelledby="certificates-title">
      <h2 id="certificates-title">Certificates</h2>
      <table className="certificates">
        <thead>
          <tr>
            <th scope="col">Publisher</th><th scope="col">Thumbprint</th><th scope="col">Ends</th><th scope="col">Days left</th>
            <th scope="col">Successor</th><th scope="col">Builds</th>
          </tr>
        </thead>
        <tbody>
          {used.map(({ certificate, builds, successor }) => {
            const left = daysLeft(Date.parse(certificate.not_after), now);
            return (
              <tr key={certificate.thumbprint}>
                <th scope="row"><bdi>{clipped(shortName(certificate.subject), 80)}</bdi></th>
                <td><code>{clipped(certificate.thumbprint, 40)}</code></td>
                <td>{date(certificate.not_after)}</td>
                <td className={left <= SOON && !successor ? "failures" : ""}>{left < 0 ? "expired" : grouped(left)}</td>
                <td>{successor ? `${clipped(successor.thumbprint, 40)}, to ${date(successor.not_after)}` : "none used yet"}</td>
                <td>{grouped(builds)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
