/**
 * The development page: the widget on a fake model. The query string chooses what is shown:
 * `theme`, `width`, `height`, `nodes` (a large run), `hostile` (text that tries to break out),
 * `failed`, `approve`.
 */
import createWidget from "../src/index";
import { FakeModel, type FakeRun } from "./fake_model";
import { largeRun, NODES, NOW, OUTPUT, RUN } from "./fixture";
import { HOSTILE_TEXT } from "./hostile";
import type { Run, TreeNode } from "../src/protocol/messages";

declare global {
  interface Window {
    model: FakeModel;
    /** Set by hostile text that got to run. */
    broken?: boolean;
  }
}

const options = new URLSearchParams(location.search);

/** The run after it failed, or while its root's plan waits for approval. */
function chosenFacts(): Partial<Run> {
  if (options.has("failed")) {
    const error = "node 0.2.2.2 failed: HTTP 429 Too Many Requests (3 attempts)";
    return { status: "failed", elapsed: NOW, error, can: ["retry", "edit", "answer"] };
  }
  if (options.has("approve")) return { can: ["cancel", "approve"], notes: ["`prices` changed since the plan was made"] };
  return { can: ["pause", "cancel", "retry", "edit"] };
}

function chosenNodes(): readonly TreeNode[] {
  const count = Number(options.get("nodes") ?? 0);
  if (count > 0) return largeRun(count);
  return options.has("approve") ? NODES.map((node) => ({ ...node, awaiting: node.id === "0.1" })) : NODES;
}

function chosenRun(): FakeRun {
  const nodes = chosenNodes();
  const run = { ...RUN, ...chosenFacts() };
  if (!options.has("hostile")) return { run, nodes, now: NOW, output: OUTPUT };
  const spoiled = nodes.map((node) => ({ ...node, title: HOSTILE_TEXT, tail: HOSTILE_TEXT, agent: HOSTILE_TEXT, note: HOSTILE_TEXT }));
  return { run: { ...run, title: HOSTILE_TEXT, notice: HOSTILE_TEXT }, nodes: spoiled, now: NOW, output: HOSTILE_TEXT };
}

const theme = options.get("theme") ?? "auto";
const element = document.querySelector<HTMLElement>("#widget") as HTMLElement;
element.style.maxWidth = `${options.get("width") ?? 1500}px`;
document.body.classList.toggle("dark", theme === "dark");
window.model = new FakeModel(chosenRun(), { theme, height: Number(options.get("height") ?? 940) });
const widget = createWidget();
widget.initialize({ model: window.model });
widget.render({ model: window.model, el: element });
