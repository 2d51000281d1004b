/** The failures, each cause once with its remedy. */
import { type Cause, causeText } from "../report/causes";
import { codeText } from "../report/outcome";
import { clipped } from "../text/visible";
import { count, grouped } from "../text/words";
import { CopyButton } from "./CopyButton";

const CAUSES = 20;
const FILES = 3;

export function Causes({ causes, onChoose }: { causes: readonly Cause[]; onChoose: (cause: Cause) => void }) {
  if (!causes.length) return null;
  const rest = causes.slice(CAUSES).reduce((sum, cause) => sum + cause.files.length, 0);
  return (
    <section className="causes" aria-labelledby="causes-title">
      <h2 id="causes-title">Failed</h2>
      {causes.slice(0, CAUSES).map((cause) => (
        <CauseCard key={cause.key} cause={cause} onChoose={onChoose} />
      ))}
      {causes.length > CAUSES && (
        <p>{count(rest, "more file")} for {count(causes.length - CAUSES, "other cause")}: filter by cause below.</p>
      )}
    </section>
  );
}

function CauseCard({ cause, onChoose }: { cause: Cause; onChoose: (cause: Cause) => void }) {
  const { error, files } = cause;
  return (
    <article className="cause">
      <h3>
        {count(files.length, "file")}: <bdi>{clipped(codeText(error), 200)}</bdi>
      </h3>
      <p><bdi>{clipped(error.message, 2000)}</bdi></p>
      <p className="remedy">
        <strong>Remedy:</strong> <bdi>{clipped(error.remedy, 2000)}</bdi>
      </p>
      <ul className="named">
        {files.slice(0, FILES).map((file, index) => (
          <li key={index}><bdi>{clipped(file.path, 200)}</bdi></li>
        ))}
        {files.length > FILES && <li>and {grouped(files.length - FILES)} more</li>}
      </ul>
      <p className="actions">
        <button type="button" onClick={() => { onChoose(cause); }}>Show these files</button>
        <CopyButton text={() => causeText(cause)} label="Copy cause and files" />
      </p>
    </article>
  );
}
