/* The end of a page that holds one run: a model of the widget without a kernel, which answers from the page. */
const data = JSON.parse(document.getElementById("rlm-run").textContent);
const bytesOf = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
const unpacked = (bytes) =>
  new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();

const snapshot = bytesOf(data.snapshot);
// What is above and below the tree has room, too.
const height = Math.max(420, window.innerHeight - 170);
const traits = { _meta: { protocol: 1, run_id: data.run_id, title: "" }, _snap: snapshot, theme: "auto", height };
const handlers = new Map();
const emit = (event, ...values) => [...(handlers.get(event) ?? [])].forEach((handler) => handler(...values));
let details;

const allDetails = () => (details ??= unpacked(bytesOf(data.details)));

async function fetched({ req, id, fields }) {
  const known = (await allDetails())[id] ?? {};
  for (const field of fields) emit("msg:custom", { t: "d", req, id, field, data: known[field] ?? null }, []);
}

const textOf = (value) =>
  typeof value === "string" ? value : value && typeof value === "object" ? Object.values(value).map(textOf).join("\n") : "";

/* What surrounds the first of the words. */
function excerpt(text, words) {
  const at = Math.min(...words.map((word) => text.toLowerCase().indexOf(word)).filter((index) => index >= 0));
  return text.slice(Math.max(0, at - 24), at + 96).replace(/\s+/g, " ");
}

/* As the kernel searches: a prompt counts only where the texts of a node's own lack a word. */
async function found({ req, words }) {
  const hits = Object.entries(await allDetails()).flatMap(([id, { prompt, ...own }]) => {
    const texts = Object.entries(own).map(([field, value]) => [field === "task" ? "title" : field, textOf(value)]);
    const has = (word) => (([, text]) => text.toLowerCase().includes(word));
    const missing = words.filter((word) => !texts.some(has(word)));
    if (missing.length > 0) {
      const asked = textOf(prompt);
      return missing.every((word) => has(word)(["prompt", asked])) ? [[id, "prompt", excerpt(asked, missing)]] : [];
    }
    const [field, text] = texts.find((each) => words.some((word) => has(word)(each)));
    return [[id, field, excerpt(text, words)]];
  });
  emit("msg:custom", { t: "found", req, hits, done: true }, []);
}

const refused = ({ req }) =>
  emit("msg:custom", { t: "ack", req, ok: false, error: "This is a copy: there is no kernel behind it." }, []);
const answers = { get: fetched, find: found, cmd: refused, sync: () => emit("change:_snap") };

const model = {
  get: (name) => traits[name],
  on: (event, handler) => handlers.set(event, (handlers.get(event) ?? new Set()).add(handler)),
  off: (event, handler) => handlers.get(event)?.delete(handler),
  send: (message) => void queueMicrotask(() => answers[message.t]?.(message)),
};

const widget = createWidget();
widget.initialize({ model });
const place = document.getElementById("rlm");
widget.render({ model, el: place });

/* In a notebook the answer follows, so a run that is over folds; here the tree is all there is, and shows the answer. */
const unfolding = new MutationObserver(() => {
  const folded = place.querySelector("[aria-label='Show tree']");
  if (!folded) return;
  unfolding.disconnect();
  folded.click();
  requestAnimationFrame(() => place.querySelector("[data-node-id='0']")?.click());
});
unfolding.observe(place, { childList: true, subtree: true, attributes: true });
