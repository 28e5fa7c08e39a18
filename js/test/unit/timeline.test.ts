import { describe, expect, it } from "vitest";
import { NODES, NOW } from "../../dev/fixture";
import { concurrency, parallelism } from "../../src/store/concurrency";
import { criticalPath } from "../../src/store/critical_path";
import { timeAxis } from "../../src/store/time_axis";
import { labelPlace } from "../../src/ui/bar";
import { staircase } from "../../src/ui/critical_overlay";
import { node, treeOf } from "./samples";

describe("the critical path", () => {
  it("goes down through planners to the leaf that decides the time, and up through syntheses", () => {
    const tree = treeOf([
      node("0", { phases: [["plan", 0, 2], ["wait", 2, 9], ["synthesize", 9, 10]] }),
      node("0.0", { phases: [["execute", 2, 5]] }),
      node("0.1", { phases: [["execute", 2, 9]] }),
    ]);

    expect(criticalPath(tree, 10)).toEqual({
      legs: [
        { id: "0", start: 0, end: 2 },
        { id: "0.1", start: 2, end: 9 },
        { id: "0", start: 9, end: 10 },
      ],
      ids: new Set(["0", "0.1"]),
      length: 10,
    });
  });

  it("goes through the sibling that held up the decisive one", () => {
    const tree = treeOf([
      node("0", { phases: [["plan", 0, 1], ["wait", 1, null]] }),
      node("0.0", { phases: [["execute", 1, 4]] }),
      node("0.1", { phases: [["execute", 1, 6]] }),
      node("0.2", { phases: [["execute", 4, 8]], depends_on: ["0.0"] }),
    ]);

    expect(criticalPath(tree, 8).legs.map(({ id }) => id)).toEqual(["0", "0.0", "0.2"]);
  });

  it("of a run that goes on is the longest of what is open", () => {
    const ids = criticalPath(treeOf(NODES), NOW).ids;

    expect([...ids]).toEqual(["0", "0.1", "0.1.1", "0.1.1.1", "0.1.1.1.0"]);
  });

  it("of a run that has not begun is empty", () => {
    expect(criticalPath(treeOf([]), 0).legs).toEqual([]);
    expect(criticalPath(treeOf([node("0")]), 0).length).toBe(0);
  });

  it("ends although dependencies go in a circle", () => {
    const tree = treeOf([
      node("0", { phases: [["wait", 0, null]] }),
      node("0.0", { phases: [["execute", 0, 1]], depends_on: ["0.1"] }),
      node("0.1", { phases: [["execute", 0, 2]], depends_on: ["0.0"] }),
    ]);

    expect(criticalPath(tree, 2).ids).toEqual(new Set(["0.0", "0.1"]));
  });

  it("is drawn as lines that meet at right angles", () => {
    const points = staircase(
      [{ id: "0", start: 0, end: 2 }, { id: "0.1", start: 3, end: 9 }, { id: "hidden", start: 9, end: 9 }],
      (id) => (id === "0" ? 0 : id === "0.1" ? 2 : null),
    );

    points.slice(1).forEach((point, index) => {
      const before = points[index];
      expect(point.time === before?.time || point.y === before?.y).toBe(true);
    });
    expect(points.map(({ time }) => time)).toEqual([0, 2, 3, 3, 9]);
  });
});

describe("parallelism", () => {
  const nodes = [
    node("0", { phases: [["plan", 0, 1], ["wait", 1, 4]] }),
    node("0.0", { phases: [["execute", 1, 3]] }),
    node("0.1", { phases: [["execute", 2, null]] }),
  ];

  it("counts work, not waiting, and no work twice where one ends as another begins", () => {
    expect(parallelism(nodes, 4)).toEqual({ peak: 2, mean: (1 + 2 + 2) / 4 });
  });

  it("is layered by kind over time", () => {
    const { layers, height } = concurrency(nodes, 4, 4);

    expect([...layers.execute.slice(0, 4)]).toEqual([0, 1, 2, 1]);
    expect([...layers.plan.slice(0, 4)]).toEqual([1, 0, 0, 0]);
    expect(height).toBe(2);
  });

  it("is never drawn higher than it was, where one ends in the slice in which the next begins", () => {
    const turns = Array.from({ length: 9 }, (_, turn) => node(`0.${turn}`, { phases: [["execute", turn * 1.1, turn * 1.1 + 1.1]] }));

    expect(concurrency(turns, 9.9, 4).height).toBeCloseTo(1, 6);
  });

  it("of no time at all is none", () => {
    expect(parallelism([], 0)).toEqual({ peak: 0, mean: 0 });
    expect(concurrency(nodes, 0, 4).height).toBe(0);
  });
});

describe("the time axis", () => {
  it.each([0, 0.4, 3, 96, 3599, 90_000, 1e7])("leaves room after %d s and has few ticks", (now) => {
    const { share, ticks } = timeAxis(now);

    expect(share(now)).toBeLessThanOrEqual(0.85 + 1e-6);
    expect(share(now)).toBeGreaterThan(now > 0.2 ? 0.7 : -1);
    expect(ticks.length).toBeLessThanOrEqual(8);
  });

  it("stays while the clock runs a little", () => {
    expect(timeAxis(96).key).toBe(timeAxis(96.5).key);
  });

  it("gives a pause little room, however long it was, and does not count it", () => {
    const { share, worked, pauses, ticks } = timeAxis(10_060, [[30, 10_030]]);

    expect(worked(10_060)).toBe(60);
    expect(worked(20)).toBe(20);
    expect(worked(5_000)).toBe(30);
    expect(pauses).toMatchObject([{ start: share(30), end: share(10_030), seconds: 10_000 }]);
    expect(share(10_030) - share(30)).toBeLessThan(0.05);
    expect(share(30)).toBeGreaterThan(0.3);
    // Work takes as much room behind the pause as before it.
    expect(share(10_060) - share(10_030)).toBeCloseTo(share(30), 6);
    const at = (seconds: number) => ticks.find((tick) => tick.seconds === seconds)?.share ?? Number.NaN;
    expect(at(20)).toBeCloseTo(share(20), 6);
    expect(at(40)).toBeCloseTo(share(10_040), 6);
  });

  it("stands still while the run is paused", () => {
    const clock = (now: number) => timeAxis(now, [[50, null]]).worked(now);

    expect([50, 51, 500].map(clock)).toEqual([50, 50, 50]);
  });

  it("shows a short pause as long as it was", () => {
    const { share } = timeAxis(100, [[50, 51]]);

    expect(share(51) - share(50)).toBeCloseTo(share(50) / 50, 6);
  });
});

describe("the label of a bar", () => {
  const executed = (start: number, end: number | null) => node("0", { state: "done", phases: [["execute", start, end]] });
  const place = (start: number, end: number | null, now = 100, running = true) =>
    labelPlace(executed(start, end), now, timeAxis(now), 500, running);

  it("stands behind it where there is room", () => {
    expect(place(0, 20)).toBe("after");
    expect(place(40, null)).toBe("after");
    expect(place(90, 99.5, 100, false)).toBe("after");
  });

  it("does not cross the line of now", () => {
    expect(place(90, 99.5)).toBe("before");
    expect(place(0, 99.5)).toBe("beyond");
  });

  it("stands before it rather than outside", () => {
    expect(labelPlace(executed(90, 100), 100, timeAxis(100), 60, false)).toBe("before");
  });
});
