import { describe, expect, it } from "vitest";
import type { BrowserMessage } from "../../src/protocol/messages";
import { COMMAND_PATIENCE, Commands } from "../../src/store/commands";

function setUp(reachable = true) {
  const sent: BrowserMessage[] = [];
  const timers: { delay: number; action: () => void }[] = [];
  let request = 0;
  const commands = new Commands({
    send: (message) => {
      sent.push(message);
      return reachable;
    },
    schedule: (delay, action) => void timers.push({ delay, action }),
    nextRequest: () => (request += 1),
  });
  const wait = (): void => timers.splice(0).forEach(({ delay, action }) => {
    expect(delay).toBe(COMMAND_PATIENCE);
    action();
  });
  return { commands, sent, wait };
}

describe("a command", () => {
  it("is pending until it is answered", async () => {
    const { commands, sent } = setUp();
    const answer = commands.run({ op: "retry", id: "0.1" });

    expect(sent).toEqual([{ t: "cmd", req: 1, op: "retry", id: "0.1", args: {} }]);
    expect(commands.isPending({ op: "retry", id: "0.1" })).toBe(true);
    expect(commands.isPending({ op: "retry" })).toBe(false);
    commands.receive({ t: "ack", req: 1, ok: true, data: { nodes: ["0"] } });
    expect(await answer).toEqual({ ok: true, error: "", data: { nodes: ["0"] } });
    expect(commands.isPending({ op: "retry", id: "0.1" })).toBe(false);
  });

  it("that is refused says why, until the next one or until it was read", async () => {
    const { commands } = setUp();
    void commands.run({ op: "pause" });
    commands.receive({ t: "ack", req: 1, ok: false, error: "the run is over" });
    expect(commands.error.value).toBe("the run is over");
    commands.dismiss();
    expect(commands.error.value).toBe("");

    void commands.run({ op: "pause" });
    commands.receive({ t: "ack", req: 2, ok: false });
    expect(commands.error.value).toContain("refused");
    void commands.run({ op: "resume" });
    expect(commands.error.value).toBe("");
  });

  it("that is asked leaves saying so to the one who asked", async () => {
    const { commands } = setUp();
    const answer = commands.ask({ op: "preview", id: "0" });
    commands.receive({ t: "ack", req: 1, ok: false, error: "no such node" });

    expect((await answer).error).toBe("no such node");
    expect(commands.error.value).toBe("");
  });

  it("that nobody hears fails at once", async () => {
    const { commands } = setUp(false);

    expect((await commands.run({ op: "cancel" })).ok).toBe(false);
    expect(commands.error.value).toContain("cannot be reached");
    expect(commands.isPending({ op: "cancel" })).toBe(false);
  });

  it("that is not answered says so, and takes it back when the answer comes after all", async () => {
    const { commands, wait } = setUp();
    const answer = commands.run({ op: "cancel" });
    wait();

    expect((await answer).error).toContain("has not answered");
    expect(commands.error.value).toContain("has not answered");
    expect(commands.isPending({ op: "cancel" })).toBe(true);
    commands.receive({ t: "ack", req: 1, ok: true });
    expect(commands.error.value).toBe("");
    expect(commands.isPending({ op: "cancel" })).toBe(false);
  });
});
