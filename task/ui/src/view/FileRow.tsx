/** One row of the tree: a folder with its counts, or a file with its outcome. */
import { isFailure, outcomeOf } from "../report/outcome";
import type { TreeRow } from "../report/tree";
import type { ReportFile } from "../report/types";
import { clipped } from "../text/visible";
import { grouped, shortName } from "../text/words";

/** Pixels. */
export const ROW_HEIGHT = 28;
/** Deeper levels are not moved further to the right: their names would have no room. */
const DEEPEST = 10;

export function FileRow({ id, row, top, active, selected, onToggle, onChoose }: {
  id: string;
  row: TreeRow;
  top: number;
  active: boolean;
  selected: boolean;
  onToggle: () => void;
  onChoose: () => void;
}) {
  const { node, level, open, place, siblings } = row;
  const folds = node.children.length > 0;
  return (
    // The keys are those of the tree, which has the focus.
    <div
      id={id}
      role="treeitem"
      aria-level={level}
      aria-posinset={place}
      aria-setsize={siblings}
      aria-expanded={folds ? open : undefined}
      aria-selected={selected}
      className={`row${active ? " active" : ""}${selected ? " selected" : ""}`}
      style={{ transform: `translateY(${top}px)`, paddingLeft: `${Math.min(level, DEEPEST)}rem` }}
      onClick={onChoose}
    >
      <span
        className="fold"
        aria-hidden="true"
        onClick={(event) => {
          if (!folds) return;
          event.stopPropagation();
          onToggle();
        }}
      >
        {folds ? (open ? "▾" : "▸") : ""}
      </span>
      <span className={`mark ${markOf(node.file, node.failed)}`} aria-hidden="true" />
      <bdi className="name">{clipped(node.name) || "(no name)"}</bdi>
      {node.file && <span className="said">{saidOf(node.file)}</span>}
      {folds && (
        <span className="counted">
          {grouped(node.files)}
          {node.failed > 0 && <span className="failures">, {grouped(node.failed)} failed</span>}
        </span>
      )}
    </div>
  );
}

function markOf(file: ReportFile | null, failed: number): string {
  if (failed > 0) return "bad";
  if (!file) return "folder";
  const outcome = outcomeOf(file);
  return outcome === "not tried" || outcome === "not verified" ? "open" : "good";
}

function saidOf(file: ReportFile): string {
  const signer = file.signatures.at(-1);
  const by = signer && !isFailure(file) ? `, ${clipped(shortName(signer.subject), 60)}` : "";
  return `${outcomeOf(file)}${by}`;
}
