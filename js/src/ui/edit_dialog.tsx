/** Edit & re-run: another task, plan or result for one node, and what will run again because of it. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { isRecord, type TreeNode } from "../protocol/messages";
import { isSamePlan, readPlan, writePlan, type PlanDraft } from "../store/plan_draft";
import type { View } from "../store/view";
import { Dialog } from "./dialog";
import { Problem, Subject } from "./dialog_parts";
import { clip, formatCost, formatTokens, plural } from "./format";
import { PlanEditor } from "./plan_editor";
import { wrapOf } from "./plain_text";
import { useDetail } from "./use_detail";

type Part = "task" | "plan" | "result" | "code";

/** Milliseconds without typing after which a preview of the edit is requested. */
const TYPING_PAUSE = 350;
const MOST_LISTED = 8;

const PART_NAMES: Record<Part, string> = { task: "Task", plan: "Plan", result: "Result", code: "Cells" };
const PARTS = Object.keys(PART_NAMES) as Part[];
const PART_HINTS: Record<Part, string> = {
  task: "The text of the task. It is planned and answered again, and so are the nodes that depend on it.",
  plan: "The sub-tasks. Those that stay the same are reused; new and changed ones run.",
  code: "The cells of the code. Those before a changed one run again, and what they asked is reused; the cells after it are written anew.",
  result: "Your answer, which replaces the model's. The nodes that depend on it run again; this node does not.",
};

interface Texts {
  readonly task: string;
  readonly result: string;
  readonly plan: PlanDraft;
  readonly code: readonly string[];
}

const NO_PLAN: PlanDraft = { thoughts: "", steps: [] };

/** What the kernel has for the node; null until all of it is there. */
function useOriginal(view: View, node: TreeNode): Texts | null {
  const task = useDetail(view, node, "task");
  const output = useDetail(view, node, "output");
  const plan = useDetail(view, node, "plan");
  const cells = useDetail(view, node, "cells");
  if ([task, output, plan, cells].some(({ status }) => status === "loading")) return null;
  return {
    task: typeof task.data === "string" ? task.data : node.title,
    result: typeof output.data === "string" ? output.data : "",
    plan: readPlan(plan.data) ?? NO_PLAN,
    code: Array.isArray(cells.data) ? cells.data.map((cell) => (isRecord(cell) ? String(cell["code"] ?? "") : "")) : [],
  };
}

/** The first cell that is changed; -1 if none is. */
const changedCell = (before: readonly string[], now: readonly string[]): number =>
  now.findIndex((code, place) => code !== before[place]);

/** The arguments of the edit; null while nothing is changed or the field is empty. */
export function editOf(part: Part, original: Texts, draft: Texts): object | null {
  if (part === "plan") return isSamePlan(original.plan, draft.plan) ? null : { plan: writePlan(draft.plan) };
  if (part === "code") {
    const place = changedCell(original.code, draft.code);
    const code = draft.code[place] ?? "";
    return code.trim() === "" ? null : { code: { [place]: code } };
  }
  const text = draft[part];
  return text === original[part] || text.trim() === "" ? null : { [part]: text };
}

interface Preview {
  readonly status: "none" | "asking" | "ready" | "refused";
  readonly data: Record<string, unknown>;
  readonly error: string;
}

const NO_PREVIEW: Preview = { status: "none", data: {}, error: "" };

/** Requests a preview once typing has paused; late answers to earlier requests are ignored. */
function usePreview(view: View, id: string, args: object | null): Preview {
  const [preview, setPreview] = useState(NO_PREVIEW);
  useEffect(() => {
    if (!args) return setPreview(NO_PREVIEW);
    let current = true;
    setPreview((before) => ({ ...before, status: "asking" }));
    const timer = setTimeout(async () => {
      const { ok, error, data } = await view.store.commands.ask({ op: "preview", id, args });
      if (current) setPreview({ status: ok ? "ready" : "refused", data: isRecord(data) ? data : {}, error });
    }, TYPING_PAUSE);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [id, JSON.stringify(args)]);
  return preview;
}

function Estimate({ data }: { data: Record<string, unknown> }) {
  const { calls, tokens, cost_usd: cost } = data;
  const facts = [
    typeof calls === "number" && `about ${plural(calls, "call")}`,
    typeof tokens === "number" && `${formatTokens(tokens)} tokens`,
    typeof cost === "number" ? formatCost(cost) : "cost unknown",
  ];
  return <span>{facts.filter((fact) => fact !== false).join(" · ")}</span>;
}

function RunAgain({ view, data }: { view: View; data: Record<string, unknown> }) {
  const ids = Array.isArray(data["nodes"]) ? data["nodes"].filter((id) => typeof id === "string") : [];
  if (ids.length === 0) return <p>Nothing runs again: all results are recorded.</p>;
  const more = ids.length - MOST_LISTED;
  return (
    <>
      <p>
        <b>{plural(ids.length, "node")}</b> {ids.length === 1 ? "runs" : "run"} again · <Estimate data={data} />
      </p>
      <ul>
        {ids.slice(0, MOST_LISTED).map((id) => (
          <li>{clip(view.tree.node(id)?.title ?? "a new sub-task")}</li>
        ))}
        {more > 0 && <li>and {more} more</li>}
      </ul>
    </>
  );
}

function PreviewBox({ view, preview }: { view: View; preview: Preview }) {
  const { status, data, error } = preview;
  return (
    <section class={`rn-preview rn-preview-${status}`} aria-live="polite" aria-label="What will run again">
      {status === "none" && <p>Change something to see what will run again.</p>}
      {status === "asking" && <p>Determining what will run again…</p>}
      {status === "ready" && <RunAgain view={view} data={data} />}
      {status === "refused" && <p class="rn-problem">{clip(error, 4000)}</p>}
    </section>
  );
}

function PartChoice({ part, parts, name, choose }: {
  part: Part;
  parts: readonly Part[];
  name: string;
  choose(part: Part): void;
}) {
  return (
    <fieldset class="rn-segments">
      <legend class="rn-hidden">What to edit</legend>
      {parts.map((each) => (
        <label>
          <input type="radio" name={`${name}-part`} checked={part === each} onChange={() => choose(each)} />
          <span>{PART_NAMES[each]}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** A field for each cell; those after a changed one are not kept. */
function CodeEditor({ original, draft, change }: { original: Texts; draft: Texts; change(draft: Texts): void }) {
  const changed = changedCell(original.code, draft.code);
  const edit = (place: number, code: string): void =>
    change({ ...draft, code: original.code.map((before, at) => (at === place ? code : before)) });
  return (
    <>
      {draft.code.map((code, place) => (
        <textarea
          class="rn-editor rn-code"
          rows={Math.min(12, code.split("\n").length + 1)}
          aria-label={`Cell ${place + 1}`}
          spellcheck={false}
          disabled={changed >= 0 && place > changed}
          wrap={wrapOf(code)}
          value={code}
          onInput={(event) => edit(place, event.currentTarget.value)}
        />
      ))}
    </>
  );
}

function PartEditor({ part, original, draft, change }: {
  part: Part;
  original: Texts;
  draft: Texts;
  change(draft: Texts): void;
}) {
  const area = useRef<HTMLTextAreaElement>(null);
  // When the text has arrived, the focus moves into it.
  useLayoutEffect(() => area.current?.focus(), []);
  if (part === "plan") return <PlanEditor draft={draft.plan} onChange={(plan) => change({ ...draft, plan })} />;
  if (part === "code") return <CodeEditor original={original} draft={draft} change={change} />;
  return (
    <textarea
      class="rn-editor"
      rows={part === "task" ? 5 : 10}
      aria-label={PART_NAMES[part]}
      ref={area}
      wrap={wrapOf(draft[part])}
      value={draft[part]}
      onInput={(event) => change({ ...draft, [part]: event.currentTarget.value })}
    />
  );
}

export function EditDialog({ view, node }: { view: View; node: TreeNode }) {
  const name = `rn-edit-${view.key}`;
  const original = useOriginal(view, node);
  const [edited, setEdited] = useState<Texts | null>(null);
  const parts = PARTS.filter((each) => each !== "code" || node.decision === "PROGRAM");
  const [part, setPart] = useState<Part>(node.decision === "PROGRAM" ? "code" : "task");
  const [problem, setProblem] = useState("");
  const draft = edited ?? original;
  const args = original && draft ? editOf(part, original, draft) : null;
  const preview = usePreview(view, node.id, args);
  const command = { op: "edit", id: node.id, args: args ?? {} };
  const busy = view.store.commands.isPending(command);
  const ready = args !== null && preview.status !== "refused" && view.obstacle === "";
  const close = (): void => void (view.dialog.value = null);
  const confirm = async (): Promise<void> => {
    if (!ready || busy) return;
    const answer = await view.store.commands.ask(command);
    if (answer.ok) close();
    else setProblem(answer.error);
  };
  const footer = (
    <>
      <button type="button" class="rn-button" onClick={close}>
        Discard
      </button>
      <button
        type="button"
        class="rn-button rn-primary"
        aria-disabled={!ready || busy}
        aria-busy={busy}
        title={view.obstacle || undefined}
        onClick={confirm}
      >
        {busy ? "Starting…" : "Run again"}
      </button>
    </>
  );
  return (
    <Dialog title="Edit & re-run" name={name} footer={footer} onClose={close}>
      <Subject view={view} node={node} />
      <PartChoice part={part} parts={parts} name={name} choose={setPart} />
      <p class="rn-hint">{PART_HINTS[part]}</p>
      {original && draft ? <PartEditor part={part} original={original} draft={draft} change={setEdited} /> : <p class="rn-empty">Loading…</p>}
      <PreviewBox view={view} preview={preview} />
      <Problem text={problem} />
    </Dialog>
  );
}
