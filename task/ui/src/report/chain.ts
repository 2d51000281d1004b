/** The chain of a certificate, and how its validities lie next to each other. */
import type { ChainCertificate, Report, SignatureFacts } from "./types";

export interface ChainLink {
  certificate: ChainCertificate;
  role: "publisher" | "issuer" | "root";
  /** Where its validity begins and ends on the drawing, from 0 to 1. */
  from: number;
  to: number;
}

export interface DrawnChain {
  links: ChainLink[];
  /** Today, and the time of the timestamp where there is one, from 0 to 1. */
  today: number;
  stamped: number | null;
}

const LONGEST = 16;
/** Of a root that is valid for decades only these years around the publisher's validity are drawn. */
const MARGIN_MS = 3 * 365 * 86_400_000;

/** The certificates from `thumbprint` to the root, as far as the report has them. */
export function chainFrom(report: Report, thumbprint: string): ChainCertificate[] {
  const known = new Map(report.certificates.map((certificate) => [certificate.thumbprint, certificate]));
  const chain: ChainCertificate[] = [];
  let next = known.get(thumbprint);
  while (next && chain.length < LONGEST && !chain.includes(next)) {
    chain.push(next);
    next = next.issuer ? known.get(next.issuer) : undefined;
  }
  return chain;
}

/** The signer's chain as it is drawn; null where an older report does not have it. */
export function drawnChain(report: Report, signature: SignatureFacts, now: number): DrawnChain | null {
  const chain = chainFrom(report, signature.thumbprint);
  const [leaf] = chain;
  if (!leaf) return null;
  const stamped = signature.timestamp ? Date.parse(signature.timestamp.time) : null;
  const marks = [Date.parse(leaf.not_before), Date.parse(leaf.not_after), now, ...(stamped === null ? [] : [stamped])];
  const begin = Math.min(...marks) - MARGIN_MS;
  const end = Math.max(...marks) + MARGIN_MS;
  const place = (time: number) => Math.min(1, Math.max(0, (time - begin) / (end - begin)));
  const links = chain.map((certificate, index): ChainLink => ({
    certificate,
    role: index === 0 ? "publisher" : certificate.issuer ? "issuer" : "root",
    from: place(Date.parse(certificate.not_before)),
    to: place(Date.parse(certificate.not_after)),
  }));
  return { links, today: place(now), stamped: stamped === null ? null : place(stamped) };
}
