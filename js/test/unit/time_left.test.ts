import { describe, expect, it } from "vitest";
import type { Phase, TreeNode } from "../../src/protocol/messages";
import { timeLeft } from "../../src/store/time_left";
import { node } from "./samples";

/** A root that split into leaves of `seconds`, one after the other; those from `done` on have not begun. */
function run(count: number, done: number, seconds: (index: number) => number): { nodes: TreeNode[]; now: number } {
  let now = 1;
  const root = node("0", { state: "waiting", decision: "RECURSE", phases: [["plan", 0, 1], ["wait", 1, null]] });
  const leaves = Array.from({ length: count }, (_, index) => {
    if (index >= done) return node(`0.${index}`, {});
    const phases: Phase[] = [["execute", now, (now += seconds(index))]];
    return node(`0.${index}`, { state: "done", decision: "EXECUTE", phases });
  });
  return { nodes: [root, ...leaves], now };
}

const left = ({ nodes, now }: { nodes: TreeNode[]; now: number }) => timeLeft(() => nodes, now, now);

describe("the time left", () => {
  it("is nothing while little is known", () => {
    expect(left(run(10, 2, () => 5))).toBeNull();
    expect(left(run(100, 5, () => 5))).toBeNull();
    expect(left(run(10, 5, () => 0.1))).toBeNull();
  });

  it("is what the finished ones took, for as many as are left", () => {
    const found = left(run(10, 5, () => 4));
    expect(found?.low).toBeGreaterThan(15);
    expect(found?.high).toBeLessThan(40);
    expect(found?.low).toBeLessThanOrEqual(24);
    expect(found?.high).toBeGreaterThanOrEqual(20);
  });

  it("is a wider range the more the finished ones differ", () => {
    const width = (seconds: (index: number) => number): number => {
      const found = left(run(12, 6, seconds));
      return found ? found.high / found.low : Infinity;
    };
    expect(width((index) => (index % 2 === 0 ? 1 : 9))).toBeGreaterThan(width(() => 5));
  });

  it("is shorter where more worked at once, and no shorter than what follows one after the other", () => {
    const { nodes } = run(20, 10, () => 4);
    const parallel = nodes.map((each) => (each.state === "done" ? { ...each, phases: [["execute", 1, 5]] as Phase[] } : each));
    const found = timeLeft(() => parallel, 5, 5);
    expect(found?.high).toBeLessThan(20);
    expect(found?.low).toBeGreaterThanOrEqual(8);
  });

  it("counts on further splits where others of the level split", () => {
    const { nodes, now } = run(10, 5, () => 4);
    const split = [...nodes, node("0.9", { state: "waiting", decision: "RECURSE" }), node("0.9.0", {}), node("0.9.1", {})];
    expect((timeLeft(() => split, now, now)?.high ?? 0) / (left({ nodes, now })?.high ?? 1)).toBeGreaterThan(1);
  });

  it("ends when nothing is left", () => {
    const { nodes, now } = run(5, 5, () => 4);
    expect(timeLeft(() => nodes.map((each) => ({ ...each, state: "done" as const })), now, now)).toBeNull();
  });
});
