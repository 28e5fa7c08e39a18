/**
 * The visible rows: the tree flattened through folds and filters.
 */
import type { Hit, TreeNode } from "../protocol/messages";
import { countedState, type DisplayState } from "./display";
import { hasWords } from "./search";
import type { Tree } from "./tree";

export interface Row {
  readonly id: string;
  readonly depth: number;
  /** For each ancestor but the root: whether a line to a later sibling of it passes this row. */
  readonly guides: readonly boolean[];
  readonly isLast: boolean;
  /** Position among the siblings, from 1, and their number, for screen readers. */
  readonly position: number;
  readonly siblings: number;
}

export interface RowFilter {
  readonly words: readonly string[];
  /** What the kernel found. */
  readonly hits: ReadonlyMap<string, Hit>;
  readonly states: ReadonlySet<DisplayState>;
  /** Whether nodes count whose prompt alone has the words: prompts repeat the tasks above. */
  readonly prompts: boolean;
}

export function isFiltering({ words, states }: RowFilter): boolean {
  return words.length > 0 || states.size > 0;
}

/** Whether a node matches in its own texts, or in its prompt only. */
export function placeOf(node: TreeNode, { words, hits, states }: RowFilter): "own" | "prompt" | null {
  if (states.size > 0 && !isCounted(node, states)) return null;
  if (words.length === 0 || hasWords(node, words)) return "own";
  const hit = hits.get(node.id);
  return hit ? (hit[1] === "prompt" ? "prompt" : "own") : null;
}

/** As the chips count. */
function isCounted(node: TreeNode, states: ReadonlySet<DisplayState>): boolean {
  const state = countedState(node);
  return state !== null && states.has(state);
}

/** Whether the node itself matches; its ancestors are shown around it. */
export function matcher(filter: RowFilter): (node: TreeNode) => boolean {
  return (node) => {
    const place = placeOf(node, filter);
    return place === "own" || (place === "prompt" && filter.prompts);
  };
}

/** The ids to show under a filter: matches with all their ancestors; null for all. */
export function visibleIds(tree: Tree, filter: RowFilter): ReadonlySet<string> | null {
  if (!isFiltering(filter)) return null;
  const matches = matcher(filter);
  const visible = new Set<string>();
  for (const node of tree.nodes()) {
    if (matches(node)) addWithAncestors(tree, node, visible);
  }
  return visible;
}

function addWithAncestors(tree: Tree, node: TreeNode, visible: Set<string>): void {
  let current: TreeNode | undefined = node;
  while (current && !visible.has(current.id)) {
    visible.add(current.id);
    current = current.parent === null ? undefined : tree.node(current.parent);
  }
}

const NO_GUIDES: readonly boolean[] = [];

/** A filter opens every branch that holds a match: a hidden match would not be found. */
export function flatten(tree: Tree, folded: ReadonlySet<string>, visible: ReadonlySet<string> | null): Row[] {
  const rows: Row[] = [];
  const addSiblings = (ids: readonly string[], depth: number, guides: readonly boolean[]): void => {
    const shown = visible ? ids.filter((id) => visible.has(id)) : ids;
    shown.forEach((id, index) => {
      const isLast = index === shown.length - 1;
      rows.push({ id, depth, guides, isLast, position: index + 1, siblings: shown.length });
      const children = tree.children(id);
      if (children.length === 0 || (folded.has(id) && !visible)) return;
      addSiblings(children, depth + 1, depth === 0 ? NO_GUIDES : [...guides, !isLast]);
    });
  };
  addSiblings(tree.roots, 0, NO_GUIDES);
  return rows;
}
