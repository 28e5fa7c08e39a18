/**
 * The visible rows: the tree flattened through folds and filters.
 */
import type { TreeNode } from "../protocol/messages";
import { displayState, type DisplayState } from "./display";
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
  readonly query: string;
  readonly states: ReadonlySet<DisplayState>;
}

export function isFiltering(filter: RowFilter): boolean {
  return filter.query.trim() !== "" || filter.states.size > 0;
}

/** Whether the node itself matches; its ancestors are shown around it. */
export function matcher(filter: RowFilter): (node: TreeNode) => boolean {
  const query = filter.query.trim().toLowerCase();
  return (node) =>
    (filter.states.size === 0 || filter.states.has(displayState(node))) &&
    (query === "" || `${node.title}\n${node.agent}\n${node.note}\n${node.tail}`.toLowerCase().includes(query));
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
