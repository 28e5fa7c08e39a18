/**
 * The development page: the widget on a fake model. The query string chooses what is shown:
 * `theme`, `width`, `height`, `nodes` (a large run), `queries` (its branches are code nodes of so many sub-queries), `hostile` (the name of a text that tries to break out),
 * `huge` (the name of an output that is too much), `reading` (the name of an output with formulas, tables, Arabic),
 * `failed`, `approve`, `paused`, `silent` (the kernel is gone), `alike` (titles that start alike),
 * `built` (the committed bundle instead of the sources).
 */
import { FakeModel, type FakeRun } from "./fake_model";
import { largeRun, NODES, NOW, OUTPUT, RUN } from "./fixture";
import { HOSTILE_TEXTS, HUGE_TEXTS } from "./hostile";
import { READING_TEXTS } from "./reading";
import type { Run, TreeNode } from "../src/protocol/messages";

declare global {
  interface Window {
    model: FakeModel;
    hostileTexts: Readonly<Record<string, string>>;
    hugeNames: readonly string[];
    nodeIds: readonly string[];
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
  if (options.has("paused")) return { status: "paused", can: ["resume", "cancel"], pauses: [[40, 52], [90, null]] };
  return { can: ["pause", "cancel", "retry", "edit"] };
}

function chosenNodes(): readonly TreeNode[] {
  const count = Number(options.get("nodes") ?? 0);
  if (count > 0) return largeRun(count, Number(options.get("queries") ?? 0));
  return options.has("approve") ? NODES.map((node) => ({ ...node, awaiting: node.id === "0.1" ? "a1" : "" })) : NODES;
}

/** The text in the place of everything that a model, a tool or a file could have written. */
function spoiled(run: Run, nodes: readonly TreeNode[], text: string): FakeRun {
  const facts = { title: text, notice: text, error: text, label: text, model: text, checkpoint: text, forked: text, notes: [text] };
  const node = { title: text, tail: text, model: text, note: text };
  // Who does the work is shown where there are two who do.
  const agentOf = ({ id, agent }: TreeNode): string => (id === "0" ? agent : text);
  return {
    run: { ...run, ...facts, can: [...run.can, "approve"] },
    // A long text is not meant to be repeated hundreds of times.
    nodes: nodes.map((each) => (text.length < 10_000 || each.id === "0.1" ? { ...each, ...node, agent: agentOf(each), awaiting: each.id === "0.1" ? "a1" : "" } : each)),
    now: NOW,
    output: text,
    spoiled: text,
  };
}

function chosenRun(): FakeRun {
  const nodes = chosenNodes().map(titled);
  const run = { ...RUN, ...chosenFacts() };
  const text = HOSTILE_TEXTS[options.get("hostile") ?? ""];
  const huge = HUGE_TEXTS[options.get("huge") ?? ""];
  return text === undefined ? { run, nodes, now: NOW, output: huge?.() ?? READING_TEXTS[options.get("reading") ?? ""] ?? OUTPUT } : spoiled(run, nodes, text);
}

/** Titles as planners write them: all alike at the beginning. */
function titled(node: TreeNode): TreeNode {
  return options.has("alike") && node.parent === "0" ? { ...node, title: `Summarise what the sources say about: ${node.title}` } : node;
}

window.hostileTexts = HOSTILE_TEXTS;
window.hugeNames = Object.keys(HUGE_TEXTS);
const theme = options.get("theme") ?? "auto";
const element = document.querySelector<HTMLElement>("#widget") as HTMLElement;
element.style.maxWidth = `${options.get("width") ?? 1500}px`;
document.body.classList.toggle("dark", theme === "dark");
const chosen = chosenRun();
window.nodeIds = chosen.nodes.map(({ id }) => id);
window.model = new FakeModel(chosen, { theme, height: Number(options.get("height") ?? 940) });
window.model.part = async (name) => (await fetch(`/parts/${name}.js`)).text();
/** The committed bundle instead of the sources, for what is measured of it. */
const BUNDLE = "/widget.js";
const entry = (await (options.has("built") ? import(BUNDLE) : import("../src/index"))) as typeof import("../src/index");
const widget = entry.default();
widget.initialize({ model: window.model });
if (!options.has("silent")) setInterval(() => window.model.beat(), 2000);
widget.render({ model: window.model, el: element });
