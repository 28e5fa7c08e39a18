import { describe, expect, it } from "vitest";
import { ProtocolClient } from "../../src/protocol/client";
import { EMPTY_RUN, parseMessage, type BrowserMessage, type Frame, type Operation } from "../../src/protocol/messages";
import { node, snapshot } from "./samples";

function setUp() {
  const sent: BrowserMessage[] = [];
  const timers: { at: number; action: () => void }[] = [];
  const clock = { now: 0 };
  const client = new ProtocolClient({
    send: (message) => void sent.push(message),
    now: () => clock.now,
    schedule: (delay, action) => void timers.push({ at: clock.now + delay, action }),
    nodeChanged: () => undefined,
    replaced: () => undefined,
    changed: () => undefined,
  });
  const advance = (milliseconds: number): void => {
    clock.now += milliseconds;
    for (const timer of timers.splice(0)) timer.at <= clock.now ? timer.action() : timers.push(timer);
  };
  return { client, sent, advance };
}

const frame = (s: number, ops: readonly Operation[] = [], e = 1, n = s): Frame => ({ t: "p", e, s, n, ops });

function joined() {
  const all = setUp();
  all.client.expectSnapshot()(snapshot([node("0")]));
  return all;
}

describe("a client", () => {
  it("applies frames in order and ignores what it knows", () => {
    const { client, sent } = joined();

    client.frame(frame(1, [["p", "0", { title: "one" }]]));
    client.frame(frame(2, [["p", "0", { title: "two" }]]));
    client.frame(frame(1, [["p", "0", { title: "one" }]]));

    expect(client.state.nodes.get("0")?.title).toBe("two");
    expect(sent).toEqual([]);
  });

  it("holds frames after a gap, asks once, and goes on when the gap is filled", () => {
    const { client, sent } = joined();

    client.frame(frame(3, [["p", "0", { title: "three" }]]));
    client.frame(frame(2, [["p", "0", { title: "two" }]]));
    expect(client.state.nodes.get("0")?.title).toBe("Task 0");
    expect(sent).toEqual([{ t: "sync", e: 1, s: 0 }]);

    client.frame(frame(1));
    expect(client.state.nodes.get("0")?.title).toBe("three");
  });

  it("asks at most every 250 ms, and again if nothing came", () => {
    const { client, sent, advance } = joined();

    client.frame(frame(3));
    client.frame(frame(4));
    advance(249);
    expect(sent).toHaveLength(1);
    advance(1);
    expect(sent).toHaveLength(2);
  });

  it("waits for a snapshot when the epoch is new", () => {
    const { client, sent } = joined();

    client.frame(frame(6, [["p", "0", { title: "six" }]], 2));
    expect(client.state.nodes.get("0")?.title).toBe("Task 0");
    expect(sent).toEqual([{ t: "sync", e: 1, s: 0 }]);

    client.expectSnapshot()(snapshot([node("0", { title: "five" })], { e: 2, s: 5 }));
    expect(client.state.nodes.get("0")?.title).toBe("six");
    expect(client.position).toEqual({ e: 2, s: 6 });
  });

  it("holds frames that arrive while a snapshot is unpacked", () => {
    const { client, sent } = setUp();
    const finish = client.expectSnapshot();

    client.start();
    client.frame(frame(1, [["a", { id: "0.0", parent: "0" }]]));
    expect(sent).toEqual([]);

    finish(snapshot([node("0")]));
    expect([...client.state.nodes.keys()]).toEqual(["0", "0.0"]);
  });

  it("asks for a snapshot when the one it had cannot be read", () => {
    const { client, sent } = setUp();

    client.expectSnapshot()(null);

    expect(sent).toEqual([{ t: "sync", e: -1, s: -1 }]);
  });

  it("never goes back to an older snapshot", () => {
    const { client } = joined();
    client.frame(frame(1, [["p", "0", { title: "new" }]]));

    client.expectSnapshot()(snapshot([node("0", { title: "old" })], { s: 0 }));

    expect(client.state.nodes.get("0")?.title).toBe("new");
  });

  it("notices by the heartbeat that frames were lost", () => {
    const { client, sent } = joined();

    client.heartbeat({ t: "h", e: 1, s: 0, n: 1 });
    expect(sent).toEqual([]);
    client.heartbeat({ t: "h", e: 1, s: 4, n: 2 });
    expect(sent).toEqual([{ t: "sync", e: 1, s: 0 }]);
  });

  it("does not let the clock run on for a kernel that fell silent", () => {
    const { client, advance } = joined();
    client.heartbeat({ t: "h", e: 1, s: 0, n: 7 });
    advance(60_000);

    expect(client.isSilent).toBe(true);
    expect(client.runClock()).toBe(9.5);
    client.heartbeat({ t: "h", e: 1, s: 0, n: 67 });
    expect(client.isSilent).toBe(false);
  });

  it("misses no kernel where there is none, or nothing left to do", () => {
    for (const run of [{ readonly: true }, { status: "done", elapsed: 3 } as const]) {
      const { client, advance } = setUp();
      client.expectSnapshot()(snapshot([node("0")], { n: 3, run: { ...EMPTY_RUN, ...run } }));
      advance(60_000);
      expect(client.isSilent).toBe(false);
      expect(client.runClock()).toBe(3);
    }
  });

  it("notes pauses as it sees them, unless the kernel tells them", () => {
    const { client, advance } = joined();
    client.frame(frame(1, [["r", { status: "paused" }]], 1, 10));
    advance(1000);
    expect(client.pauses).toEqual([[10, null]]);
    expect(client.runClock()).toBe(11);
    client.frame(frame(2, [["r", { status: "running" }]], 1, 40));
    expect(client.pauses).toEqual([[10, 40]]);

    client.frame(frame(3, [["r", { pauses: [[9, 39]] }]], 1, 41));
    expect(client.pauses).toEqual([[9, 39]]);
  });

  it("lets the clock run on while the run does, and stops it at the end", () => {
    const { client, advance } = joined();
    client.frame(frame(1, [], 1, 10));
    advance(1500);
    expect(client.runClock()).toBe(11.5);

    client.frame(frame(2, [["r", { status: "done", elapsed: 12 }]], 1, 12.1));
    advance(5000);
    expect(client.runClock()).toBe(12);
  });
});

describe("parseMessage", () => {
  it("lets through what the protocol knows only", () => {
    expect(parseMessage({ t: "h", e: 1, s: 2, n: 3 })).not.toBeNull();
    for (const wrong of [null, 3, "p", [], {}, { t: "new" }, { t: "p", e: 1 }, { t: "p", e: 1, s: "2", n: 0, ops: [] }, { t: "toString" }]) {
      expect(parseMessage(wrong)).toBeNull();
    }
  });
});
