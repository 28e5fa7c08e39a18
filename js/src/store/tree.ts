/**
 * The tree over the nodes, kept up to date node by node: children in plan order, depths, counts.
 */
import type { TreeNode } from "../protocol/messages";
import { countedState, type DisplayState } from "./display";

const NO_CHILDREN: readonly string[] = [];

/** The place among siblings: the last number of the path that is the id. */
function siblingRank(id: string): number {
  return Number(id.slice(id.lastIndexOf(".") + 1));
}

/** Ids without a number keep the order they arrived in. */
function insertionIndex(siblings: readonly string[], id: string): number {
  const rank = siblingRank(id);
  let index = siblings.length;
  while (index > 0 && siblingRank(siblings[index - 1] as string) > rank) index -= 1;
  return index;
}

const isComplete = (node: TreeNode | undefined): boolean => node?.state === "done";

export class Tree {
  /** The nodes whose plans wait for approval. */
  readonly awaiting = new Set<string>();
  /** The agents that tasks are given to, and whether any of them cost something, as far as that was ever said. */
  readonly agents = new Set<string>();
  hasCosts = false;
  /** Grows when nodes are added or everything is replaced: the shape of the tree changed. */
  shape = 0;
  readonly #nodes: ReadonlyMap<string, TreeNode>;
  readonly #roots: string[] = [];
  readonly #children = new Map<string, string[]>();
  readonly #depths = new Map<string, number>();
  readonly #completeChildren = new Map<string, number>();
  readonly #counts = new Map<DisplayState, number>();

  constructor(nodes: ReadonlyMap<string, TreeNode>) {
    this.#nodes = nodes;
  }

  get size(): number {
    return this.#nodes.size;
  }

  get roots(): readonly string[] {
    return this.#roots;
  }

  node(id: string): TreeNode | undefined {
    return this.#nodes.get(id);
  }

  nodes(): IterableIterator<TreeNode> {
    return this.#nodes.values();
  }

  children(id: string): readonly string[] {
    return this.#children.get(id) ?? NO_CHILDREN;
  }

  depth(id: string): number {
    return this.#depths.get(id) ?? 0;
  }

  completeChildren(id: string): number {
    return this.#completeChildren.get(id) ?? 0;
  }

  count(state: DisplayState): number {
    return this.#counts.get(state) ?? 0;
  }

  /** From the parent up to the root. */
  ancestors(id: string): TreeNode[] {
    const path: TreeNode[] = [];
    let parent = this.#nodes.get(id)?.parent ?? null;
    while (parent !== null && path.length <= this.#nodes.size) {
      const node = this.#nodes.get(parent);
      if (!node) break;
      path.push(node);
      parent = node.parent;
    }
    return path;
  }

  rebuild(): void {
    this.#roots.length = 0;
    const indexes = [this.#children, this.#depths, this.#completeChildren, this.#counts, this.awaiting, this.agents];
    for (const index of indexes) index.clear();
    this.hasCosts = false;
    for (const node of this.#nodes.values()) this.#add(node);
    this.shape += 1;
  }

  /** Follows one change of the node map; see `NodeListener`. */
  update(before: TreeNode | undefined, after: TreeNode): void {
    this.#noteAwaiting(after);
    this.#noteColumns(after);
    if (!before) {
      this.#add(after);
      this.shape += 1;
      return;
    }
    const [shownBefore, shown] = [countedState(before), countedState(after)];
    if (shownBefore === shown) return;
    this.#countState(shownBefore, -1);
    this.#countState(shown, 1);
    this.#countComplete(after.parent, Number(isComplete(after)) - Number(isComplete(before)));
  }

  #add(node: TreeNode): void {
    const siblings = this.#siblings(node.parent);
    siblings.splice(insertionIndex(siblings, node.id), 0, node.id);
    this.#depths.set(node.id, node.parent === null ? 0 : this.depth(node.parent) + 1);
    this.#countState(countedState(node), 1);
    this.#countComplete(node.parent, Number(isComplete(node)));
    this.#noteAwaiting(node);
    this.#noteColumns(node);
  }

  #noteColumns({ agent, cost, tokens_in, tokens_out }: TreeNode): void {
    this.agents.add(agent);
    if (cost === null ? tokens_in + tokens_out > 0 : cost > 0) this.hasCosts = true;
  }

  #noteAwaiting(node: TreeNode): void {
    if (node.awaiting) this.awaiting.add(node.id);
    else this.awaiting.delete(node.id);
  }

  #siblings(parent: string | null): string[] {
    if (parent === null) return this.#roots;
    let siblings = this.#children.get(parent);
    if (!siblings) this.#children.set(parent, (siblings = []));
    return siblings;
  }

  #countState(state: DisplayState | null, change: number): void {
    if (state === null) return;
    this.#counts.set(state, this.count(state) + change);
  }

  #countComplete(parent: string | null, change: number): void {
    if (parent === null || change === 0) return;
    this.#completeChildren.set(parent, this.completeChildren(parent) + change);
  }
}
