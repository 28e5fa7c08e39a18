/**
 * The words the kernel and the browser exchange.
 *
 * Only types, defaults and the narrowing of untrusted values live here. Field names are those of
 * the wire (snake case), so that a frame in the network panel reads like the code.
 */

export const NODE_STATES = [
  "pending",
  "planning",
  "running",
  "waiting",
  "synthesizing",
  "done",
  "failed",
  "cancelled",
  "superseded",
] as const;
export type NodeState = (typeof NODE_STATES)[number];

export type RunStatus = "running" | "paused" | "done" | "failed" | "cancelled";

/** Seconds since the run began; a null end is still open. */
export type Pause = readonly [start: number, end: number | null];

export type PhaseKind = "plan" | "wait" | "execute" | "synthesize" | "failed" | "replayed";

/** Seconds since the run began; a null end is still open. */
export type Phase = readonly [kind: PhaseKind, start: number, end: number | null];

export interface TreeNode {
  readonly id: string;
  readonly parent: string | null;
  readonly title: string;
  readonly agent: string;
  readonly model: string;
  readonly state: NodeState;
  readonly mark: "" | "cached" | "replayed";
  readonly decision: "EXECUTE" | "RECURSE" | "PROGRAM" | null;
  readonly depends_on: readonly string[];
  readonly tokens_in: number;
  readonly tokens_out: number;
  /** Dollars; null when the price is unknown. */
  readonly cost: number | null;
  readonly attempts: number;
  readonly phases: readonly Phase[];
  readonly note: string;
  /** The end of the text being streamed; empty when nothing is. */
  readonly tail: string;
  /** The request that waits for a decision of the reader (a plan, or tool calls); empty if none does. */
  readonly awaiting: string;
  /** Whether the answer, or the plan, was cut off; the note says by what. */
  readonly ended_early: boolean;
  /** The function of a code node's cell that asked for it; empty for other nodes. */
  readonly query: string;
  /** Of a code node: changes when a cell is written and when it has run. */
  readonly cells: number;
  /** What a person changed of it: "result edited by hand"; empty when nothing. */
  readonly edited: string;
}

export interface Budget {
  readonly usd?: number;
  readonly tokens?: number;
  readonly calls?: number;
  readonly seconds?: number;
}

/** An engine as an expression, further arguments of its `solve`, and a line that has to be filled in first, if any. */
export interface PythonCode {
  readonly engine: string;
  readonly solve: string;
  readonly note: string;
}

export interface Run {
  readonly run_id: string;
  readonly title: string;
  readonly status: RunStatus;
  readonly started: number;
  /** Seconds; null while the run is under way. */
  readonly elapsed: number | null;
  readonly tokens: number;
  /** Tokens of results that come from another run, which paid for them. */
  readonly reused_tokens: number;
  readonly cost: number | null;
  readonly calls: number;
  /** Those of this execution. */
  readonly calls_now: number;
  readonly budget: Budget;
  readonly model: string;
  /** The code around a task; see `ui/python.ts`. */
  readonly python: PythonCode;
  readonly notice: string;
  readonly checkpoint: string;
  readonly error: string;
  /** The commands the kernel accepts now. */
  readonly can: readonly string[];
  /** Names what answered if it was not a language model. */
  readonly label: string;
  /** Remarks about the run: changed variables, versions. */
  readonly notes: readonly string[];
  /** For a fork: the run and node it was forked from. */
  readonly forked: string;
  /** Seconds of work over all executions; null while the run is under way. */
  readonly worked: number | null;
  /** Seconds of work of earlier executions. */
  readonly worked_before: number;
  /** Identifies what a finished run shows; empty while it is under way. */
  readonly version: string;
  /** The answer is shown below the tree. */
  readonly answers: boolean;
  /** When the run was paused; empty from a kernel that does not say. */
  readonly pauses: readonly Pause[];
  /** A copy without a kernel: no requests, no commands. */
  readonly readonly: boolean;
}

export type Operation =
  | readonly ["a", Partial<TreeNode> & { readonly id: string }]
  | readonly ["p", string, Partial<TreeNode>]
  | readonly ["x", string, number, string]
  | readonly ["r", Partial<Run>];

/** Frames are ordered by epoch, then by sequence number. */
export interface Position {
  readonly e: number;
  readonly s: number;
}

export interface Frame extends Position {
  readonly t: "p";
  readonly n: number;
  readonly ops: readonly Operation[];
}

/** A large frame: `z` is Base64 of gzip of the JSON of its operations. */
export interface PackedFrame extends Position {
  readonly t: "p";
  readonly n: number;
  readonly z: string;
}

export interface Heartbeat extends Position {
  readonly t: "h";
  readonly n: number;
}

export interface SnapshotNotice extends Position {
  readonly t: "s";
}

/** All pages that show a run receive every answer, and each numbers its own requests: `c` is the page. */
interface Answer {
  readonly req: number;
  /** As it was in the request; absent from a kernel that does not say. */
  readonly c?: string;
}

export interface DetailReply extends Answer {
  readonly t: "d";
  readonly id: string;
  readonly field: DetailField;
  readonly data: unknown;
}

export interface Acknowledgement extends Answer {
  readonly t: "ack";
  readonly ok: boolean;
  readonly error?: string;
  readonly data?: unknown;
}

/** A part of the widget; its text comes in a buffer, compressed. */
export interface PartReply extends Answer {
  readonly t: "part";
  readonly name: string;
}

/** Where a node matches a search: the field, and the text around the first word that was found in it. */
export type Hit = readonly [id: string, field: string, excerpt: string];

/** Some of the nodes that a search found; `done` after the last. */
export interface FoundReply extends Answer {
  readonly t: "found";
  readonly hits: readonly Hit[];
  readonly done: boolean;
}

export type KernelMessage = Frame | PackedFrame | Heartbeat | SnapshotNotice | DetailReply | Acknowledgement | PartReply | FoundReply;

/** The fields that have a tab of their own. */
export const TAB_FIELDS = ["output", "quotes", "cells", "prompt", "plan", "tools", "events"] as const;
export type TabField = (typeof TAB_FIELDS)[number];

/**
 * Fields that are fetched when they are shown; a title is cut, `task` is the whole text, `approval` is the request that
 * waits, with what it is about.
 */
export type DetailField = TabField | "task" | "before" | "approval";

export type BrowserMessage = {
  /** The sending page, added when the message is sent. A snapshot is for all pages, so its request has none. */
  readonly c?: string;
} & (
  | { readonly t: "sync"; readonly e: number; readonly s: number }
  | { readonly t: "sub"; readonly ids: readonly string[] }
  | { readonly t: "get"; readonly req: number; readonly id: string; readonly fields: readonly DetailField[] }
  | { readonly t: "part"; readonly req: number; readonly name: string }
  | { readonly t: "find"; readonly req: number; readonly words: readonly string[] }
  | { readonly t: "cmd"; readonly req: number; readonly op: string; readonly id?: string; readonly args: object }
);

/** The whole run at one position, with nodes in an order where parents come first. */
export interface Snapshot extends Position {
  readonly n: number;
  readonly run: Run;
  readonly nodes: readonly TreeNode[];
}

export const EMPTY_NODE: TreeNode = {
  id: "",
  parent: null,
  title: "",
  agent: "",
  model: "",
  state: "pending",
  mark: "",
  decision: null,
  depends_on: [],
  tokens_in: 0,
  tokens_out: 0,
  cost: null,
  attempts: 0,
  phases: [],
  note: "",
  tail: "",
  awaiting: "",
  ended_early: false,
  query: "",
  cells: 0,
  edited: "",
};

export const EMPTY_RUN: Run = {
  run_id: "",
  title: "",
  status: "running",
  started: 0,
  elapsed: null,
  tokens: 0,
  reused_tokens: 0,
  cost: null,
  calls: 0,
  calls_now: 0,
  budget: {},
  model: "",
  python: { engine: 'RecursiveEngine("offline")', solve: "", note: "" },
  notice: "",
  checkpoint: "",
  error: "",
  can: [],
  label: "",
  notes: [],
  forked: "",
  worked: null,
  worked_before: 0,
  version: "",
  answers: false,
  pauses: [],
  readonly: false,
};

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

function hasPosition(value: Record<string, unknown>): boolean {
  return isNumber(value["e"]) && isNumber(value["s"]);
}

const REQUIREMENTS: Record<KernelMessage["t"], (value: Record<string, unknown>) => boolean> = {
  p: (value) => hasPosition(value) && isNumber(value["n"]) && (Array.isArray(value["ops"]) || typeof value["z"] === "string"),
  h: (value) => hasPosition(value) && isNumber(value["n"]),
  s: hasPosition,
  d: (value) => isNumber(value["req"]) && typeof value["field"] === "string",
  ack: (value) => isNumber(value["req"]),
  part: (value) => isNumber(value["req"]) && typeof value["name"] === "string",
  found: (value) => isNumber(value["req"]) && Array.isArray(value["hits"]),
};

/** Narrows what arrived; null for anything a newer kernel may say that this client does not know. */
export function parseMessage(value: unknown): KernelMessage | null {
  if (!isRecord(value)) return null;
  const kind = value["t"];
  if (typeof kind !== "string" || !Object.hasOwn(REQUIREMENTS, kind)) return null;
  return REQUIREMENTS[kind as KernelMessage["t"]](value) ? (value as unknown as KernelMessage) : null;
}
