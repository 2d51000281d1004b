import { Transform } from "node:stream";

/** Text in which no `##` is left, so that the agent finds neither a logging command nor a log format in it. */
export function neutral(text: string): string {
  return text.replace(/#(?=[\p{C}\p{DI}]*#)/gu, "#_");
}

/** Passes whole lines only: unchanged where `trusted`, else neutralised. A cut-off last line is never trusted. */
export function lineRelay(trusted: boolean): Transform {
  let rest = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const all = Buffer.concat([rest, chunk]);
      const end = all.lastIndexOf("\n") + 1;
      rest = all.subarray(end);
      done(null, trusted ? all.subarray(0, end) : neutral(all.toString("utf8", 0, end)));
    },
    flush(done) {
      done(null, rest.length > 0 ? `${neutral(rest.toString("utf8"))}\n` : "");
    },
  });
}
