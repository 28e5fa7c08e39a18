/**
 * The tree as a flame chart: time to the right, what a task was split into below it. Work that
 * overlaps in time lies on different lanes.
 */
import type { TreeNode } from "../protocol/messages";
import { nodeEnd, nodeStart } from "./critical_path";
import type { Tree } from "./tree";

export interface FlameSpan {
  readonly node: TreeNode;
  /** From 0 at the top. */
  readonly lane: number;
}

export interface FlameLayout {
  readonly spans: readonly FlameSpan[];
  readonly lanes: number;
}

/** A node with all below it, as a rectangle. */
interface Block {
  readonly start: number;
  readonly end: number;
  readonly height: number;
  readonly spans: readonly FlameSpan[];
}

/** The deepest level that is drawn; it also keeps a hostile tree from exhausting the stack. */
const DEEPEST = 200;

function blockOf(tree: Tree, id: string, now: number, depth: number): Block | null {
  const node = tree.node(id);
  const start = node && nodeStart(node);
  const end = node && nodeEnd(node, now);
  if (!node || typeof start !== "number" || typeof end !== "number") return null;
  const below = depth < DEEPEST ? packed(tree, tree.children(id), now, depth + 1) : EMPTY_BLOCK;
  const spans = [{ node, lane: 0 }, ...below.spans.map((span) => ({ ...span, lane: span.lane + 1 }))];
  return { start: Math.min(start, below.start), end: Math.max(end, below.end), height: below.height + 1, spans };
}

const EMPTY_BLOCK: Block = { start: Infinity, end: -Infinity, height: 0, spans: [] };

/** The topmost lanes that are free from `start` on, as many as are needed. */
function freeLane(freeFrom: readonly number[], height: number, start: number): number {
  let lane = 0;
  for (let below = 0; below < height; below += 1) {
    if ((freeFrom[lane + below] ?? -Infinity) <= start) continue;
    lane += below + 1;
    below = -1;
  }
  return lane;
}

function packed(tree: Tree, ids: readonly string[], now: number, depth: number): Block {
  const blocks = ids.map((id) => blockOf(tree, id, now, depth)).filter((block) => block !== null);
  blocks.sort((first, second) => first.start - second.start);
  const freeFrom: number[] = [];
  const spans: FlameSpan[] = [];
  for (const block of blocks) {
    const top = freeLane(freeFrom, block.height, block.start);
    for (let lane = top; lane < top + block.height; lane += 1) freeFrom[lane] = block.end;
    for (const { node, lane } of block.spans) spans.push({ node, lane: lane + top });
  }
  const start = blocks.reduce((earliest, block) => Math.min(earliest, block.start), Infinity);
  const end = blocks.reduce((latest, block) => Math.max(latest, block.end), -Infinity);
  return { start, end, height: freeFrom.length, spans };
}

export function flameLayout(tree: Tree, now: number): FlameLayout {
  const { spans, height } = packed(tree, tree.roots, now, 0);
  return { spans, lanes: height };
}
