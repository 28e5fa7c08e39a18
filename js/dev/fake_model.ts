/**
 * A kernel and an anywidget model in one, for the page: answers what the widget asks.
 */
import { EMPTY_NODE, type BrowserMessage, type Operation, type Run, type TreeNode } from "../src/protocol/messages";
import type { WidgetModel } from "../src/model";

type Handler = (...values: never[]) => void;

export interface FakeRun {
  readonly run: Run;
  readonly nodes: readonly TreeNode[];
  readonly now: number;
  readonly output: string;
}

async function gzip(text: string): Promise<DataView> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new DataView(await new Response(stream).arrayBuffer());
}

function columns(nodes: readonly TreeNode[]): Record<string, unknown[]> {
  const fields = Object.keys(EMPTY_NODE) as (keyof TreeNode)[];
  return Object.fromEntries(fields.map((field) => [field, nodes.map((node) => node[field])]));
}

export class FakeModel implements WidgetModel {
  /** All that the widget said, for tests to look at. */
  readonly sent: BrowserMessage[] = [];
  readonly #handlers = new Map<string, Set<Handler>>();
  readonly #traits: Record<string, unknown>;
  readonly #run: FakeRun;
  #sequence = 0;

  constructor(run: FakeRun, traits: Record<string, unknown> = {}) {
    this.#run = run;
    const { run_id, title } = run.run;
    this.#traits = { _snap: null, _meta: { protocol: 1, run_id, title }, theme: "auto", height: 800, ...traits };
  }

  get(name: string): unknown {
    return this.#traits[name];
  }

  on(event: string, handler: Handler): void {
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers.add(handler));
  }

  off(event: string, handler: Handler): void {
    this.#handlers.get(event)?.delete(handler);
  }

  send(content: unknown): void {
    const message = content as BrowserMessage;
    this.sent.push(message);
    setTimeout(() => void this.#answer(message), 5);
  }

  set(name: string, value: unknown): void {
    this.#traits[name] = value;
    this.#emit(`change:${name}`);
  }

  frame(ops: readonly Operation[], now = this.#run.now): void {
    this.#sequence += 1;
    this.#emit("msg:custom", { t: "p", e: 1, s: this.#sequence, n: now, ops }, []);
  }

  async #answer(message: BrowserMessage): Promise<void> {
    if (message.t === "sync") await this.#sendSnapshot();
    if (message.t === "get") for (const field of message.fields) this.#sendDetail(message.req, message.id, field);
    if (message.t === "cmd") this.#obey(message.req, message.op);
  }

  async #sendSnapshot(): Promise<void> {
    const { run, nodes, now } = this.#run;
    const snapshot = { v: 1, e: 1, s: this.#sequence, n: now, run, nodes: columns(nodes) };
    this.#emit("msg:custom", { t: "s", e: 1, s: this.#sequence }, [await gzip(JSON.stringify(snapshot))]);
  }

  #sendDetail(req: number, id: string, field: string): void {
    const title = this.#run.nodes.find((node) => node.id === id)?.title ?? "";
    const data: Record<string, unknown> = {
      output: this.#run.output,
      prompt: [{ role: "system", content: "You are a careful analyst." }, { role: "user", content: title }],
      plan: { decision: "RECURSE", reason: "Three sources of evidence differ.", steps: [{ title: "Read", depends_on: [] }] },
      tools: [{ name: "search", arguments: { query: title }, result: "12 results", ok: true, started: 21, ended: 23.5 }],
      events: [{ at: 17, type: "planned", text: "3 tasks" }, { at: 66, type: "synthesised", text: "" }],
    };
    this.#emit("msg:custom", { t: "d", req, id, field, data: data[field] ?? null }, []);
  }

  #obey(req: number, op: string): void {
    this.#emit("msg:custom", { t: "ack", req, ok: true }, []);
    const can = op === "pause" ? ["resume", "cancel"] : ["pause", "cancel"];
    if (op === "pause") this.frame([["r", { status: "paused", can }]]);
    if (op === "resume") this.frame([["r", { status: "running", can }]]);
    if (op === "cancel") this.frame([["r", { status: "cancelled", elapsed: this.#run.now, can: [] }]]);
  }

  #emit(event: string, ...values: unknown[]): void {
    for (const handler of this.#handlers.get(event) ?? []) (handler as (...values: unknown[]) => void)(...values);
  }
}
