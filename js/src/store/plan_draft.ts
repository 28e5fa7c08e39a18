/**
 * A plan while somebody edits it. Sub-tasks have keys, so that dependencies survive a new order; on
 * the wire they are positions.
 */
import { isRecord } from "../protocol/messages";

export interface Step {
  readonly key: number;
  readonly description: string;
  readonly agent: string | null;
  /** The keys of the steps that come first. */
  readonly after: readonly number[];
}

export interface PlanDraft {
  readonly thoughts: string;
  /** Without steps the task is answered in one go. */
  readonly steps: readonly Step[];
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const records = (value: unknown): Record<string, unknown>[] => (Array.isArray(value) ? value.filter(isRecord) : []);

function readStep(step: Record<string, unknown>, key: number): Step {
  const after = Array.isArray(step["depends_on"]) ? step["depends_on"] : [];
  return {
    key,
    description: text(step["description"]) || text(step["task"]),
    agent: text(step["agent"]) || null,
    after: after.filter((position) => typeof position === "number"),
  };
}

/** Positions are the first keys, so what depends on what needs no translation here. */
export function readPlan(data: unknown): PlanDraft | null {
  if (!isRecord(data)) return null;
  return { thoughts: text(data["thoughts"]), steps: records(data["sub_tasks"]).map(readStep) };
}

/** The plan as the kernel reads it; steps without a text are left out. */
export function writePlan(draft: PlanDraft): object {
  const { thoughts } = draft;
  const steps = draft.steps.filter(({ description }) => description.trim() !== "");
  if (steps.length === 0) return { decision: "EXECUTE", thoughts };
  const positions = new Map(steps.map(({ key }, position) => [key, position]));
  const sub_tasks = steps.map(({ description, agent, after }) => ({
    description,
    agent,
    depends_on: after.map((key) => positions.get(key)).filter((position) => position !== undefined),
  }));
  return { decision: "RECURSE", thoughts, sub_tasks };
}

export function isSamePlan(first: PlanDraft, second: PlanDraft): boolean {
  return JSON.stringify(writePlan(first)) === JSON.stringify(writePlan(second));
}

export function withStep(draft: PlanDraft, key: number, description: string): PlanDraft {
  return { ...draft, steps: draft.steps.map((step) => (step.key === key ? { ...step, description } : step)) };
}

export function withMoved(draft: PlanDraft, key: number, by: 1 | -1): PlanDraft {
  const from = draft.steps.findIndex((step) => step.key === key);
  const to = from + by;
  const moved = draft.steps[from];
  if (!moved || to < 0 || to >= draft.steps.length) return draft;
  const steps = draft.steps.filter((step) => step.key !== key);
  steps.splice(to, 0, moved);
  return { ...draft, steps };
}

/** What came after the removed step no longer waits for it. */
export function withoutStep(draft: PlanDraft, key: number): PlanDraft {
  const steps = draft.steps
    .filter((step) => step.key !== key)
    .map((step) => ({ ...step, after: step.after.filter((other) => other !== key) }));
  return { ...draft, steps };
}

export function withAdded(draft: PlanDraft): PlanDraft {
  const key = Math.max(-1, ...draft.steps.map((step) => step.key)) + 1;
  return { ...draft, steps: [...draft.steps, { key, description: "", agent: null, after: [] }] };
}
