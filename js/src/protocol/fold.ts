/**
 * Folds operations into the state of a run. Nothing here depends on time, transport or drawing.
 */
import { EMPTY_NODE, EMPTY_RUN, type Operation, type Run, type Snapshot, type TreeNode } from "./messages";

export interface RunState {
  run: Run;
  /** A changed node is a new object, so that identity shows whether it must be redrawn. */
  readonly nodes: Map<string, TreeNode>;
  /** The streamed text of the nodes that were subscribed to. */
  readonly texts: Map<string, string>;
}

/** Called for each changed node, so that indexes are updated without a scan of all nodes. */
export type NodeListener = (before: TreeNode | undefined, after: TreeNode) => void;

export function emptyState(): RunState {
  return { run: EMPTY_RUN, nodes: new Map(), texts: new Map() };
}

/**
 * Writes `addition` at `offset`; the same string when it was known already, null for a gap.
 *
 * Text that differs from what is known replaces the rest: a retry streams from the start again.
 */
export function writeText(text: string, offset: number, addition: string): string | null {
  if (offset > text.length || offset < 0) return null;
  return text.startsWith(addition, offset) ? text : text.slice(0, offset) + addition;
}

function putNode(state: RunState, patch: Partial<TreeNode>, id: string, listener: NodeListener): void {
  const before = state.nodes.get(id);
  const after = { ...(before ?? EMPTY_NODE), ...patch, id };
  state.nodes.set(id, after);
  listener(before, after);
}

function appendText(state: RunState, id: string, offset: number, addition: string): void {
  const text = writeText(state.texts.get(id) ?? "", offset, addition);
  if (text !== null) state.texts.set(id, text);
}

/** A patch of an unknown node is ignored: it can only mean that the node was never announced. */
export function applyOperation(state: RunState, operation: Operation, listener: NodeListener): void {
  switch (operation[0]) {
    case "a":
      return putNode(state, operation[1], operation[1].id, listener);
    case "p":
      if (state.nodes.has(operation[1])) putNode(state, operation[2], operation[1], listener);
      return;
    case "x":
      return appendText(state, operation[1], operation[2], operation[3]);
    case "r":
      state.run = { ...state.run, ...operation[1] };
  }
}

/** Puts a snapshot in place of everything but the texts, which no snapshot carries. */
export function replaceState(state: RunState, snapshot: Snapshot): void {
  state.run = snapshot.run;
  state.nodes.clear();
  for (const node of snapshot.nodes) state.nodes.set(node.id, node);
}
