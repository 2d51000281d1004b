/** The files as a tree. Only the rows in sight are in the page: a report may have a hundred thousand files. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useMemo, useRef, useState } from "react";
import { openAtFirst, rowsOf, type TreeRow, treeOf } from "../report/tree";
import type { ReportFile } from "../report/types";
import { FileRow, ROW_HEIGHT } from "./FileRow";
import { usePrinting } from "./usePrinting";

/** Rows that are printed; the report has all. */
const PRINTED = 2000;
/** Pixels of the tree, and of its two borders. */
const HEIGHT = 576;
const BORDERS = 2;

export function FileTree({ files, chosen, onChoose }: {
  files: readonly ReportFile[];
  chosen: ReportFile | null;
  onChoose: (file: ReportFile) => void;
}) {
  const root = useMemo(() => treeOf(files), [files]);
  const atFirst = useMemo(() => openAtFirst(root), [root]);
  const [changed, setChanged] = useState<{ root: typeof root; open: ReadonlySet<string> }>({ root, open: atFirst });
  const open = changed.root === root ? changed.open : atFirst;
  const rows = useMemo(() => rowsOf(root, open), [root, open]);
  const [active, setActive] = useState(0);
  const scroller = useRef<HTMLDivElement>(null);
  const printing = usePrinting();
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 12,
  });
  const current = Math.min(active, rows.length - 1);

  const toggle = (row: TreeRow, wanted: boolean) => {
    const next = new Set(open);
    if (wanted) next.add(row.node.path);
    else next.delete(row.node.path);
    setChanged({ root, open: next });
  };
  const move = (to: number) => {
    const index = Math.min(Math.max(to, 0), rows.length - 1);
    setActive(index);
    virtual.scrollToIndex(index);
  };
  const choose = (row: TreeRow) => {
    if (row.node.file) onChoose(row.node.file);
    else toggle(row, !row.open);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const row = rows[current];
    if (!row) return;
    const actions: Partial<Record<string, () => void>> = {
      ArrowDown: () => { move(current + 1); },
      ArrowUp: () => { move(current - 1); },
      PageDown: () => { move(current + 15); },
      PageUp: () => { move(current - 15); },
      Home: () => { move(0); },
      End: () => { move(rows.length - 1); },
      ArrowRight: () => {
        if (row.node.children.length && !row.open) toggle(row, true);
        else if (row.open) move(current + 1);
      },
      ArrowLeft: () => {
        if (row.open) toggle(row, false);
        else move(rows.findLastIndex((other, index) => index < current && other.level < row.level));
      },
      Enter: () => { choose(row); },
      " ": () => { choose(row); },
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };

  const items = printing
    ? rows.slice(0, PRINTED).map((_, index) => ({ index, start: index * ROW_HEIGHT }))
    : virtual.getVirtualItems();
  if (!rows.length) return <p className="tree empty">No file.</p>;
  return (
    <div
      ref={scroller}
      className="tree"
      role="tree"
      aria-label="Files"
      tabIndex={0}
      aria-activedescendant={items.some((item) => item.index === current) ? `row-${current}` : undefined}
      onKeyDown={onKeyDown}
      style={{ height: Math.min(rows.length * ROW_HEIGHT + BORDERS, HEIGHT) }}
    >
      <div role="none" className="rows" style={{ height: (printing ? items.length : rows.length) * ROW_HEIGHT }}>
        {items.map(({ index, start }) => {
          const row = rows[index];
          return row && (
            <FileRow
              key={row.node.path}
              id={`row-${index}`}
              row={row}
              top={start}
              active={index === current}
              selected={row.node.file !== null && row.node.file === chosen}
              onToggle={() => { setActive(index); toggle(row, !row.open); }}
              onChoose={() => { setActive(index); choose(row); }}
            />
          );
        })}
      </div>
    </div>
  );
}
