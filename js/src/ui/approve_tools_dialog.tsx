/** Calls of tools before they are made: what each would do, to be allowed or left for later. */
import { useState } from "preact/hooks";
import { isRecord, type TreeNode } from "../protocol/messages";
import type { View } from "../store/view";
import { Dialog } from "./dialog";
import { Problem, Subject } from "./dialog_parts";
import { clip, plural } from "./format";
import { useDetail } from "./use_detail";
import { Value } from "./value";

function askedIn(data: unknown): Record<string, unknown>[] {
  return Array.isArray(data) ? data.filter(isRecord).filter((call) => call["asks"] === true) : [];
}

function Call({ call }: { call: Record<string, unknown> }) {
  const { name } = call;
  return (
    <section class="rn-message">
      <h4>{clip(typeof name === "string" ? name : "")}</h4>
      <Value value={call["arguments"]} />
    </section>
  );
}

export function ApproveToolsDialog({ view, node }: { view: View; node: TreeNode }) {
  const detail = useDetail(view, node, "tools");
  const [problem, setProblem] = useState("");
  const calls = askedIn(detail.data);
  const close = (): void => void (view.dialog.value = null);
  const busy = view.store.commands.isPending({ op: "approve", id: node.id });
  const allow = async (): Promise<void> => {
    if (busy || calls.length === 0) return;
    const answer = await view.store.commands.ask({ op: "approve", id: node.id });
    if (answer.ok) close();
    setProblem(answer.error);
  };
  const footer = (
    <>
      <button type="button" class="rn-button" onClick={close}>
        Decide later
      </button>
      <button
        type="button"
        class="rn-button rn-primary"
        aria-disabled={busy || calls.length === 0 || view.obstacle !== ""}
        aria-busy={busy}
        title={view.obstacle || undefined}
        onClick={allow}
      >
        {busy ? "Allowing…" : `Allow ${plural(calls.length, "call")}`}
      </button>
    </>
  );
  return (
    <Dialog title="Allow these calls of tools" name={`rn-allow-${view.key}`} footer={footer} onClose={close}>
      <Subject view={view} node={node} />
      {calls.length > 0 ? calls.map((call) => <Call call={call} />) : <p class="rn-empty">Loading the calls…</p>}
      <Problem text={problem} />
    </Dialog>
  );
}
