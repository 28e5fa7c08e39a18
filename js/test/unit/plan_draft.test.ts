import { describe, expect, it } from "vitest";
import { isSamePlan, readPlan, withAdded, withMoved, withoutStep, withStep, writePlan, type PlanDraft } from "../../src/store/plan_draft";

const PLAN = {
  decision: "RECURSE",
  thoughts: "Three parts.",
  sub_tasks: [
    { description: "Collect", agent: null, depends_on: [] },
    { description: "Check", agent: "verifier", depends_on: [0] },
    { description: "Write", agent: null, depends_on: [0, 1] },
  ],
};

const draft = readPlan(PLAN) as PlanDraft;

describe("a plan that is edited", () => {
  it("is written as it was read", () => {
    expect(writePlan(draft)).toEqual(PLAN);
    expect(isSamePlan(draft, readPlan(PLAN) as PlanDraft)).toBe(true);
  });

  it("is read with what planners call its parts, and from nothing else", () => {
    expect(readPlan({ sub_tasks: [{ task: "Collect", depends_on: ["0", 3] }, "text", null] })?.steps).toEqual([
      { key: 0, description: "Collect", agent: null, after: [3] },
    ]);
    expect(readPlan(null)).toBeNull();
    expect(readPlan("RECURSE")).toBeNull();
  });

  it("keeps what depends on what in another order", () => {
    const moved = withMoved(withMoved(draft, 2, -1), 2, -1);

    expect(writePlan(moved)).toMatchObject({
      sub_tasks: [
        { description: "Write", depends_on: [1, 2] },
        { description: "Collect", depends_on: [] },
        { description: "Check", depends_on: [1] },
      ],
    });
    expect(withMoved(draft, 0, -1)).toBe(draft);
    expect(withMoved(draft, 2, 1)).toBe(draft);
  });

  it("waits no longer for a step that was deleted or is empty", () => {
    const expected = { sub_tasks: [{ description: "Check", depends_on: [] }, { description: "Write", depends_on: [0] }] };

    expect(writePlan(withoutStep(draft, 0))).toMatchObject(expected);
    expect(writePlan(withStep(draft, 0, "  "))).toMatchObject(expected);
  });

  it("is added to at the end", () => {
    const added = withAdded(withoutStep(draft, 2));
    const key = added.steps.at(-1)?.key ?? -1;

    expect(added.steps.filter((step) => step.key === key)).toHaveLength(1);
    expect(isSamePlan(added, withoutStep(draft, 2))).toBe(true);
    expect(writePlan(withStep(added, key, "Publish"))).toMatchObject({ sub_tasks: [{}, {}, { description: "Publish", agent: null, depends_on: [] }] });
  });

  it("without steps says that the task is answered in one go", () => {
    expect(writePlan({ thoughts: "", steps: [] })).toEqual({ decision: "EXECUTE", thoughts: "" });
  });
});
