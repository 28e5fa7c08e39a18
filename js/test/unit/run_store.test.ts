/** Two pages that show one run, at one kernel: each hears all that the kernel says. */
import { describe, expect, it, vi } from "vitest";
import type { BrowserMessage } from "../../src/protocol/messages";
import { RunStore } from "../../src/store/run_store";
import { node } from "./samples";

type Request = Extract<BrowserMessage, { t: "cmd" | "get" }>;

function page() {
  const sent: BrowserMessage[] = [];
  const store = new RunStore({ send: (message) => sent.push(message) > 0, now: () => 0, schedule: () => undefined });
  return { store, last: () => sent.at(-1) as Request };
}

function twoPages() {
  const [ours, theirs] = [page(), page()];
  const tell = (message: object): void => [ours, theirs].forEach(({ store }) => store.receive(message));
  return { ours, theirs, tell };
}

describe("one of two pages", () => {
  it("does not take the acknowledgement of the other's command", async () => {
    const { ours, theirs, tell } = twoPages();
    const answer = ours.store.commands.run({ op: "pause" });
    void theirs.store.commands.run({ op: "cancel" });
    const [{ req, c }, other] = [ours.last(), theirs.last()];
    expect(other.req).toBe(req);

    tell({ t: "ack", req, c: other.c, ok: false, error: "not now" });
    expect(theirs.store.commands.error.value).toBe("not now");
    expect(ours.store.commands.error.value).toBe("");
    expect(ours.store.commands.isPending({ op: "pause" })).toBe(true);

    tell({ t: "ack", req, c, ok: true });
    expect((await answer).ok).toBe(true);
  });

  it("does not take the details that the other asked for", () => {
    const { ours, theirs, tell } = twoPages();
    for (const { store } of [ours, theirs]) store.details.request(node("0"), ["output"]);
    const { req, c } = theirs.last();

    tell({ t: "d", req, c, id: "0", field: "output", data: "theirs" });

    expect(theirs.store.details.read("0", "output")).toEqual({ status: "ready", data: "theirs" });
    expect(ours.store.details.read("0", "output").status).toBe("loading");
  });

  it("says who speaks when a node is opened", () => {
    const { ours, theirs } = twoPages();
    for (const { store } of [ours, theirs]) store.subscribe({}, ["0"]);

    expect(ours.last()).toMatchObject({ t: "sub", ids: ["0"], c: expect.any(String) });
    expect(ours.last().c).not.toBe(theirs.last().c);
  });
});

describe("a page at a kernel that does not say whom it answers", () => {
  it("goes by the numbers", async () => {
    const { store, last } = page();
    const answer = store.commands.run({ op: "pause" });
    store.receive({ t: "ack", req: last().req, ok: true });

    expect((await answer).ok).toBe(true);
  });
});

async function gzip(text: string): Promise<ArrayBuffer> {
  return new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
}

describe("a frame that comes packed", () => {
  const packed = async (ops: unknown): Promise<string> => btoa(String.fromCharCode(...new Uint8Array(await gzip(JSON.stringify(ops)))));
  const titles = ({ store }: ReturnType<typeof page>) => [...store.tree.nodes()].map(({ title }) => title);

  async function opened() {
    const { store, last } = page();
    const snapshot = { v: 1, e: 1, s: 0, n: 0, run: {}, nodes: { id: [] } };
    void store.receiveSnapshot(new Uint8Array(await gzip(JSON.stringify(snapshot))));
    await vi.waitFor(() => expect(store.client.hasState).toBe(true));
    return { store, last };
  }

  it("is applied before what follows it, and is not missed while it is unpacked", async () => {
    const { store, last } = await opened();
    store.receive({ t: "p", e: 1, s: 1, n: 1, z: await packed([["a", { id: "0", title: "first" }]]) });
    store.receive({ t: "p", e: 1, s: 2, n: 1, ops: [["p", "0", { title: "second" }]] });
    expect(titles({ store, last })).toEqual([]);

    await vi.waitFor(() => expect(titles({ store, last })).toEqual(["second"]));
    expect(store.client.position).toEqual({ e: 1, s: 2 });
    expect(last()).toBeUndefined();
  });

  it.each([async () => "no Base64", () => packed("no list"), async () => btoa("no gzip")])("is asked for again if it is damaged: %#", async (z) => {
    const { store, last } = await opened();
    store.receive({ t: "p", e: 1, s: 1, n: 1, z: await z() });

    await vi.waitFor(() => expect(last()).toMatchObject({ t: "sync", e: 1, s: 0 }));
  });
});
