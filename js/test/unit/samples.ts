/** Small trees for tests. */
import { applyOperation, emptyState, type RunState } from "../../src/protocol/fold";
import { EMPTY_NODE, EMPTY_RUN, type Operation, type Snapshot, type TreeNode } from "../../src/protocol/messages";
import { Tree } from "../../src/store/tree";

export const node = (id: string, fields: Partial<TreeNode> = {}): TreeNode => ({
  ...EMPTY_NODE,
  id,
  parent: id.includes(".") ? id.slice(0, id.lastIndexOf(".")) : null,
  title: `Task ${id}`,
  ...fields,
});

export function treeOf(nodes: readonly TreeNode[]): Tree {
  const tree = new Tree(new Map(nodes.map((each) => [each.id, each])));
  tree.rebuild();
  return tree;
}

/** The columns of a snapshot, as the kernel sends them. */
export function snapshotJson(state: RunState, position: { e: number; s: number }, n = 0): unknown {
  const nodes = [...state.nodes.values()];
  const fields = Object.keys(EMPTY_NODE) as (keyof TreeNode)[];
  const columns = Object.fromEntries(fields.map((field) => [field, nodes.map((each) => each[field])]));
  return JSON.parse(JSON.stringify({ v: 1, ...position, n, run: state.run, nodes: columns }));
}

export const snapshot = (nodes: readonly TreeNode[], fields: Partial<Snapshot> = {}): Snapshot => ({
  e: 1,
  s: 0,
  n: 0,
  run: EMPTY_RUN,
  nodes,
  ...fields,
});

export function folded(operations: readonly Operation[]): RunState {
  const state = emptyState();
  for (const operation of operations) applyOperation(state, operation, () => undefined);
  return state;
}
