import { describe, expect, it } from "vitest";
import { writeText } from "../../src/protocol/fold";
import { EMPTY_NODE } from "../../src/protocol/messages";
import { decodeSnapshot, inflateSnapshot } from "../../src/protocol/snapshot";
import { folded, node, snapshotJson } from "./samples";

describe("operations", () => {
  it("fill a new node with defaults and change nothing but what a patch names", () => {
    const state = folded([
      ["a", { id: "0", parent: null, title: "Root" }],
      ["p", "0", { state: "running" }],
    ]);

    expect(state.nodes.get("0")).toEqual({ ...EMPTY_NODE, id: "0", title: "Root", state: "running" });
  });

  it("make a new object of a changed node and keep the others", () => {
    const state = folded([["a", node("0")], ["a", node("0.0")]]);
    const untouched = state.nodes.get("0");

    expect(folded([["a", node("0")]]).nodes.get("0")).not.toBe(untouched);
  });

  it("ignore patches of nodes that were never announced", () => {
    expect(folded([["p", "0.7", { title: "ghost" }]]).nodes.size).toBe(0);
  });
});

describe("streamed text", () => {
  it("grows at its end", () => expect(writeText("abc", 3, "def")).toBe("abcdef"));
  it("is not harmed by a replay", () => expect(writeText("abcdef", 0, "abc")).toBe("abcdef"));
  it("takes the new part of an overlap", () => expect(writeText("abc", 1, "bcd")).toBe("abcd"));
  it("starts again when a retry does", () => expect(writeText("first try", 0, "second")).toBe("second"));
  it("ignores what comes after a gap", () => expect(writeText("abc", 4, "x")).toBeNull());
});

describe("a snapshot", () => {
  const state = folded([["a", node("0", { title: "Größe 🌲" })], ["a", node("0.0")], ["r", { tokens: 7 }]]);
  const json = snapshotJson(state, { e: 3, s: 9 }, 1.5);

  it("is unpacked to the state it was made of", async () => {
    const stream = new Blob([JSON.stringify(json)]).stream().pipeThrough(new CompressionStream("gzip"));
    const bytes = await new Response(stream).arrayBuffer();

    const { e, s, n, run, nodes } = await inflateSnapshot(new DataView(bytes));

    expect({ e, s, n }).toEqual({ e: 3, s: 9, n: 1.5 });
    expect(run).toEqual(state.run);
    expect(nodes).toEqual([...state.nodes.values()]);
  });

  it("may lack columns and have others", () => {
    const { nodes } = decodeSnapshot({ v: 1, e: 1, s: 0, n: 0, run: {}, nodes: { id: ["0"], parent: [null], mood: ["good"] } });

    expect(nodes).toEqual([{ ...EMPTY_NODE, id: "0" }]);
  });

  it("of another version is refused", () => {
    expect(() => decodeSnapshot({ v: 2 })).toThrow("version 1");
  });
});
