/** The dialogs that command the kernel: without one there is nothing to edit or approve, so it sends them, too. */
import type { TreeNode } from "../protocol/messages";
import type { OpenDialog, View } from "../store/view";
import { ApproveDialog } from "../ui/approve_dialog";
import { ApproveToolsDialog } from "../ui/approve_tools_dialog";
import { EditDialog } from "../ui/edit_dialog";
import styles from "./dialogs.css?inline";

export function CommandDialog({ view, dialog, node }: { view: View; dialog: OpenDialog; node: TreeNode }) {
  return (
    <>
      <style>{styles}</style>
      {dialog.kind !== "approve" ? (
        <EditDialog view={view} node={node} />
      ) : // As it was when the dialog opened: a request that is decided elsewhere meanwhile is no longer on the node.
      dialog.tools ? (
        <ApproveToolsDialog view={view} node={node} />
      ) : (
        <ApproveDialog view={view} node={node} />
      )}
    </>
  );
}
