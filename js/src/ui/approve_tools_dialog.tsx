/** Calls of tools before they are made: what each would do, to be allowed, rejected, or left for later. */
import type { TreeNode } from "../protocol/messages";
import type { View } from "../store/view";
import { Estimate, useApproval, useDecision } from "./approval";
import { Dialog } from "./dialog";
import { Problem, Subject } from "./dialog_parts";
import { clip, plural } from "./format";
import { Value } from "./value";

const nameOf = ({ name }: Record<string, unknown>): string => (typeof name === "string" ? name : "");

function Call({ call }: { call: Record<string, unknown> }) {
  return (
    <section class="rn-message">
      <h4>{clip(nameOf(call))}</h4>
      <Value value={call["arguments"]} />
    </section>
  );
}

export function ApproveToolsDialog({ view, node }: { view: View; node: TreeNode }) {
  const { request, calls } = useApproval(view, node);
  const names = [...new Set(calls.map(nameOf))].join(", ");
  const { footer, field, problem } = useDecision({
    view,
    node,
    request,
    noun: calls.length === 1 ? "call" : "calls",
    label: `Allow ${plural(calls.length, "call")}`,
    busyLabel: "Allowing…",
    restLabel: "Allow all that is left",
    restHint: clip(`These and all further calls of ${names} in this run, without asking again`),
  });
  return (
    <Dialog title="Allow these calls of tools" name={`rn-allow-${view.key}`} footer={footer} onClose={() => void (view.dialog.value = null)}>
      <Subject view={view} node={node} />
      {calls.length > 0 ? calls.map((call) => <Call call={call} />) : <p class="rn-empty">Loading the calls…</p>}
      {request !== "" && <Estimate view={view} node={node} request={request} />}
      {field}
      <Problem text={problem} />
    </Dialog>
  );
}
