/** What can be done with the selected node. */
import { useEffect, useState } from "preact/hooks";
import type { TreeNode } from "../protocol/messages";
import { asksForTools, isFinished } from "../store/display";
import type { View } from "../store/view";
import { copyText } from "./clipboard";
import { CommandButton } from "./command_button";
import { Icon, type IconName } from "./icons";
import { pythonOf } from "./python";

function CopyButton({ name, icon, text }: { name: string; icon: IconName; text: string }) {
  const [copied, setCopied] = useState<boolean | null>(null);
  useEffect(() => setCopied(null), [text, name]);
  const copy = async (): Promise<void> => {
    if (text !== "") setCopied(await copyText(text));
  };
  const label = copied === null ? name : copied ? "Copied" : "Could not copy";
  return (
    <button
      type="button"
      class={`rn-button rn-square${copied ? " rn-copied" : ""}`}
      aria-label={label}
      title={label}
      aria-disabled={text === ""}
      onClick={copy}
    >
      <Icon name={copied ? "done" : icon} />
    </button>
  );
}

function DialogButton({ label, icon, primary = false, open }: {
  label: string;
  icon: IconName;
  primary?: boolean;
  open(): void;
}) {
  return (
    <button type="button" class={`rn-button${primary ? " rn-primary" : ""}`} aria-haspopup="dialog" onClick={open}>
      <Icon name={icon} />
      {label}
    </button>
  );
}

/** The whole output; of a node that still writes, what it has written so far. */
function outputOf(view: View, node: TreeNode): string {
  const { data } = view.store.details.read(node.id, "output");
  if (typeof data === "string") return data;
  return isFinished(node) ? "" : view.streamedText(node.id) || node.tail;
}

export function Actions({ view, node }: { view: View; node: TreeNode }) {
  const task = view.store.details.read(node.id, "task").data;
  const { id } = node;
  const finished = isFinished(node);
  return (
    <div class="rn-actions">
      {node.awaiting !== "" && view.can("approve") && (
        <DialogButton label={asksForTools(node) ? "Review calls" : "Review plan"} icon="approve" primary open={() => view.openDialog({ kind: "approve", id, tools: asksForTools(node) })} />
      )}
      {finished && view.can("retry") && (
        <CommandButton view={view} command={{ op: "retry", id }} label="Retry" busyLabel="Retrying…" icon="retry" hint="Run this node again, and the nodes that depend on it" />
      )}
      {view.can("edit") && (
        <DialogButton label="Edit & re-run" icon="edit" open={() => view.openDialog({ kind: "edit", id })} />
      )}
      {!finished && view.can("cancel") && (
        <CommandButton view={view} command={{ op: "cancel", id }} label="Cancel node" busyLabel="Cancelling…" icon="stop" look="danger" hint="Cancel this node; the others continue" />
      )}
      <CopyButton key={`output ${id}`} name="Copy output" icon="copy" text={outputOf(view, node)} />
      <CopyButton
        key={`python ${id}`}
        name="Copy as Python"
        icon="code"
        text={pythonOf(typeof task === "string" ? task : node.title, view.run.python)}
      />
    </div>
  );
}
