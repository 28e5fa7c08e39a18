/**
 * Real clients of the protocol, driven over standard input and output by a test in Python that has
 * the wire and the clock: one JSON object a line in, one a line out.
 */
import { createInterface } from "node:readline";
import { RunStore } from "../../../js/src/store/run_store";

interface Timer {
  readonly at: number;
  readonly action: () => void;
}

interface Order {
  readonly op: "join" | "leave" | "advance" | "deliver" | "subscribe" | "state" | "settle";
  readonly client: string;
  readonly now: number;
  readonly content?: unknown;
  readonly snapshot?: string;
  readonly ids?: readonly string[];
}

let now = 0;
let said: { client: string; message: unknown }[] = [];

class Client {
  readonly view = {};
  readonly store: RunStore;
  timers: Timer[] = [];

  constructor(readonly name: string) {
    this.store = new RunStore({
      send: (message) => Boolean(said.push({ client: name, message: { c: name, ...message } })),
      now: () => now,
      schedule: (delay, action) => void this.timers.push({ at: now + delay, action }),
    });
  }

  runTimers(): void {
    const due = this.timers.filter(({ at }) => at <= now);
    this.timers = this.timers.filter(({ at }) => at > now);
    for (const { action } of due) action();
  }

  get state(): object {
    const { position, state } = this.store.client;
    const counts = Object.fromEntries(
      [...state.nodes.values()].map(({ state: name }) => name).map((name) => [name, this.store.tree.count(name)]),
    );
    return { position, run: state.run, nodes: [...state.nodes.values()], texts: Object.fromEntries(state.texts), counts };
  }
}

const clients = new Map<string, Client>();

/** Snapshots are unpacked in the background: so many turns of the loop are enough for small ones. */
async function breathe(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function obey(order: Order): Promise<unknown> {
  now = order.now;
  const client = clients.get(order.client);
  switch (order.op) {
    case "join": {
      const made = new Client(order.client);
      clients.set(order.client, made);
      made.store.client.start();
      return null;
    }
    case "leave":
      return void clients.delete(order.client);
    case "advance":
      for (const each of clients.values()) each.runTimers();
      return null;
    case "deliver": {
      const bytes = order.snapshot === undefined ? [] : [new Uint8Array(Buffer.from(order.snapshot, "base64"))];
      return void client?.store.receive(order.content, bytes);
    }
    case "subscribe":
      return void client?.store.subscribe(client.view, order.ids ?? []);
    case "settle":
      return void (await breathe());
    case "state":
      return client?.state ?? null;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const orders = JSON.parse(line) as Order[];
  const answers: unknown[] = [];
  for (const order of orders) answers.push((await obey(order)) ?? null);
  await new Promise((resolve) => setImmediate(resolve));
  process.stdout.write(`${JSON.stringify({ answers, said })}\n`);
  said = [];
}
