/** The files as a tree of folders. A container is both: a file with an outcome of its own, and what it holds. */
import { isFailure } from "./outcome";
import type { ReportFile } from "./types";

export interface TreeNode {
  /** The last part of the path; several folders in one where each holds nothing but the next. */
  name: string;
  /** The path as it is in the report: what distinguishes the node from others. */
  path: string;
  file: ReportFile | null;
  children: TreeNode[];
  files: number;
  failed: number;
}

/** A node as it is listed. */
export interface TreeRow {
  node: TreeNode;
  level: number;
  open: boolean;
  /** Its place among the children of its folder, from 1, and how many there are. */
  place: number;
  siblings: number;
}

interface Folder {
  path: string;
  name: string;
  file: ReportFile | null;
  children: Map<string, Folder>;
}

const SEPARATOR = /[\\/]/;
/** Folders are shown open from the start as long as there are no more rows than this. */
const OPEN_ROWS = 200;

/** The tree of `files`: folders with failures first, then by name. */
export function treeOf(files: readonly ReportFile[]): TreeNode {
  const root = folder("", "");
  for (const file of files) {
    let current = root;
    for (const part of file.path.split(SEPARATOR)) {
      let next = current.children.get(part);
      if (!next) current.children.set(part, (next = folder(part, current.path ? `${current.path}/${part}` : part)));
      current = next;
    }
    current.file = file;
  }
  return node(root);
}

/** The rows of a tree whose open folders are `open`. */
export function rowsOf(root: TreeNode, open: ReadonlySet<string>): TreeRow[] {
  const rows: TreeRow[] = [];
  const add = (parent: TreeNode, level: number) => {
    parent.children.forEach((child, index) => {
      const isOpen = child.children.length > 0 && open.has(child.path);
      rows.push({ node: child, level, open: isOpen, place: index + 1, siblings: parent.children.length });
      if (isOpen) add(child, level + 1);
    });
  };
  add(root, 1);
  return rows;
}

/** The folders that are open at first: those with failures before the others, while the rows fit. */
export function openAtFirst(root: TreeNode): Set<string> {
  const open = new Set<string>();
  let rows = root.children.length;
  const waiting = [...root.children];
  while (waiting.length) {
    const next = waiting.findIndex((child) => child.failed > 0);
    const [child] = waiting.splice(Math.max(next, 0), 1);
    if (!child?.children.length) continue;
    if (rows + child.children.length > OPEN_ROWS) break;
    rows += child.children.length;
    open.add(child.path);
    waiting.push(...child.children);
  }
  return open;
}

function folder(name: string, path: string): Folder {
  return { name, path, file: null, children: new Map() };
}

function node(from: Folder): TreeNode {
  let current = from;
  let name = from.name;
  while (!current.file && current.children.size === 1 && current.path) {
    const [only] = current.children.values();
    if (!only || only.file) break;
    current = only;
    name = `${name}/${only.name}`;
  }
  const children = [...current.children.values()].map(node).sort(byFailuresThenName);
  const own = current.file ? 1 : 0;
  const ownFailure = current.file && isFailure(current.file) ? 1 : 0;
  return {
    name,
    path: current.path,
    file: current.file,
    children,
    files: children.reduce((sum, child) => sum + child.files, own),
    failed: children.reduce((sum, child) => sum + child.failed, ownFailure),
  };
}

function byFailuresThenName(one: TreeNode, other: TreeNode): number {
  if (one.failed > 0 !== other.failed > 0) return one.failed > 0 ? -1 : 1;
  return one.name < other.name ? -1 : Number(one.name > other.name);
}
