/**
 * What a node is shown as: its state, except that a result which cost nothing shows where it came from.
 */
import type { NodeState, TreeNode } from "../protocol/messages";

export type DisplayState = NodeState | "cached";

export function displayState(node: TreeNode): DisplayState {
  return node.state === "done" && node.mark !== "" ? "cached" : node.state;
}

const FINISHED: ReadonlySet<NodeState> = new Set(["done", "failed", "cancelled", "superseded"]);
const ACTIVE: ReadonlySet<NodeState> = new Set(["planning", "running", "synthesizing"]);

export const isFinished = (node: TreeNode): boolean => FINISHED.has(node.state);
export const isActive = (node: TreeNode): boolean => ACTIVE.has(node.state);

/** What is worth knowing of a node: why it failed, that it was limited. Where it stands nobody needs to be told its id. */
export function noteOf({ id, note }: TreeNode): string {
  const prefix = `node ${id}: `;
  return note.startsWith(prefix) ? note.slice(prefix.length) : note;
}

export interface StateGroup {
  readonly name: string;
  readonly icon: DisplayState;
  readonly states: readonly DisplayState[];
}

/** The chips of the toolbar: counts and filters at once. */
export const STATE_GROUPS: readonly StateGroup[] = [
  { name: "done", icon: "done", states: ["done"] },
  { name: "cached", icon: "cached", states: ["cached"] },
  { name: "active", icon: "running", states: ["running", "planning", "synthesizing"] },
  { name: "waiting", icon: "waiting", states: ["waiting"] },
  { name: "pending", icon: "pending", states: ["pending"] },
  { name: "failed", icon: "failed", states: ["failed"] },
  { name: "stopped", icon: "cancelled", states: ["cancelled", "superseded"] },
];

/** From left to right in the progress bar. */
export const PROGRESS_ORDER: readonly DisplayState[] = [
  "done",
  "cached",
  "running",
  "synthesizing",
  "planning",
  "waiting",
  "pending",
  "failed",
  "cancelled",
  "superseded",
];
