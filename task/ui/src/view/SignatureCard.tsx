/** One signature: who made it, when and by whom it was stamped, its chain. */
import type { Report, SignatureFacts } from "../report/types";
import { moment } from "../text/words";
import { ChainDrawing } from "./ChainDrawing";
import { Facts } from "./Facts";

export function SignatureCard({ report, signature, number, now }: {
  report: Report;
  signature: SignatureFacts;
  number: number;
  now: number;
}) {
  const stamp = signature.timestamp;
  const rows: [string, string][] = [
    ["Signed by", signature.subject],
    ["Thumbprint", signature.thumbprint],
    ["Key, digest", [signature.key, signature.digest].filter(Boolean).join(", ")],
    ["Timestamp", stamp ? `${moment(stamp.time)} by ${stamp.authority} (${stamp.digest})` : "none"],
    ["Root", signature.root ? signature.root.subject : "none: the chain does not hold"],
  ];
  return (
    <article className="signature">
      <h4>Signature {number}</h4>
      <Facts rows={rows} />
      <ChainDrawing report={report} signature={signature} now={now} title="Chain" />
    </article>
  );
}
