/** A plan before anything is spent on it: to be changed, approved, or left for later. */
import { useState } from "preact/hooks";
import type { TreeNode } from "../protocol/messages";
import { isSamePlan, readPlan, writePlan, type PlanDraft } from "../store/plan_draft";
import type { View } from "../store/view";
import { Dialog } from "./dialog";
import { Problem, Subject } from "./dialog_parts";
import { clip } from "./format";
import { PlanEditor } from "./plan_editor";
import { useDetail } from "./use_detail";

const LONGEST_THOUGHTS = 4000;

/** Approves the plan, the written one only where it was changed. */
async function approve(view: View, id: string, plan: PlanDraft, original: PlanDraft): Promise<string> {
  const args = isSamePlan(plan, original) ? {} : { plan: writePlan(plan) };
  const answer = await view.store.commands.ask({ op: "approve", id, args });
  if (answer.ok) view.dialog.value = null;
  return answer.error;
}

export function ApproveDialog({ view, node }: { view: View; node: TreeNode }) {
  const detail = useDetail(view, node, "plan");
  const [edited, setEdited] = useState<PlanDraft | null>(null);
  const [problem, setProblem] = useState("");
  const original = readPlan(detail.data);
  const draft = edited ?? original;
  const close = (): void => void (view.dialog.value = null);
  const busy = view.store.commands.isPending({ op: "approve", id: node.id });
  const changed = draft !== null && original !== null && !isSamePlan(draft, original);
  const send = async (): Promise<void> => {
    if (draft && original && !busy) setProblem(await approve(view, node.id, draft, original));
  };
  const footer = (
    <>
      <button type="button" class="rn-button" onClick={close}>
        Decide later
      </button>
      <button
        type="button"
        class="rn-button rn-primary"
        aria-disabled={busy || !draft || view.obstacle !== ""}
        aria-busy={busy}
        title={view.obstacle || undefined}
        onClick={send}
      >
        {busy ? "Approving…" : changed ? "Approve the changed plan" : "Approve"}
      </button>
    </>
  );
  return (
    <Dialog title="Approve this plan" name={`rn-approve-${view.key}`} footer={footer} onClose={close}>
      <Subject view={view} node={node} />
      {draft?.thoughts && <blockquote class="rn-thoughts">{clip(draft.thoughts, LONGEST_THOUGHTS)}</blockquote>}
      {draft ? <PlanEditor draft={draft} onChange={setEdited} /> : <p class="rn-empty">Loading the plan…</p>}
      <Problem text={problem} />
    </Dialog>
  );
}
