/** A plan before anything is spent on it: to be changed, approved, rejected, or left for later. */
import { useState } from "preact/hooks";
import type { TreeNode } from "../protocol/messages";
import { isSamePlan, readPlan, writePlan, type PlanDraft } from "../store/plan_draft";
import type { View } from "../store/view";
import { Estimate, useApproval, useDecision } from "./approval";
import { Dialog } from "./dialog";
import { Problem, Subject } from "./dialog_parts";
import { clip } from "./format";
import { PlanEditor } from "./plan_editor";

const LONGEST_THOUGHTS = 4000;

export function ApproveDialog({ view, node }: { view: View; node: TreeNode }) {
  const { request, plan } = useApproval(view, node);
  const [edited, setEdited] = useState<PlanDraft | null>(null);
  const original = readPlan(plan);
  const draft = edited ?? original;
  // The plan is sent only where it was changed.
  const changed = draft !== null && original !== null && !isSamePlan(draft, original) ? writePlan(draft) : undefined;
  const { footer, field, problem } = useDecision({
    view,
    node,
    request,
    noun: "plan",
    label: changed ? "Approve the changed plan" : "Approve",
    busyLabel: "Approving…",
    restLabel: "Approve all that is left",
    restHint: "This plan and all further plans of this run, without asking again",
    ...(changed && { args: { plan: changed } }),
  });
  return (
    <Dialog title="Approve this plan" name={`rn-approve-${view.key}`} footer={footer} onClose={() => void (view.dialog.value = null)}>
      <Subject view={view} node={node} />
      {draft?.thoughts && <blockquote class="rn-thoughts">{clip(draft.thoughts, LONGEST_THOUGHTS)}</blockquote>}
      {draft ? <PlanEditor draft={draft} onChange={setEdited} /> : <p class="rn-empty">Loading the plan…</p>}
      {draft && <Estimate view={view} node={node} request={request} plan={changed} />}
      {field}
      <Problem text={problem} />
    </Dialog>
  );
}
