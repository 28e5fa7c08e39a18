import { describe, expect, it } from "vitest";
import { NODES, NOW } from "../../dev/fixture";
import { nodeEnd, nodeStart } from "../../src/store/critical_path";
import { flameLayout } from "../../src/store/flame_layout";
import { node, treeOf } from "./samples";

const executed = (id: string, start: number, end: number) => node(id, { phases: [["execute", start, end]] });
const lanesOf = (nodes: Parameters<typeof treeOf>[0], now = 10) =>
  Object.fromEntries(flameLayout(treeOf(nodes), now).spans.map((span) => [span.node.id, span.lane]));

describe("the flame chart", () => {
  it("puts parts below the whole, and beside each other only what does not overlap", () => {
    const root = node("0", { phases: [["plan", 0, 1], ["wait", 1, null]] });

    expect(lanesOf([root, executed("0.0", 1, 4), executed("0.1", 4, 6), executed("0.2", 5, 9)])).toEqual({ "0": 0, "0.0": 1, "0.1": 1, "0.2": 2 });
  });

  it("keeps room below a branch for all that is below it", () => {
    const nodes = [
      node("0", { phases: [["wait", 0, null]] }),
      node("0.0", { phases: [["wait", 0, 5]] }),
      executed("0.0.0", 0, 4),
      executed("0.0.1", 1, 5),
      executed("0.1", 2, 3),
    ];

    expect(lanesOf(nodes)).toEqual({ "0": 0, "0.0": 1, "0.0.0": 2, "0.0.1": 3, "0.1": 4 });
  });

  it("leaves out what has not begun", () => {
    expect(lanesOf([node("0")])).toEqual({});
    expect(flameLayout(treeOf([]), 0)).toEqual({ spans: [], lanes: 0 });
  });

  it("never draws two on the same place", () => {
    const { spans, lanes } = flameLayout(treeOf(NODES), NOW);
    const began = NODES.filter(({ phases }) => phases.length > 0);

    expect(spans).toHaveLength(began.length);
    for (const first of spans) {
      expect(first.lane).toBeLessThan(lanes);
      for (const second of spans) {
        if (first === second || first.lane !== second.lane) continue;
        const apart = (nodeEnd(first.node, NOW) ?? 0) <= (nodeStart(second.node) ?? 0) || (nodeEnd(second.node, NOW) ?? 0) <= (nodeStart(first.node) ?? 0);
        expect(apart, `${first.node.id} and ${second.node.id}`).toBe(true);
      }
    }
  });
});
