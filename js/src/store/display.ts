/**
 * What a node is shown as: its state, except that a result which no model gave for it shows where it came from.
 */
import type { NodeState, TreeNode } from "../protocol/messages";

export type DisplayState = NodeState | "cached" | "reused" | "edited";

/**
 * A node that has started and waits (for admission, the next attempt, an approval) is not at work; one whose plan was
 * rejected is planned again.
 */
export function displayState(node: TreeNode): DisplayState {
  if (node.state === "done" && isAnsweredByHand(node)) return "edited";
  if (node.state === "done" && node.mark !== "") return node.mark === "replayed" ? "reused" : "cached";
  if (node.state === "waiting" && node.decision === null && node.phases.at(-1)?.[0] === "plan") return "planning";
  return isActive(node) && node.phases.at(-1)?.[0] === "wait" ? "waiting" : node.state;
}

/** Whether a person wrote its result; one whose task or plan was edited has its result from a model. */
export const isAnsweredByHand = ({ edited }: TreeNode): boolean => edited.includes("result");

const FINISHED: ReadonlySet<NodeState> = new Set(["done", "failed", "cancelled", "superseded"]);
const ACTIVE: ReadonlySet<NodeState> = new Set(["planning", "running", "synthesizing"]);

/** Whether a state counts as done, wherever the answer came from. */
export const COMPLETE: readonly DisplayState[] = ["done", "reused", "cached", "edited"];

export const isFinished = (node: TreeNode): boolean => FINISHED.has(node.state);
export const isActive = (node: TreeNode): boolean => ACTIVE.has(node.state);

/** Remarks about a node: why it failed, that it was limited. The node's own id is omitted. */
export function noteOf({ id, note }: TreeNode): string {
  const prefix = `node ${id}: `;
  return note.startsWith(prefix) ? note.slice(prefix.length) : note;
}

const HANDED_UP = /^\d+ of \d+ parts failed(?=: )/;

/** Why it failed, for its row; the failure of a sub-task is shown in the row of that sub-task only. */
export function reasonOf(node: TreeNode): string {
  const note = noteOf(node);
  return HANDED_UP.exec(note)?.[0] ?? note;
}

const PASSED_ON = /^(\d+ of \d+ parts failed: |node \S+ depends on node \S+, which failed)/;

/** Whether it failed by itself: a failure that a sub-task or an earlier task passed on is no other cause. */
export const isCause = (node: TreeNode): boolean => node.state === "failed" && !PASSED_ON.test(noteOf(node));

/** The state in which a node is counted; null for a failure that is counted where it began. */
export function countedState(node: TreeNode): DisplayState | null {
  const state = displayState(node);
  return state === "failed" && !isCause(node) ? null : state;
}

/** The reasons of failures with how often each occurred, the most frequent first. */
export function causesOf(nodes: Iterable<TreeNode>): [reason: string, times: number][] {
  const causes = new Map<string, number>();
  for (const node of nodes) {
    if (isCause(node)) causes.set(reasonOf(node), (causes.get(reasonOf(node)) ?? 0) + 1);
  }
  return [...causes].sort(([, first], [, second]) => second - first);
}

/** Whether calls of tools wait for approval; else it is a plan that does. */
export const asksForTools = ({ awaiting, decision }: TreeNode): boolean =>
  awaiting !== "" && decision !== "RECURSE" && decision !== "PROGRAM";

export interface StateGroup {
  readonly name: string;
  readonly icon: DisplayState;
  readonly states: readonly DisplayState[];
}

/** The chips of the toolbar: counts and filters at once. */
export const STATE_GROUPS: readonly StateGroup[] = [
  { name: "done", icon: "done", states: ["done"] },
  { name: "reused", icon: "reused", states: ["reused"] },
  { name: "cached", icon: "cached", states: ["cached"] },
  { name: "edited", icon: "edited", states: ["edited"] },
  { name: "active", icon: "running", states: ["running", "planning", "synthesizing"] },
  { name: "waiting", icon: "waiting", states: ["waiting"] },
  { name: "pending", icon: "pending", states: ["pending"] },
  { name: "failed", icon: "failed", states: ["failed"] },
  { name: "cancelled", icon: "cancelled", states: ["cancelled"] },
  { name: "superseded", icon: "superseded", states: ["superseded"] },
];

/** From left to right in the progress bar. */
export const PROGRESS_ORDER: readonly DisplayState[] = [
  "done",
  "reused",
  "cached",
  "edited",
  "running",
  "synthesizing",
  "planning",
  "waiting",
  "pending",
  "failed",
  "cancelled",
  "superseded",
];
