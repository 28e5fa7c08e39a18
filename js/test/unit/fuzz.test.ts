/**
 * The client against a wire that loses, repeats and reorders, with restarts and late joins: whenever
 * it says where it is, it must have exactly the state the kernel had there.
 */
import { expect, it } from "vitest";
import { ProtocolClient } from "../../src/protocol/client";
import { applyOperation, emptyState, type RunState } from "../../src/protocol/fold";
import type { BrowserMessage, KernelMessage, Operation } from "../../src/protocol/messages";
import { NODE_STATES } from "../../src/protocol/messages";
import { decodeSnapshot } from "../../src/protocol/snapshot";
import { Tree } from "../../src/store/tree";
import { displayState } from "../../src/store/display";
import { snapshotJson } from "./samples";

const ROUNDS = 12;
const FRAMES = 450;
const LOSS = 0.05;
const REPEAT = 0.05;

/** A small random generator with a seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

type Random = () => number;
const pick = <Item>(random: Random, items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item;

/** Time and a wire on which everything arrives late, twice or never. */
class Wire {
  now = 0;
  faulty = true;
  #pending: { at: number; action: () => void }[] = [];
  constructor(readonly random: Random) {}

  after(delay: number, action: () => void): void {
    this.#pending.push({ at: this.now + delay, action });
  }

  transmit(action: () => void): void {
    if (this.faulty && this.random() < LOSS) return;
    this.after(this.random() * (this.faulty ? 120 : 1), action);
    if (this.faulty && this.random() < REPEAT) this.after(this.random() * 300, action);
  }

  run(milliseconds: number): void {
    const until = this.now + milliseconds;
    for (;;) {
      this.#pending.sort((first, second) => first.at - second.at);
      const next = this.#pending[0];
      if (!next || next.at > until) break;
      this.#pending.shift();
      this.now = Math.max(this.now, next.at);
      next.action();
    }
    this.now = until;
  }
}

class Kernel {
  state: RunState = emptyState();
  epoch = 1;
  sequence = 0;
  operations = 0;
  readonly history = new Map<string, string>();
  readonly full = new Map<string, string>();
  subscribed: readonly string[] = [];
  constructor(
    readonly wire: Wire,
    readonly deliver: (message: KernelMessage, snapshot?: unknown) => void,
  ) {
    this.#grow();
    this.#remember();
  }

  step(): void {
    const { random } = this.wire;
    if (random() < 0.004) return this.#restart();
    const ops = Array.from({ length: 1 + Math.floor(random() * 7) }, () => this.#operation());
    this.sequence += 1;
    this.#remember();
    this.#send({ t: "p", e: this.epoch, s: this.sequence, n: this.wire.now / 1000, ops });
  }

  heartbeat(): void {
    this.#send({ t: "h", e: this.epoch, s: this.sequence, n: this.wire.now / 1000 });
  }

  receive(message: BrowserMessage): void {
    if (message.t === "sync") this.#sendSnapshot();
    if (message.t === "sub") this.#subscribe(message.ids);
  }

  #subscribe(ids: readonly string[]): void {
    this.subscribed = ids;
    const ops = ids.map((id): Operation => ["x", id, 0, this.full.get(id) ?? ""]);
    this.sequence += 1;
    this.#remember();
    this.#send({ t: "p", e: this.epoch, s: this.sequence, n: 0, ops });
  }

  #sendSnapshot(): void {
    const position = { e: this.epoch, s: this.sequence };
    const json = snapshotJson(this.state, position);
    this.wire.transmit(() => this.deliver({ t: "s", ...position }, json));
  }

  #send(message: KernelMessage): void {
    this.wire.transmit(() => this.deliver(message));
  }

  #restart(): void {
    this.epoch += 1;
    this.sequence = Math.floor(this.wire.random() * 3);
    this.state = emptyState();
    this.full.clear();
    this.#grow();
    this.#remember();
  }

  #operation(): Operation {
    this.operations += 1;
    const kind = this.wire.random();
    if (kind < 0.25) return this.#grow();
    if (kind < 0.75) return this.#patch();
    return kind < 0.9 ? this.#write() : this.#fold(["r", { tokens: this.operations }]);
  }

  #grow(): Operation {
    const ids = [...this.state.nodes.keys()];
    const parent = ids.length === 0 ? null : pick(this.wire.random, ids);
    const siblings = [...this.state.nodes.values()].filter((each) => each.parent === parent).length;
    const id = parent === null ? "0" : `${parent}.${siblings}`;
    return this.#fold(["a", { id, parent, title: `Task ${id}` }]);
  }

  #patch(): Operation {
    const { random } = this.wire;
    const id = pick(random, [...this.state.nodes.keys()]);
    return this.#fold(["p", id, { state: pick(random, NODE_STATES), tokens_in: Math.floor(random() * 1000) }]);
  }

  #write(): Operation {
    const { random } = this.wire;
    const ids = this.subscribed.filter((id) => this.state.nodes.has(id));
    const id = ids.length > 0 ? pick(random, ids) : "0";
    const before = this.full.get(id) ?? "";
    const retry = random() < 0.02;
    const text = `word${this.operations} `;
    const offset = retry ? 0 : before.length;
    this.full.set(id, before.slice(0, offset) + text);
    return ["x", id, offset, text];
  }

  #fold(operation: Operation): Operation {
    applyOperation(this.state, operation, () => undefined);
    return operation;
  }

  #remember(): void {
    this.history.set(`${this.epoch}:${this.sequence}`, picture(this.state));
  }
}

const picture = (state: RunState): string => JSON.stringify([state.run, [...state.nodes.values()]]);

function expectCounts(tree: Tree): void {
  const expected = new Map<string, number>();
  for (const node of tree.nodes()) {
    const state = displayState(node);
    expected.set(state, (expected.get(state) ?? 0) + 1);
  }
  for (const state of [...NODE_STATES, "cached"] as const) expect(tree.count(state)).toBe(expected.get(state) ?? 0);
}

function play(seed: number): number {
  const wire = new Wire(generator(seed));
  const holder: { client?: ProtocolClient } = {};
  const kernel = new Kernel(wire, (message, json) => {
    const { client } = holder;
    if (!client) return;
    if (message.t === "p" && "ops" in message) client.frame(message);
    if (message.t === "h") client.heartbeat(message);
    if (message.t !== "s") return;
    const finish = client.expectSnapshot();
    wire.after(wire.random() * 30, () => finish(decodeSnapshot(json)));
  });
  const send = (message: BrowserMessage): void => wire.transmit(() => kernel.receive(message));
  const watched = ["0", "0.0", "0.1"];
  const client: ProtocolClient = new ProtocolClient({
    send,
    now: () => wire.now,
    schedule: (delay, action) => wire.after(delay, action),
    nodeChanged: (before, after) => tree.update(before, after),
    replaced: () => {
      tree.rebuild();
      send({ t: "sub", ids: watched });
    },
    changed: () => undefined,
  });
  const tree = new Tree(client.state.nodes);

  const joins = Math.floor(wire.random() * 100);
  for (let count = 0; count < FRAMES; count += 1) {
    if (count === joins) {
      holder.client = client;
      client.start();
    }
    kernel.step();
    if (count % 40 === 0) kernel.heartbeat();
    wire.run(50 * wire.random());
    if (count % 10 === 0 && client.hasState) {
      expect(picture(client.state)).toBe(kernel.history.get(`${client.position.e}:${client.position.s}`));
    }
  }
  wire.run(2000);
  wire.faulty = false;
  for (let beat = 0; beat < 5; beat += 1) {
    kernel.heartbeat();
    wire.run(2000);
  }
  send({ t: "sub", ids: watched });
  wire.run(2000);
  expect(client.position).toEqual({ e: kernel.epoch, s: kernel.sequence });
  expect(picture(client.state)).toBe(picture(kernel.state));
  for (const id of watched) expect(client.state.texts.get(id) ?? "").toBe(kernel.full.get(id) ?? "");
  expectCounts(tree);
  return kernel.operations;
}

it(`ends up where the kernel is, whatever the wire does`, () => {
  let operations = 0;
  for (let seed = 1; seed <= ROUNDS; seed += 1) operations += play(seed);
  expect(operations).toBeGreaterThanOrEqual(20_000);
});
