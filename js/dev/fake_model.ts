/**
 * A kernel and an anywidget model in one, for the page: answers what the widget asks.
 */
import { EMPTY_NODE, type BrowserMessage, type Hit, type Operation, type Run, type TreeNode } from "../src/protocol/messages";
import type { WidgetModel } from "../src/model";

type Command = Extract<BrowserMessage, { t: "cmd" }>;
type Question = Extract<BrowserMessage, { t: "get" }>;
type Search = Extract<BrowserMessage, { t: "find" }>;
type Handler = (...values: never[]) => void;

export interface FakeRun {
  readonly run: Run;
  readonly nodes: readonly TreeNode[];
  readonly now: number;
  readonly output: string;
  /** Text for all that is fetched. */
  readonly spoiled?: string;
}

/** Every detail with one text in all its places. */
function spoiledDetails(text: string): Record<string, unknown> {
  return {
    output: text,
    task: text,
    prompt: [{ role: text, content: text }],
    plan: { decision: text, thoughts: text, sub_tasks: [{ description: text, agent: text, depends_on: [0, text] }], [text.slice(0, 99)]: text },
    tools: [{ name: text, arguments: { [text.slice(0, 99)]: text }, result: text, ok: false, started: 21, ended: 23.5 }],
    events: [{ at: 17, type: text, text }],
    quotes: [{ quote: text, source: text, anchor: text, state: text, node: text, cited: text, found: text, before: text, after: text }],
    approval: { request: "a1", kind: "plan", plan: { decision: text, thoughts: text, sub_tasks: [{ description: text, agent: text }] }, calls: [{ name: text, arguments: { [text.slice(0, 99)]: text } }] },
  };
}

/** What the kernel says of `⟦"rose by 5 %"|report.pdf p.12|verified⟧` and of a quote that is altered. */
const QUOTES = [
  { quote: "rose by 5 %", source: "report.pdf", anchor: "p.12", state: "verified", node: "0.1", cited: "report.pdf p.12", before: "In 2024 prices ", found: "rose by 5 %", after: " in all." },
  { quote: "fell by 6 %", source: "notes.md", anchor: "§Prices", state: "altered", node: "0", cited: "notes.md", before: "They ", found: "fell by 7 %", after: " later." },
];

/** One cell of a code node. */
const CELL = {
  code: "parts = [text[at:at + 4000] for at in range(0, len(text), 4000)]\nfound = llm_query_batched([f'Which names are in {part}?' for part in parts])\n".repeat(4),
  output: "3 of 200 parts have none\n".repeat(6),
  value: "200",
  error: null,
  note: "",
  seconds: 1.25,
};

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
  /** What the kernel says no to, and why. */
  readonly refusals: Record<string, string> = {};
  readonly #began = performance.now();
  /** The text of a part of the widget; none as it is. */
  part: (name: string) => Promise<string> = () => Promise.reject(new Error("there are no parts"));
  #run: FakeRun;
  #epoch = 1;
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

  /** The run's clock, which goes on. */
  get now(): number {
    return this.#run.now + (performance.now() - this.#began) / 1000;
  }

  /** A sign of life, as a kernel gives every two seconds. */
  beat(): void {
    this.#emit("msg:custom", { t: "h", e: this.#epoch, s: this.#sequence, n: this.now }, []);
  }

  frame(ops: readonly Operation[], now = this.now): void {
    this.#sequence += 1;
    this.#emit("msg:custom", { t: "p", e: this.#epoch, s: this.#sequence, n: now, ops }, []);
  }

  /** Another run in the place of this one. */
  async restart(run: Partial<Run>, nodes: readonly TreeNode[]): Promise<void> {
    this.#run = { ...this.#run, run: { ...this.#run.run, ...run }, nodes };
    this.#epoch += 1;
    this.#sequence = 0;
    await this.#sendSnapshot();
  }

  async #answer(message: BrowserMessage): Promise<void> {
    if (message.t === "sync") await this.#sendSnapshot();
    if (message.t === "get") for (const field of message.fields) this.#sendDetail(message, field);
    if (message.t === "find") this.#find(message);
    if (message.t === "part") await this.#sendPart(message.req, message.name, message.c);
    if (message.t === "cmd") await this.#obey(message);
  }

  async #sendPart(req: number, name: string, c: string | undefined): Promise<void> {
    const text = await this.part(name).catch(() => null);
    if (text !== null) this.#emit("msg:custom", { t: "part", req, c, name }, [await gzip(text)]);
  }

  /** The output is that of all nodes; the prompt has the title of the root. */
  #find({ req, c, words }: Search): void {
    const has = (text: string): boolean => words.every((word) => text.toLowerCase().includes(word));
    const around = (text: string): string => {
      const at = Math.max(0, text.toLowerCase().indexOf(words[0] ?? ""));
      return text.slice(Math.max(0, at - 20), at + 60).replace(/\s+/g, " ");
    };
    const { nodes, output } = this.#run;
    const prompt = nodes[0]?.title ?? "";
    const hits = nodes.flatMap(({ id, state }): Hit[] => {
      if (state === "done" && has(output)) return [[id, "output", around(output)]];
      return has(prompt) ? [[id, "prompt", around(prompt)]] : [];
    });
    this.#emit("msg:custom", { t: "found", req, c, hits: hits.slice(0, 3), done: false }, []);
    this.#emit("msg:custom", { t: "found", req, c, hits: hits.slice(3), done: true }, []);
  }

  async #sendSnapshot(): Promise<void> {
    const { run, nodes } = this.#run;
    const snapshot = { v: 1, e: this.#epoch, s: this.#sequence, n: this.now, run, nodes: columns(nodes) };
    this.#emit("msg:custom", { t: "s", e: this.#epoch, s: this.#sequence }, [await gzip(JSON.stringify(snapshot))]);
  }

  #sendDetail({ req, id, c }: Question, field: string): void {
    const node = this.#run.nodes.find((each) => each.id === id);
    const title = node?.title ?? "";
    const parts = this.#run.nodes.filter((node) => node.parent === id);
    const sub_tasks = parts.map((part, index) => ({
      description: part.title,
      agent: part.agent,
      depends_on: index === 2 ? [0] : [],
    }));
    const data: Record<string, unknown> = {
      output: this.#run.output,
      prompt: [{ role: "system", content: "You are a careful analyst." }, { role: "user", content: title }],
      task: title,
      plan: parts.length > 0 ? { decision: "RECURSE", thoughts: "Three sources of evidence differ.", sub_tasks } : node?.decision === "EXECUTE" ? { decision: "EXECUTE", sub_tasks } : null,
      tools: [{ name: "search", arguments: { query: title }, result: "12 results", ok: true, asks: node?.awaiting !== "", started: 21, ended: 23.5 }],
      quotes: this.#run.output.includes("⟦") ? QUOTES : null,
      events: [{ at: 17, type: "planned", text: "3 tasks" }, { at: 66, type: "synthesised", text: "" }],
    };
    if (node?.decision === "PROGRAM") data["cells"] = Array.from({ length: 20 }, () => CELL);
    if (node?.awaiting) {
      const tools = node.decision !== "RECURSE";
      const calls = tools ? [{ name: "search", arguments: { query: title } }] : [];
      data["approval"] = { request: node.awaiting, kind: tools ? "calls" : "plan", plan: tools ? null : data["plan"], calls };
    }
    const { spoiled } = this.#run;
    const shown = spoiled === undefined ? data : spoiledDetails(spoiled);
    this.#emit("msg:custom", { t: "d", req, c, id, field, data: shown[field] ?? null }, []);
  }

  async #obey({ req, op, c, id = "0" }: Command): Promise<void> {
    const refusal = this.refusals[op];
    if (refusal !== undefined) return this.#emit("msg:custom", { t: "ack", req, c, ok: false, error: refusal }, []);
    const answers: Record<string, () => unknown> = {
      preview: () => this.#preview(id),
      estimate: () => this.#estimate(),
      runs: () => this.otherRuns,
      compare: () => this.#compared(),
      outputs: () => ({ old: this.#run.output.replace("165", "158").replace("wide", "narrow"), new: this.#run.output }),
    };
    this.#emit("msg:custom", { t: "ack", req, c, ok: true, data: answers[op]?.() ?? null }, []);
    const can = op === "pause" ? ["resume", "cancel"] : ["pause", "cancel"];
    if (op === "pause") this.frame([["r", { status: "paused", can }]]);
    if (op === "resume") this.frame([["r", { status: "running", can }]]);
    if (op === "cancel" && id === "0") this.frame([["r", { status: "cancelled", elapsed: this.#run.now, can: [] }]]);
    if (op === "cancel") this.frame([["p", id, { state: "cancelled" }]]);
    if (op === "approve" || op === "reject") this.frame([["p", id, { awaiting: "" }]]);
    if (["edit", "retry", "answer"].includes(op)) await this.fork();
  }

  /** The runs that are saved beside this one. */
  otherRuns: object[] = [
    { key: "market.1", name: "market.1", status: "done", when: 1_780_000_000 },
    { key: "storage", name: "storage", status: "failed", when: 1_770_000_000 },
  ];

  /** Against a run that had one task more and one less, and another result in some. */
  #compared(): object {
    const side = (node: TreeNode, factor: number): object => ({
      id: node.id,
      state: node.state,
      mark: factor === 1 ? "replayed" : "",
      tokens: Math.round((node.tokens_in + node.tokens_out) * factor),
      cost: node.cost === null ? null : node.cost * factor,
      seconds: 12,
    });
    const rows = this.#run.nodes.map((node, index) => {
      const kind = ["same", "same", "same", "changed", "same", "added", "same", "removed"][index % 8] as string;
      return {
        kind,
        what: kind === "changed" ? ["task", "result"] : [],
        depth: node.id.split(".").length - 1,
        title: node.title,
        old: kind === "added" ? null : side(node, kind === "changed" ? 0.8 : 1),
        new: kind === "removed" ? null : side(node, kind === "changed" ? 1.2 : 1),
      };
    });
    const total = { status: "done", nodes: rows.length, calls: 71, tokens: 131_000, cost: 0.31 };
    const counts = { omitted: 0, changed: 7, added: 6, removed: 6, reused: 36 };
    return { rows, ...counts, old: { ...total, name: "market.1" }, new: { ...total, name: "market", cost: 0.28, calls: 9 } };
  }

  #estimate(): object {
    const amounts = (calls: number): object => ({ calls, total_tokens: calls * 1500, cost_usd: calls * 0.01 });
    return { least: amounts(5), most: amounts(21) };
  }

  /** The node and all above it, as if nothing else built on it. */
  #preview(id: string): object {
    const nodes = this.#run.nodes.filter((node) => id === node.id || id.startsWith(`${node.id}.`)).map((node) => node.id);
    return { nodes, calls: nodes.length * 2, tokens: nodes.length * 3100, cost_usd: nodes.length * 0.011 };
  }

  /** A higher epoch, as after an edit: everything is done at once. */
  async fork(): Promise<void> {
    this.#epoch += 1;
    this.#sequence = 0;
    const nodes = this.#run.nodes.map((node) => ({ ...node, state: "done" as const, mark: "replayed" as const, awaiting: "" }));
    const run = { ...this.#run.run, status: "done" as const, elapsed: this.#run.now, forked: `edited from ${this.#run.run.run_id}` };
    this.#run = { ...this.#run, run, nodes };
    await this.#sendSnapshot();
  }

  #emit(event: string, ...values: unknown[]): void {
    for (const handler of this.#handlers.get(event) ?? []) (handler as (...values: unknown[]) => void)(...values);
  }
}
