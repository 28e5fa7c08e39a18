/** What several dialogs show. */
import type { TreeNode } from "../protocol/messages";
import { displayState } from "../store/display";
import type { View } from "../store/view";
import { clip } from "./format";
import { StateIcon } from "./icons";

/** Which node a dialog is about, and where it stands. */
export function Subject({ view, node }: { view: View; node: TreeNode }) {
  const path = view.tree.ancestors(node.id).reverse();
  return (
    <div class="rn-subject">
      {path.length > 0 && <small>{path.map((ancestor) => clip(ancestor.title)).join(" › ")}</small>}
      <p>
        <StateIcon state={displayState(node)} />
        <b>{clip(node.title)}</b>
      </p>
    </div>
  );
}

const LONGEST_PROBLEM = 4000;

/** Always there, so that what appears in it is read out. */
export function Problem({ text }: { text: string }) {
  return (
    <div role="alert">{text !== "" && <p class="rn-problem">{clip(text, LONGEST_PROBLEM)}</p>}</div>
  );
}
