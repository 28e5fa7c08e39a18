/**
 * The critical path: the chain of work that decided when the run ended, or decides it now.
 *
 * From the root, each planner was waiting for the child that ended last; a child that itself waited
 * for a sibling is preceded by the dependency that ended last. What remains is a staircase of legs
 * that touch in time.
 */
import type { Phase, TreeNode } from "../protocol/messages";
import type { Tree } from "./tree";

export interface Leg {
  readonly id: string;
  readonly start: number;
  readonly end: number;
}

export interface CriticalPath {
  readonly legs: readonly Leg[];
  readonly ids: ReadonlySet<string>;
  /** Seconds from the first start to the last end. */
  readonly length: number;
}

export const phaseEnd = (phase: Phase, now: number): number => phase[2] ?? Math.max(now, phase[1]);

export function nodeStart(node: TreeNode): number | null {
  return node.phases[0]?.[1] ?? null;
}

export function nodeEnd(node: TreeNode, now: number): number | null {
  const last = node.phases.at(-1);
  return last ? phaseEnd(last, now) : null;
}

/** The one that ends last; of those still open, the one that has gone on longest. */
function decisive(tree: Tree, ids: readonly string[], now: number): TreeNode | null {
  let best: TreeNode | null = null;
  for (const id of ids) {
    const node = tree.node(id);
    if (node && node.phases.length > 0 && (!best || outlasts(node, best, now))) best = node;
  }
  return best;
}

function outlasts(candidate: TreeNode, best: TreeNode, now: number): boolean {
  const difference = (nodeEnd(candidate, now) ?? 0) - (nodeEnd(best, now) ?? 0);
  if (difference !== 0) return difference > 0;
  return (nodeStart(candidate) ?? 0) < (nodeStart(best) ?? 0);
}

/** The decisive child after the chain of dependencies that held it up, in order of time. */
function decisiveChain(tree: Tree, parent: TreeNode, now: number): TreeNode[] {
  const chain: TreeNode[] = [];
  let link = decisive(tree, tree.children(parent.id), now);
  while (link && !chain.includes(link)) {
    chain.unshift(link);
    link = decisive(tree, link.depends_on, now);
  }
  return chain;
}

function ownLegs(node: TreeNode, phases: readonly Phase[], now: number): Leg[] {
  return phases.map((phase) => ({ id: node.id, start: phase[1], end: phaseEnd(phase, now) }));
}

function legsOf(tree: Tree, node: TreeNode, now: number): Leg[] {
  const chain = decisiveChain(tree, node, now);
  if (chain.length === 0) return ownLegs(node, node.phases, now);
  const descent = nodeStart(chain[0] as TreeNode) ?? 0;
  const ascent = nodeEnd(chain.at(-1) as TreeNode, now) ?? 0;
  const working = node.phases.filter((phase) => phase[0] !== "wait");
  const before = working.filter((phase) => phase[1] < descent);
  const after = working.filter((phase) => phase[1] >= descent && phaseEnd(phase, now) >= ascent);
  return [
    ...ownLegs(node, before, now),
    ...chain.flatMap((child) => legsOf(tree, child, now)),
    ...ownLegs(node, after, now),
  ];
}

export function criticalPath(tree: Tree, now: number): CriticalPath {
  const root = decisive(tree, tree.roots, now);
  const legs = root ? legsOf(tree, root, now) : [];
  const first = legs[0];
  const last = legs.at(-1);
  return {
    legs,
    ids: new Set(legs.map((leg) => leg.id)),
    length: first && last ? last.end - first.start : 0,
  };
}
