/**
 * The development page: the widget on a fake model. The query string chooses what is shown:
 * `theme`, `width`, `height`, `nodes` (a large run), `hostile` (text that tries to break out).
 */
import createWidget from "../src/index";
import { FakeModel, type FakeRun } from "./fake_model";
import { largeRun, NODES, NOW, OUTPUT, RUN } from "./fixture";
import { HOSTILE_TEXT } from "./hostile";

declare global {
  interface Window {
    model: FakeModel;
    /** Set by hostile text that got to run. */
    broken?: boolean;
  }
}

const options = new URLSearchParams(location.search);

function chosenRun(): FakeRun {
  const count = Number(options.get("nodes") ?? 0);
  const nodes = count > 0 ? largeRun(count) : NODES;
  if (!options.has("hostile")) return { run: RUN, nodes, now: NOW, output: OUTPUT };
  const spoiled = nodes.map((node) => ({ ...node, title: HOSTILE_TEXT, tail: HOSTILE_TEXT, agent: HOSTILE_TEXT, note: HOSTILE_TEXT }));
  return { run: { ...RUN, title: HOSTILE_TEXT, notice: HOSTILE_TEXT }, nodes: spoiled, now: NOW, output: HOSTILE_TEXT };
}

const theme = options.get("theme") ?? "auto";
const element = document.querySelector<HTMLElement>("#widget") as HTMLElement;
element.style.maxWidth = `${options.get("width") ?? 1500}px`;
document.body.classList.toggle("dark", theme === "dark");
window.model = new FakeModel(chosenRun(), { theme, height: Number(options.get("height") ?? 940) });
const widget = createWidget();
widget.initialize({ model: window.model });
widget.render({ model: window.model, el: element });
