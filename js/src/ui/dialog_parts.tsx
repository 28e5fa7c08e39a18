/** What several dialogs show. */
import type { TreeNode } from "../protocol/messages";
import { displayState } from "../store/display";
import type { View } from "../store/view";
import { StateIcon } from "./icons";

/** Which node a dialog is about, and where it stands. */
export function Subject({ view, node }: { view: View; node: TreeNode }) {
  const path = view.tree.ancestors(node.id).reverse();
  return (
    <div class="rn-subject">
      {path.length > 0 && <small>{path.map((ancestor) => ancestor.title).join(" › ")}</small>}
      <p>
        <StateIcon state={displayState(node)} />
        <b>{node.title}</b>
      </p>
    </div>
  );
}

export function Problem({ text }: { text: string }) {
  return (
    <div role="alert">{text !== "" && <p class="rn-problem">{text}</p>}</div>
  );
}
