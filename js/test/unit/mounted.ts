/** The whole widget on a fake kernel, for tests. */
import { afterEach, beforeEach, expect, vi } from "vitest";
import { FakeModel } from "../../dev/fake_model";
import { NODES, NOW, OUTPUT, RUN } from "../../dev/fixture";
import createWidget from "../../src/index";
import type { Run, TreeNode } from "../../src/protocol/messages";
import { moduleLoader, type PartName } from "../../src/store/parts";

const cleanups: (() => void)[] = [];

/** Milliseconds after which something is not slow, but hangs. */
const HANG = 60_000;

export interface Setting {
  readonly run?: Partial<Run>;
  readonly nodes?: readonly TreeNode[];
  readonly traits?: Record<string, unknown>;
  readonly output?: string;
}

export async function mount({ run = {}, nodes = NODES, traits = {}, output = OUTPUT }: Setting = {}) {
  const model = new FakeModel({ run: { ...RUN, ...run }, nodes, now: NOW, output }, traits);
  model.part = (name) => Promise.resolve(name);
  const widget = createWidget();
  cleanups.push(widget.initialize({ model }));
  const view = addView(widget, model);
  await vi.waitFor(() => expect(view.root.dataset["status"]).not.toBe("loading"), { timeout: HANG });
  return { model, widget, ...view };
}

export function addView(widget: ReturnType<typeof createWidget>, model: FakeModel) {
  const el = document.createElement("div");
  document.body.append(el);
  const dispose = widget.render({ model, el });
  cleanups.push(dispose);
  const root = el.querySelector<HTMLElement>(".rn") as HTMLElement;
  const row = (id: string) => el.querySelector<HTMLElement>(`[data-node-id="${id}"]`);
  const button = (name: string) =>
    [...el.querySelectorAll("button")].find((each) => (each.getAttribute("aria-label") ?? each.textContent) === name);
  return { el, root, row, button, dispose };
}

/** Parts by their names, which the fake kernel sends instead of their texts. */
const PARTS: Record<PartName, unknown> = {
  compare: await import("../../src/parts/compare"),
  dialogs: await import("../../src/parts/dialogs"),
  formulas: await import("../../src/parts/formulas"),
  quotes: await import("../../src/parts/quotes"),
};
moduleLoader.load = async (name) => PARTS[name as PartName];

/** Call once in a file: nothing of a test is left for the next. */
export function cleanUpAfterEach(): void {
  beforeEach(() => vi.stubGlobal("IntersectionObserver", undefined));
  afterEach(() => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup();
    document.body.replaceChildren();
    vi.unstubAllGlobals();
  });
}
